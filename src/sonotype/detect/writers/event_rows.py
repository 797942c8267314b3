"""Rows of the tables of events, and the numbers and names in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from sonotype.core.detections import DetectedRecording

DECIMALS = 6
"""Of times in seconds and of frequencies in Hz."""


class EventRow(TypedDict):
    """A row of a table: an event, or the error of a recording. ``None`` where nothing is known."""

    file: str
    start: float | None
    end: float | None
    label: str | None
    score: float | None
    low_frequency: float | None
    high_frequency: float | None
    error: str | None


COLUMNS = tuple(EventRow.__annotations__)


def event_rows(recording: DetectedRecording) -> Iterator[EventRow]:
    """A row for each event, and a last row for the error, if there is one.

    Times have 6 decimals, scores 6 significant digits.
    """
    file = utf8_text(str(recording.path))
    for event in recording.events:
        yield EventRow(
            file=file,
            start=rounded(event.start),
            end=rounded(event.end),
            label=utf8_text(event.label),
            score=float(score_text(event.score)),
            low_frequency=None if event.low is None else rounded(event.low),
            high_frequency=None if event.high is None else rounded(event.high),
            error=None,
        )
    if recording.error:
        yield EventRow(
            file=file,
            start=None,
            end=None,
            label=None,
            score=None,
            low_frequency=None,
            high_frequency=None,
            error=utf8_text(recording.error),
        )


def rounded(value: float) -> float:
    """A time in seconds or a frequency in Hz with 6 decimals; never -0."""
    return round(float(value), DECIMALS) + 0.0


def number_text(value: float) -> str:
    """A time or a frequency as text with at most 6 decimals: ``0``, ``12.5``, ``0.000001``."""
    return decimal_text(value).rstrip("0").rstrip(".")


def decimal_text(value: float) -> str:
    """A time or a frequency with 6 decimals: some readers want a decimal point in each number."""
    return f"{rounded(value):.{DECIMALS}f}"


def score_text(score: float) -> str:
    """A score as text with at most 6 significant digits."""
    return f"{float(score):.6g}"


def utf8_text(text: str) -> str:
    """The text with an escape such as ``udcff`` for each byte of a file name that is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
