"""Counts of right, wrong and missed events for every class and threshold.

All recordings lie on one axis of time, in microseconds, with pauses between them, so that one
matching serves all events of a class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sonotype.config import EventOptions
from sonotype.core.annotations import AnnotatedRecording, Event
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.event_matching import (
    MICROSECONDS,
    Collars,
    IntArray,
    covered,
    cut,
    matched,
    merge,
    microseconds,
)
from sonotype.core.text import listed
from sonotype.detect.change_points import boxes
from sonotype.detect.filters import (
    TOLERANCE,
    FloatArray,
    TimedSpan,
    active_parts,
    filter_sizes,
    median_filter,
    typical_frame,
)

GRID: FloatArray = 1 / (1 + np.exp(-np.arange(-4, 7.01, 0.25)))
"""Thresholds, evenly spaced in log-odds."""
STEP = 0.25
"""Distance of two thresholds in log-odds."""
RIGHT, FOUND, TRUE, ALARMS = range(4)
"""Columns of the counts: right detected events, detected events, reference events, and false alarms
in stretches without any event."""
OWN_SHARE = 10
"""A detection in background is a false alarm if less than this part of it is an event of its class:
one tenth."""
PAUSE = 3600.0
"""Seconds between two recordings on the common axis; collars and gaps are shorter."""


@dataclass(frozen=True, eq=False)
class ScoredRecording:
    """Scores of a recording by a model that was not trained on it, and what is there.

    Attributes:
        name: for messages.
        times: ``[frames + 1]`` boundaries of the frames in seconds.
        scores: ``[frames, classes]`` probabilities.
        events: that are there, of all classes.
        spans: the parts that were listened to, as (start, end) in seconds.
        fold: the recordings of one fold are scored with options chosen on those of the others.
    """

    name: str
    times: FloatArray
    scores: npt.NDArray[np.floating]
    events: tuple[Event, ...]
    spans: tuple[tuple[float, float], ...]
    fold: int = 0

    @classmethod
    def of(
        cls,
        recording: AnnotatedRecording,
        times: FloatArray,
        scores: npt.NDArray[np.floating],
        folds: Mapping[str, int],
    ) -> ScoredRecording:
        """The scores of an annotated recording, whose group has a fold if there are any."""
        fold = folds[recording.own_group] if folds else 0
        return cls(str(recording.path), times, scores, recording.events, recording.spans, fold)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is in all recordings, in microseconds on the common axis.

    Attributes:
        starts: ``[recordings]`` where each recording starts, in seconds.
        spans: ``[n, 2]`` the parts that were listened to.
        events: ``[n, 2]`` reference events of each class.
        active: ``[n, 2]`` where there is an event of any class, also of one that is not detected.
        background: hours of the spans without any event.
    """

    starts: FloatArray
    spans: IntArray
    events: tuple[IntArray, ...]
    active: IntArray
    background: float


def require_scored(recordings: Sequence[ScoredRecording], classes: Sequence[str]) -> None:
    """Refuse recordings that cannot be used.

    Raises:
        DataError: lists all recordings with invalid times, scores, events or spans.
        OptionsError: no recordings, or no or repeated classes.
    """
    if not recordings:
        raise OptionsError("there are no scored recordings: give at least one")
    if not classes or len(set(classes)) < len(classes):
        raise OptionsError(f"classes must be different names, got {listed(classes) or 'none'}")
    issues = []
    for one in recordings:
        times, scores = np.asarray(one.times), np.asarray(one.scores)
        if times.ndim != 1 or len(times) < 2 or scores.shape != (len(times) - 1, len(classes)):
            cause = (
                f"scores of shape {scores.shape} with {times.size} times and {len(classes)} "
                "classes: must be [frames, classes], with frames + 1 times and at least 1 frame"
            )
            issues.append(DataIssue(one.name, 0, cause))
        elif not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
            issues.append(DataIssue(one.name, 0, "times of the scores must be finite and increase"))
        elif not ((scores >= 0) & (scores <= 1)).all():
            issues.append(DataIssue(one.name, 0, "scores must be from 0 to 1"))
        for event in one.events:
            if not -math.inf < event.start < event.end < math.inf:
                cause = f"event {event.label} from {event.start} to {event.end} s: not an interval"
                issues.append(DataIssue(event.file or one.name, event.line, cause))
        for start, end in one.spans:
            if not -math.inf < start < end < math.inf:
                issues.append(DataIssue(one.name, 0, f"span {start} to {end} s: not an interval"))
    if issues:
        raise DataError("scored recordings", issues)


def join_recordings(recordings: Sequence[ScoredRecording], classes: Sequence[str]) -> Truth:
    """The reference events and spans of all recordings on the common axis."""
    ends = [
        [float(one.times[-1]), *(end for _, end in one.spans), *(item.end for item in one.events)]
        for one in recordings
    ]
    lengths = [max(times) + PAUSE for times in ends]
    starts = np.cumsum([0.0, *lengths[:-1]])
    pairs = list(zip(starts.tolist(), recordings, strict=True))
    spans = merge(microseconds([(at + a, at + b) for at, one in pairs for a, b in one.spans]))
    events = [(at + event.start, at + event.end) for at, one in pairs for event in one.events]
    labels = np.array([event.label for one in recordings for event in one.events], dtype=object)
    inside, indices = cut(microseconds(events), spans, 0)
    labels = labels[indices]
    active = merge(inside)
    free = int((spans[:, 1] - spans[:, 0]).sum() - (active[:, 1] - active[:, 0]).sum())
    return Truth(
        starts=starts,
        spans=spans,
        events=tuple(inside[labels == label] for label in classes),
        active=active,
        background=free / MICROSECONDS / 3600,
    )


def count_thresholds(
    recordings: Sequence[ScoredRecording],
    truth: Truth,
    options: Sequence[EventOptions],
    collars: Collars,
) -> IntArray:
    """``[classes, thresholds, 4]`` counts with the options of each class at every threshold.

    Method change_point: scores below a tenth of the threshold of the options count as 0 at every
    threshold, so that each recording is searched for boxes once.
    """
    counts = np.zeros((len(options), len(GRID), 4), dtype=np.int64)
    shortest = round(collars.onset_collar * MICROSECONDS)
    for index, (true, one) in enumerate(zip(truth.events, options, strict=True)):
        found = _Found(recordings, truth.starts, index, one)
        own = merge(true)
        last: IntArray | None = None
        for at, threshold in enumerate(GRID.tolist()):
            events = found.at(threshold)
            if last is not None and np.array_equal(events, last):
                counts[index, at] = counts[index, at - 1]
                continue
            last = events
            pieces, _ = cut(events, truth.spans, shortest)
            length = pieces[:, 1] - pieces[:, 0]
            quiet = 2 * covered(pieces, truth.active) <= length
            # A short event with wide ends is not counted, but a detection that never ends is.
            alarms = quiet & (OWN_SHARE * covered(pieces, own) < length)
            counts[index, at] = (
                matched(true, pieces, collars), len(pieces), len(true), alarms.sum()
            )  # fmt: skip
    return counts


class _Found:
    """The detected events of a class at any threshold, on the common axis."""

    def __init__(
        self,
        recordings: Sequence[ScoredRecording],
        starts: FloatArray,
        index: int,
        options: EventOptions,
    ) -> None:
        self._options = options
        self._curves: list[tuple[FloatArray, FloatArray]] = []
        spans: list[TimedSpan] = []
        for start, one in zip(starts.tolist(), recordings, strict=True):
            score = np.asarray(one.scores[:, index], dtype=np.float64)
            if options.method == "change_point":
                spans += [(start + a, start + b, c) for a, b, c in boxes(one.times, score, options)]
            else:
                size = filter_sizes(options, typical_frame(one.times)).median
                self._curves.append((one.times + start, median_filter(score, size, 0, 0)))
        self._spans: FloatArray = np.array(spans, dtype=np.float64).reshape(-1, 3)

    def at(self, threshold: float) -> IntArray:
        """``[n, 2]`` events at a threshold, in order of time."""
        options = self._options
        if options.method == "change_point":
            found = self._spans[self._spans[:, 2] >= threshold, :2]
        else:
            runs = [_runs(*curve, threshold, options.hysteresis) for curve in self._curves]
            found = np.concatenate(runs)
        if len(found) > 1:
            apart = found[1:, 0] - found[:-1, 1] > options.merge_gap + TOLERANCE
            found = np.stack(
                [found[np.append(True, apart), 0], found[np.append(apart, True), 1]], axis=1
            )
        found = found[found[:, 1] - found[:, 0] >= options.min_length - TOLERANCE]
        if options.max_length:
            found[:, 1] = np.minimum(found[:, 1], found[:, 0] + options.max_length)
        events: IntArray = np.rint(found * MICROSECONDS).astype(np.int64)
        return events


def _runs(times: FloatArray, score: FloatArray, threshold: float, hysteresis: float) -> FloatArray:
    """``[n, 2]`` starts and ends of runs of at least the lower threshold that reach the higher."""
    bounds = np.array(active_parts(score >= threshold * hysteresis, 1), dtype=np.intp)
    bounds = bounds.reshape(-1, 2)
    if not len(bounds):
        return np.empty((0, 2))
    highest = np.maximum.reduceat(np.append(score, 0.0), bounds.ravel())[::2]
    found: FloatArray = times[bounds[highest >= threshold]]
    return found
