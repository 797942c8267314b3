"""Recordings with labelled intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sonotype.core.types import Content


@dataclass(frozen=True)
class Event:
    """One labelled interval of a recording.

    Attributes:
        start: in seconds from the beginning of the recording.
        end: in seconds, after ``start``.
        label: the class.
        low: lowest frequency in Hz; ``None`` if not known, as for the next.
        high: highest frequency in Hz.
        file: the label file.
        line: its line (1-based) in the label file; in Parquet the row.
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
        events: sorted by start. Labels of no class, such as ``noise``, are not events; their
            intervals count as listened to.
        spans: the parts that were listened to, as (start, end) in seconds, sorted and disjoint.
            Every event lies inside a span; in the rest of a span there is no event.
        group: recordings of one group are never split between subsets.
        fold: the official fold, or ``None``.
        content: the digests of its sound; ``None`` where they were not computed.
    """

    path: Path
    seconds: float
    events: tuple[Event, ...]
    spans: tuple[tuple[float, float], ...]
    group: str = ""
    fold: int | None = None
    content: Content | None = field(default=None, compare=False)

    @property
    def own_group(self) -> str:
        """The group; a recording without a group is its own, named by its path."""
        return self.group or str(self.path)
