"""Windows of annotated recordings as labelled clips.

A window has the label of every event that lies in it with at least a given share of its length (of
the window's length, where the event is longer). Of an event that lies in it with less, it is
uncertain whether the class can be recognised, and such a class is ignored in this window. Where a
window reaches out of the parts that were listened to, all classes without an event in it are
uncertain; a window that reaches out of them and has no label is not used. A window without events
is background; most of a recording is, so only some of these windows are used.
"""

from __future__ import annotations

import bisect
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.types import LEVELS, Clip, Problem

MOST_WINDOWS = 8000
"""Largest number of training windows: their features have to fit into memory."""
ROUNDING = 1e-6
"""Seconds within which times are equal."""


@dataclass(frozen=True)
class WindowOptions:
    """How to cut windows.

    Attributes:
        seconds: length of a window.
        hop: seconds from one window to the next; 0 for a quarter of a window.
        min_overlap: share of an event in a window from which the window has its label.
        background: largest number of windows without events, for each window with one.
        problem: ``"single"`` gives each window the label with the most seconds in it.
        seed: of the choice of background windows.
        level: name of the level of the labels.
    """

    seconds: float
    hop: float = 0.0
    min_overlap: float = 0.5
    background: float = 1.0
    problem: Problem = "multi"
    seed: int = 0
    level: str = LEVELS[0]

    @property
    def step(self) -> float:
        """Seconds from one window to the next."""
        return self.hop or self.seconds / 4


def training_windows(
    recordings: Iterable[AnnotatedRecording], options: WindowOptions
) -> tuple[Clip, ...]:
    """Windows of all recordings, in order: those with events, and some of the background.

    Of more than :data:`MOST_WINDOWS`, a part is chosen in which rare classes have more windows than
    by chance.
    """
    recordings = tuple(recordings)
    classes = {event.label for one in recordings for event in one.events}
    clips = [clip for one in recordings for clip in labelled_windows(one, classes, options)]
    empty = [index for index, clip in enumerate(clips) if not clip.labels.get(options.level)]
    kept = round(options.background * (len(clips) - len(empty)))
    if kept < len(empty):
        chosen = np.random.default_rng(options.seed).permutation(len(empty))[:kept]
        dropped = set(empty) - {empty[index] for index in chosen}
        clips = [clip for index, clip in enumerate(clips) if index not in dropped]
    return _thinned(clips, options)


def _thinned(clips: list[Clip], options: WindowOptions) -> tuple[Clip, ...]:
    """At most :data:`MOST_WINDOWS` windows.

    The share of windows without events stays. Of those with events, each class has an equal number
    as far as there are.
    """
    if len(clips) <= MOST_WINDOWS:
        return tuple(clips)
    order = np.random.default_rng(options.seed).permutation(len(clips)).tolist()
    of_class: dict[str, list[int]] = {}
    empty = []
    for index in order:
        labels = clips[index].labels.get(options.level)
        if not labels:
            empty.append(index)
        for label in labels or ():
            of_class.setdefault(label, []).append(index)
    chosen = set(empty[: round(MOST_WINDOWS * len(empty) / len(clips))])
    left = sorted(of_class.values(), key=len)
    while left and len(chosen) < MOST_WINDOWS:
        share = max((MOST_WINDOWS - len(chosen)) // len(left), 1)
        rarest = [index for index in left.pop(0) if index not in chosen]
        chosen.update(rarest[:share])
    without = set(empty)
    rest = [index for index in order if index not in chosen and index not in without]
    chosen.update(rest[: MOST_WINDOWS - len(chosen)])
    return tuple(clips[index] for index in sorted(chosen))


def labelled_windows(
    recording: AnnotatedRecording,
    classes: Collection[str],
    options: WindowOptions,
    starts: Iterable[float] | None = None,
) -> Iterator[Clip]:
    """Every window of one recording that teaches something, in order.

    Args:
        recording: with its events.
        classes: of all recordings; events of other classes are ignored.
        options: how to cut windows.
        starts: of the windows, in seconds; default: :func:`window_starts`.
    """
    events = sorted(
        (event for event in recording.events if event.label in classes),
        key=lambda event: event.start,
    )
    onsets = [event.start for event in events]
    longest = max((event.end - event.start for event in events), default=0.0)
    for start in window_starts(recording, options) if starts is None else starts:
        end = start + options.seconds
        first = bisect.bisect_left(onsets, start - longest)
        parts: dict[str, list[tuple[float, Event]]] = {}
        for event in events[first : bisect.bisect_left(onsets, end)]:
            if (share := _share(event, start, end)) > 0:
                parts.setdefault(event.label, []).append((share, event))
        present = {
            label
            for label, found in parts.items()
            if any(share >= options.min_overlap - ROUNDING for share, _ in found)
        }
        whole = _listened(recording, start, end)
        single = options.problem == "single"
        if not present and (not whole or (single and parts)):
            continue
        labels: dict[str, tuple[str, ...]]
        uncertain: dict[str, tuple[str, ...]]
        if single:
            names = (_longest(parts, present, start, end),) if present else ()
            labels, uncertain = {options.level: names} if names else {}, {}
        else:
            others = (set(parts) if whole else set(classes)) - present
            if not present and others == set(classes):
                continue
            labels = {options.level: tuple(sorted(present))}
            uncertain = {options.level: tuple(sorted(others))} if others else {}
        yield Clip(
            recording.path,
            labels,
            recording.own_group,
            recording.fold,
            recording.content,
            start,
            options.seconds,
            uncertain,
        )


def window_starts(recording: AnnotatedRecording, options: WindowOptions) -> list[float]:
    """Starts in seconds of the windows of a recording that touch a part that was listened to.

    They are multiples of the hop, and the last one ends with the recording. A recording that is
    shorter than a window has one window, which silence completes.
    """
    last = recording.seconds - options.seconds
    if last <= ROUNDING:
        return [0.0] if recording.spans else []
    count = int(np.floor((last + ROUNDING) / options.step)) + 1
    starts = [round(number * options.step, 9) for number in range(count)]
    if last - starts[-1] > ROUNDING:
        starts.append(round(last, 9))
    return [
        start
        for start in starts
        if any(low < start + options.seconds and start < high for low, high in recording.spans)
    ]


def _share(event: Event, start: float, end: float) -> float:
    """Share of an event in a window; 1 also where the event fills the window; 0 if they touch."""
    overlap = min(event.end, end) - max(event.start, start)
    return overlap / min(event.end - event.start, end - start) if overlap > ROUNDING else 0.0


def _listened(recording: AnnotatedRecording, start: float, end: float) -> bool:
    """Whether a window lies in a part that was listened to, as far as the recording goes."""
    end = min(end, recording.seconds)
    return any(low - ROUNDING <= start and end <= high + ROUNDING for low, high in recording.spans)


def _longest(
    parts: dict[str, list[tuple[float, Event]]], present: set[str], start: float, end: float
) -> str:
    """The label with the most seconds in a window; the first by name of equal ones."""

    def steps(label: str) -> int:
        seconds = sum(min(e.end, end) - max(e.start, start) for _, e in parts[label])
        return round(seconds / ROUNDING)

    return max(sorted(present), key=steps)
