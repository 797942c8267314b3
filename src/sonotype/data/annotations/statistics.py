"""What is in annotated recordings: their length, and the events of each class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.data.digest import united

SECONDS_PER_HOUR = 3600
DIGITS = 6
"""Decimal places of lengths in seconds: differences of times are not exact."""


@dataclass(frozen=True)
class ClassEvents:
    """The events of one class.

    Attributes:
        label: the class.
        events: their number.
        recordings: number of recordings with such events.
        shortest: length of the shortest event in seconds.
        median: median length in seconds.
        longest: length of the longest event in seconds.
    """

    label: str
    events: int
    recordings: int
    shortest: float
    median: float
    longest: float


def events_of_classes(recordings: Sequence[AnnotatedRecording]) -> tuple[ClassEvents, ...]:
    """The events of each class, by name of the class."""
    found: defaultdict[str, list[tuple[int, Event]]] = defaultdict(list)
    for number, one in enumerate(recordings):
        for event in one.events:
            found[event.label].append((number, event))
    return tuple(_of_class(label, found[label]) for label in sorted(found))


def _of_class(label: str, events: Sequence[tuple[int, Event]]) -> ClassEvents:
    lengths = [event.end - event.start for _, event in events]
    return ClassEvents(
        label=label,
        events=len(events),
        recordings=len({number for number, _ in events}),
        shortest=round(min(lengths), DIGITS),
        median=round(median(lengths), DIGITS),
        longest=round(max(lengths), DIGITS),
    )


def hours(recordings: Sequence[AnnotatedRecording]) -> float:
    """Length of all recordings in hours."""
    return sum(one.seconds for one in recordings) / SECONDS_PER_HOUR


def hours_listened(recordings: Sequence[AnnotatedRecording]) -> float:
    """Length of the parts that were listened to, in hours."""
    spans = [end - start for one in recordings for start, end in one.spans]
    return sum(spans) / SECONDS_PER_HOUR


def copies(recordings: Sequence[AnnotatedRecording]) -> int:
    """How many recordings have the sound of an earlier recording, as far as known."""
    keys = [one.content.digests if one.content else () for one in recordings]
    return len(recordings) - len(set(united(keys)))
