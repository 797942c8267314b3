"""Recordings and label files on disk, as their programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from sonotype.data.annotations.annotated import AnnotatedListing
from sonotype.data.annotations.entries import LabelFile

RAVEN = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)"
BIRDNET_RAVEN = RAVEN + "\tCommon Name\tSpecies Code\tConfidence\tBegin Path\tFile Offset (s)"
BIRDNET_CSV = "Start (s),End (s),Scientific name,Common name,Confidence,File"
BIRDNET_R = (
    "filepath,start,end,scientific_name,common_name,confidence,lat,lon,week,overlap,sensitivity,"
    "min_conf,species_list,model"
)
BIRDNET_KALEIDOSCOPE = (
    "INDIR,FOLDER,IN FILE,OFFSET,DURATION,scientific_name,common_name,confidence,lat,lon,week,"
    "overlap,sensitivity"
)


def sound(path: Path, seconds: float = 10) -> Path:
    """A silent recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(round(seconds * 1000), np.int16), 1000)
    return path


def write(path: Path, *lines: str, end: str = "\n", encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode(encoding))
    return path


def read(file: LabelFile) -> list[tuple[float, float, str]]:
    """Start, end and label of a label file without issues."""
    assert [str(issue) for issue in file.issues] == []
    return [(entry.start, entry.end, entry.label) for entry in file.entries]


def events(listing: AnnotatedListing) -> dict[str, list[tuple[float, float, str]]]:
    """Start, end and label of each event, by the name of the recording."""
    assert [str(issue) for issue in listing.issues] == []
    return {
        recording.path.name: [(event.start, event.end, event.label) for event in recording.events]
        for recording in listing.recordings
    }


def issues(listing: AnnotatedListing | LabelFile, below: Path) -> list[str]:
    """The issues, with paths relative to a folder, sorted by file and line."""
    found = sorted(listing.issues, key=lambda issue: (issue.file, issue.line))
    return [str(issue).replace(f"{below}/", "") for issue in found]


def text_grid(*tiers: tuple[str, list[tuple[float, float, str]]], seconds: float = 10) -> str:
    """A TextGrid in the long form with tiers of intervals, which Praat completes by empty ones."""
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0 ",
        f"xmax = {seconds} ",
        "tiers? <exists> ",
        f"size = {len(tiers)} ",
        "item []: ",
    ]
    for number, (name, labels) in enumerate(tiers, 1):
        intervals = completed(labels, seconds)
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier" ',
            f'        name = "{name}" ',
            "        xmin = 0 ",
            f"        xmax = {seconds} ",
            f"        intervals: size = {len(intervals)} ",
        ]
        for place, (start, end, label) in enumerate(intervals, 1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {start} ",
                f"            xmax = {end} ",
                f'            text = "{label}" ',
            ]
    return "\n".join(lines) + "\n"


def short_text_grid(name: str, labels: list[tuple[float, float, str]], seconds: float = 10) -> str:
    """A TextGrid in the short form with one tier of intervals."""
    intervals = completed(labels, seconds)
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", str(seconds)]
    lines += ["<exists>", "1", '"IntervalTier"', f'"{name}"', "0", str(seconds)]
    lines += [str(len(intervals))]
    for start, end, label in intervals:
        lines += [str(start), str(end), f'"{label}"']
    return "\n".join(lines) + "\n"


def completed(
    labels: list[tuple[float, float, str]], seconds: float
) -> list[tuple[float, float, str]]:
    """The labels with empty intervals between them."""
    intervals: list[tuple[float, float, str]] = []
    last = 0.0
    for start, end, label in labels:
        if start > last:
            intervals.append((last, start, ""))
        intervals.append((start, end, label))
        last = end
    return [*intervals, (last, seconds, "")] if last < seconds else intervals
