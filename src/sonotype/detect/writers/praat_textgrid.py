"""TextGrids of Praat: a tier for each class.

Long form, https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html: the intervals of a
tier fill the recording without gaps or overlaps, and those without a label have an empty text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sonotype.core.detections import DetectedRecording
from sonotype.detect.writers.event_rows import number_text, rounded
from sonotype.detect.writers.label_events import label_events

NO_CLASS = "label"
"""Name of the empty tier of a recording without events: a TextGrid needs a tier."""

Intervals = Sequence[tuple[float, float]]


def praat_textgrid(recording: DetectedRecording) -> str:
    """A TextGrid with a tier for each class that was found; its name is the text of its intervals.

    Events of a class that overlap are joined to one interval.
    """
    tiers = _tiers(recording) or {NO_CLASS: []}
    length = rounded(recording.seconds)
    ends = [end for intervals in tiers.values() for _, end in intervals]
    return "".join(line + "\n" for line in _lines(tiers, length or max(ends, default=0.0)))


def _tiers(recording: DetectedRecording) -> dict[str, list[tuple[float, float]]]:
    """The intervals of each class in their order, by the name of the class."""
    tiers: dict[str, list[tuple[float, float]]] = {}
    for event in sorted(label_events(recording), key=lambda event: (event.label, event.start)):
        intervals = tiers.setdefault(event.label, [])
        start, end = event.start, event.end
        if intervals and start < intervals[-1][1]:
            start, last = intervals.pop()
            end = max(end, last)
        intervals.append((start, end))
    return tiers


def _lines(tiers: Mapping[str, Intervals], length: float) -> Iterator[str]:
    yield 'File type = "ooTextFile"'
    yield 'Object class = "TextGrid"'
    yield ""
    yield "xmin = 0 "
    yield f"xmax = {number_text(length)} "
    yield "tiers? <exists> "
    yield f"size = {len(tiers)} "
    yield "item []: "
    for place, (name, found) in enumerate(tiers.items(), 1):
        intervals = list(_filled(name, found, length))
        yield f"    item [{place}]:"
        yield '        class = "IntervalTier" '
        yield f"        name = {_quoted(name)} "
        yield "        xmin = 0 "
        yield f"        xmax = {number_text(length)} "
        yield f"        intervals: size = {len(intervals)} "
        for number, (start, end, text) in enumerate(intervals, 1):
            yield f"        intervals [{number}]:"
            yield f"            xmin = {number_text(start)} "
            yield f"            xmax = {number_text(end)} "
            yield f"            text = {_quoted(text)} "


def _filled(text: str, intervals: Intervals, length: float) -> Iterator[tuple[float, float, str]]:
    """The intervals with their text, and empty ones between them."""
    last = 0.0
    for start, end in intervals:
        if last < start:
            yield last, start, ""
        yield start, end, text
        last = end
    if last < length:
        yield last, length, ""


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
