"""Tables for the viewer of Kaleidoscope.

``TOP1MATCH`` is the class of a detector, and the empty ``MANUAL ID`` is for the listener. Columns
that say when a recording was made are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sonotype.core.detections import DetectedRecording
from sonotype.detect.writers.event_rows import number_text, score_text
from sonotype.detect.writers.event_tables import csv_text
from sonotype.detect.writers.label_events import label_events, one_line

HEADER = (
    "INDIR", "FOLDER", "IN FILE", "CHANNEL", "OFFSET", "DURATION", "TOP1MATCH", "SCORE",
    "MANUAL ID",
)  # fmt: skip


def kaleidoscope_table(recordings: Iterable[DetectedRecording]) -> Iterator[str]:
    """A table of any number of recordings: the header, then the rows of each recording."""
    yield csv_text([HEADER])
    for recording in recordings:
        yield csv_text(_rows(recording))


def _rows(recording: DetectedRecording) -> Iterator[tuple[str, ...]]:
    path = recording.path.absolute()
    for event in label_events(recording):
        yield (
            one_line(str(path.parent)),
            "",
            one_line(path.name),
            "0",
            number_text(event.start),
            number_text(event.end - event.start),
            event.label,
            score_text(event.score),
            "",
        )
