"""Write found windows into a folder: sound files, a table, and label files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sonotype.audio.decode import seconds_of
from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import AudioError
from sonotype.core.io import atomic
from sonotype.core.text import align, clock
from sonotype.detect.output_names import Recording, name_recordings
from sonotype.detect.window_files import Window, clip_paths, write_windows
from sonotype.detect.writers.event_rows import number_text, score_text, utf8_text
from sonotype.detect.writers.event_tables import csv_text
from sonotype.search.nearest import Hit

TABLE = "found.csv"
COLUMNS = ("rank", "path", "start", "end", "label", "similarity", "clip")
"""A table of events for ``sonotype train``, too."""
SHOWN = 20
"""Windows in the table of a terminal."""
WIDTHS = (-4, 1, 50, -11, -12)
REMOTE = "is not on this computer; sounds are cut out of local recordings only"
NOT_FOUND = "cannot be found, since its path is relative"
ADVICE = (
    "start the search in the folder in which sonotype embed was started, or embed the recordings\n"
    "into a new archive, which names this folder"
)
"""For recordings that are :data:`NOT_FOUND`."""
TOO_SHORT = "ends before a found window; it was changed since sonotype embed"
TOLERANCE = 0.01
"""Seconds by which a recording may be shorter than the end of its last window."""
_ESCAPE = re.compile(r"\\udc([89a-f][0-9a-f])")
"""How archives write a byte of a file name that is not UTF-8."""


def write_found(
    folder: Path, hits: Sequence[Hit], label: str, formats: Sequence[str], highest: float
) -> list[tuple[Path, str]]:
    """Write the clips of windows, their table, and label files in some formats.

    Args:
        folder: is created.
        hits: the most similar first.
        label: of all windows.
        formats: of label files, one file for each recording with a window.
        highest: highest frequency of the input of the model in Hz.

    Returns:
        the recordings of which clips are missing, and the causes.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places, missing = _find(hits)
    recordings = _recordings(places)
    windows: list[Window] = [
        (recordings[hit.path], DetectedEvent(hit.start, hit.end, label, hit.similarity))
        for hit in hits
        if hit.path in recordings
    ]
    clips = clip_paths(windows)
    failures = {
        recording.path: cause for recording, cause in write_windows(folder, clips, formats, highest)
    }
    written = {window: clip for window, clip in clips.items() if (folder / clip).is_file()}
    for recording, _ in clips.keys() - written.keys():
        failures.setdefault(recording.path, TOO_SHORT)
    names: dict[tuple[Path | None, float], str] = {
        (window[0].path, window[1].start): clip for window, clip in written.items()
    }
    rows = [
        (
            str(rank),
            utf8_text(str(places.get(hit.path, hit.path))),
            number_text(hit.start),
            number_text(hit.end),
            utf8_text(label),
            score_text(hit.similarity),
            utf8_text(names.get((places.get(hit.path), hit.start), "")),
        )
        for rank, hit in enumerate(hits, start=1)
    ]
    with atomic(folder / TABLE) as part:
        part.write_text(csv_text([COLUMNS, *rows]), encoding="utf-8")
    return [*failures.items(), *missing.items()]


def table_lines(hits: Sequence[Hit]) -> list[str]:
    """The first windows as lines of at most 80 columns."""
    lines = [align(("", "", "recording", "start", "similarity"), *WIDTHS)]
    for rank, hit in enumerate(hits[:SHOWN], start=1):
        name = Path(hit.path).name
        cells = (str(rank), "", name, clock(hit.start), f"{hit.similarity:.3f}")
        lines.append(align(cells, *WIDTHS))
    return lines


def _find(hits: Sequence[Hit]) -> tuple[dict[str, Path], dict[Path, str]]:
    """The local recordings of some windows by their paths, and why the others have none."""
    ends: dict[str, float] = {}
    for hit in hits:
        ends[hit.path] = max(hit.end, ends.get(hit.path, 0.0))
    places: dict[str, Path] = {}
    missing: dict[Path, str] = {}
    for text, end in ends.items():
        path = _local(text)
        if "://" in text:
            missing[Path(text)] = REMOTE
        elif path.is_absolute():
            places[text] = path
        elif cause := _why_another(path, end):
            missing[path] = cause
        else:
            places[text] = path.absolute()
    return places, missing


def _local(text: str) -> Path:
    """A path of this computer; its name may have bytes that are not UTF-8."""
    decoded = _ESCAPE.sub(lambda found: chr(0xDC00 + int(found[1], 16)), text)
    return Path(decoded if os.path.lexists(decoded) and not os.path.lexists(text) else text)


def _why_another(path: Path, end: float) -> str:
    """Why a relative path in the present folder is not the recording; empty if it may be it.

    The archive does not say where the path lies, so there may be another recording of this name.
    """
    if not os.path.lexists(path):
        return NOT_FOUND
    try:
        return "" if seconds_of(path) >= end - TOLERANCE else NOT_FOUND
    except AudioError as error:
        return error.cause


def _recordings(places: Mapping[str, Path]) -> dict[str, Recording]:
    """The recordings by their paths in the archive, with the names of their outputs."""
    paths = list(places.values())
    named = name_recordings(dict.fromkeys(paths, ""), paths)
    by_path = {recording.path: recording for recording in named}
    return {text: by_path[path] for text, path in places.items()}
