"""Frozen dataclasses of annotated recordings: events with their times."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sonotype.core.types import Content


@dataclass(frozen=True)
class Event:
    """One labelled interval of a recording.

    Attributes:
        start: in seconds.
        end: in seconds.
        label: the class.
        low: lowest frequency in Hz, if known.
        high: highest frequency in Hz, if known.
        file: the label file.
        line: its line (1-based) in that file.
    """

    start: float
    end: float
    label: str
    low: float | None = None
    high: float | None = None
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)


@dataclass(frozen=True)
class AnnotatedRecording:
    """A recording with its events.

    Attributes:
        path: the sound file.
        seconds: length of the recording.
        events: sorted by start; those of no class (background, noise, ...) are left out.
        spans: start and end of the parts that were listened to, sorted; the events lie inside.
        group: recordings of one group are never split.
        fold: the official fold, or ``None`` where the source has none.
        content: the digests of its sound; ``None`` where they were not computed.
    """

    path: Path
    seconds: float
    events: tuple[Event, ...]
    spans: tuple[tuple[float, float], ...]
    group: str = ""
    fold: int | None = None
    content: Content | None = field(default=None, compare=False)
