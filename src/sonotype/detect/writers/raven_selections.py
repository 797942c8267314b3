"""Selection tables of Raven.

``Annotation`` is the column that Raven itself proposes for labels. ``Begin Time (s)`` counts from
the start of the first recording, as Raven shows a sequence of files, and ``File Offset (s)`` from
the start of the recording: "Open Selected Sounds" uses it with ``Begin Path``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sonotype.core.detections import DetectedRecording
from sonotype.detect.writers.event_rows import decimal_text, score_text
from sonotype.detect.writers.label_events import band, label_events, one_line

HEADER = (
    "Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)",
    "High Freq (Hz)", "Begin File", "Begin Path", "File Offset (s)", "Annotation", "Score",
)  # fmt: skip


def raven_table(recordings: Iterable[DetectedRecording]) -> Iterator[str]:
    """A selection table of recordings that Raven opens as a sequence: the header, then their rows.

    Args:
        recordings: all of the sequence, in its order: the begin times of a recording come after
            the lengths of those before it, also of recordings without events.
    """
    yield _lines([HEADER])
    before, number = 0.0, 0
    for recording in recordings:
        rows = list(_rows(recording, before, number))
        yield _lines(rows)
        before += recording.seconds
        number += len(rows)


def _rows(recording: DetectedRecording, before: float, number: int) -> Iterator[tuple[str, ...]]:
    """The rows of a recording that begins at ``before`` seconds, after ``number`` selections."""
    path = recording.path.absolute()
    for selection, event in enumerate(label_events(recording), number + 1):
        low, high = band(event, recording)
        times = (before + event.start, before + event.end, low, high)
        yield (
            str(selection),
            "Spectrogram 1",
            "1",
            *map(decimal_text, times),
            path.name,
            str(path),
            decimal_text(event.start),
            event.label,
            score_text(event.score),
        )


def _lines(rows: Iterable[Iterable[str]]) -> str:
    return "".join("\t".join(map(_cell, row)) + "\n" for row in rows)


def _cell(text: str) -> str:
    """A cell; in quotes only if it begins with a quote, as other programs would read that so."""
    text = one_line(text)
    return '"' + text.replace('"', '""') + '"' if text.startswith('"') else text
