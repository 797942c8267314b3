"""Counts of right and wrong sound events of one recording, for three kinds of score.

All times are integers, microseconds, so that comparisons on a limit are exact. One function,
:func:`covered`, serves most of the counts. Let U be a union of disjoint intervals and C(t) the
length of U before t, a piecewise linear function with slopes 0 and 1. An interval [a, b] has
C(b) - C(a) of its length in U.

Event-based (Mesaros, Heittola and Virtanen, "Metrics for polyphonic sound event detection", 2016).
    A detected event can match a reference event of its class if the onsets differ by at most the
    onset collar, and the offsets by at most the larger of the offset collar and its rate times the
    length of the reference event. Every event has at most one partner, and the number of pairs is
    the largest possible one: a maximum matching. tp: pairs; fp: other detected events; fn: other
    reference events.

Segment-based (the same paper).
    A class is active in a segment that one of its events overlaps. tp, fp and fn are segments.
    The segments begin at the start of each span; the last of a span may be shorter.

Intersection-based (Bilen et al., "A framework for the robust evaluation of sound event detection",
2020).
    A detected event is relevant if reference events of its class cover at least the share ``dtc``
    of it. A reference event is found if relevant detected events cover at least the share ``gtc``
    of it. tp: found reference events; fn: the others; fp: detected events that are not relevant.
    Where events of one class overlap, the common part counts once.

A false alarm is a detected event that overlaps no reference event of its class. A cross trigger is
a detected event that is not relevant, and of which reference events of other classes cover at least
the share ``cttc``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from sonotype.config import option

MICROSECONDS = 1_000_000
SCORES = ("event_based", "segment_based", "intersection_based")

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EventScoreOptions:
    """When a detected event counts as right; the defaults are usual in the field."""

    onset_collar: float = option(0.2, "Event-based: largest difference of onsets in s", low=0)
    offset_collar: float = option(0.2, "Event-based: allowed difference of offsets in s", low=0)
    offset_collar_rate: float = option(
        0.2, "Event-based: allowed difference of offsets, as a share of the event's length", low=0
    )
    segment: float = option(1.0, "Segment-based: length of a segment in s", low=0.001)
    dtc: float = option(
        0.5, "Intersection-based: covered share of a right detection", low=0.01, high=1
    )
    gtc: float = option(0.5, "Intersection-based: covered share of a found event", low=0.01, high=1)
    cttc: float = option(
        0.3,
        "Share of a false detection that other classes cover to be a confusion",
        low=0.01,
        high=1,
    )


@dataclass(frozen=True, eq=False)
class EventCounts:
    """Counts of one recording, by class.

    Attributes:
        scores: ``[classes, 3, 3]`` tp, fp and fn of the three ``SCORES``.
        reference: ``[classes]`` reference events.
        detected: ``[classes]`` detected events.
        false_alarms: ``[classes]`` detected events that overlap no reference event of the class.
        cross_triggers: ``[classes]`` false detections where other classes are active.
    """

    scores: IntArray
    reference: IntArray
    detected: IntArray
    false_alarms: IntArray
    cross_triggers: IntArray


def microseconds(intervals: Sequence[tuple[float, float]]) -> IntArray:
    """``[n, 2]`` starts and ends in microseconds from seconds."""
    seconds = np.array(intervals, dtype=np.float64).reshape(-1, 2)
    return np.rint(seconds * MICROSECONDS).astype(np.int64)


def merge(intervals: IntArray) -> IntArray:
    """``[n, 2]`` sorted, disjoint intervals that cover the same; touching ones are joined."""
    intervals = intervals[intervals[:, 1] > intervals[:, 0]]
    if not len(intervals):
        return intervals
    intervals = intervals[np.argsort(intervals[:, 0])]
    ends = np.maximum.accumulate(intervals[:, 1])
    first = np.append(True, intervals[1:, 0] > ends[:-1])
    last = np.append(first[1:], True)
    return np.stack([intervals[first, 0], ends[last]], axis=1)


def covered(intervals: IntArray, union: IntArray) -> IntArray:
    """``[n]`` lengths that the union, from :func:`merge`, covers of ``[n, 2]`` intervals."""
    if not len(union):
        return np.zeros(len(intervals), dtype=np.int64)
    # The values at the bounds are exact as float64, and so are values between them: the slope is 1.
    total = np.append(0, np.cumsum(union[:, 1] - union[:, 0])).repeat(2)[1:-1]
    before = np.interp(intervals, union.ravel(), total)
    length: IntArray = (before[:, 1] - before[:, 0]).astype(np.int64)
    return length


def cut(intervals: IntArray, spans: IntArray, shortest: int) -> tuple[IntArray, IntArray]:
    """The pieces of intervals inside the spans, ``[m, 2]``, and the indices of their intervals.

    An interval that reaches into several spans gives a piece for each. A piece shorter than
    ``shortest`` is dropped if it is less than half of its interval: the end of a detected event
    that lies outside of the span is not an event of the span.
    """
    pieces, indices = [np.empty((0, 2), dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    length = intervals[:, 1] - intervals[:, 0]
    for start, end in spans:
        piece = np.clip(intervals, start, end)
        inside = piece[:, 1] - piece[:, 0]
        kept = (inside > 0) & ((inside >= shortest) | (2 * inside >= length))
        pieces.append(piece[kept])
        indices.append(np.flatnonzero(kept))
    return np.concatenate(pieces), np.concatenate(indices)


def matched(reference: IntArray, detected: IntArray, options: EventScoreOptions) -> int:
    """Number of pairs of a maximum matching of events of one class."""
    if not (len(reference) and len(detected)):
        return 0
    collar = round(options.onset_collar * MICROSECONDS)
    length = reference[:, 1] - reference[:, 0]
    tolerance = np.maximum(
        round(options.offset_collar * MICROSECONDS), np.rint(options.offset_collar_rate * length)
    )
    detected = detected[np.argsort(detected[:, 0])]
    low = np.searchsorted(detected[:, 0], reference[:, 0] - collar, "left")
    high = np.searchsorted(detected[:, 0], reference[:, 0] + collar, "right")
    # The pairs whose onsets agree: for each reference event a range of detected events.
    rows = np.repeat(np.arange(len(reference)), high - low)
    columns = np.arange(len(rows)) + np.repeat(high - np.cumsum(high - low), high - low)
    close = np.abs(detected[columns, 1] - reference[rows, 1]) <= tolerance[rows]
    pairs = (np.ones(close.sum(), dtype=np.int8), (rows[close], columns[close]))
    graph = csr_array(pairs, shape=(len(reference), len(detected)))
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


def segments(spans: IntArray, length: int) -> IntArray:
    """``[n, 2]`` segments of a length inside the spans; the last of a span may be shorter."""
    starts = [np.arange(start, end, length) for start, end in spans]
    ends = [np.minimum(at + length, end) for at, (_, end) in zip(starts, spans, strict=True)]
    none = np.empty(0, dtype=np.int64)
    return np.stack([np.concatenate([none, *starts]), np.concatenate([none, *ends])], axis=1)


def count_events(
    reference: Sequence[IntArray],
    detected: Sequence[IntArray],
    spans: IntArray,
    options: EventScoreOptions,
) -> EventCounts:
    """The counts of one recording.

    Args:
        reference: for each class the ``[n, 2]`` reference events, inside the spans.
        detected: for each class the ``[n, 2]`` detected events, inside the spans.
        spans: ``[n, 2]``, from :func:`merge`.
        options: of the scores.
    """
    parts = segments(spans, round(options.segment * MICROSECONDS))
    unions = [merge(events) for events in reference]
    scores = np.zeros((len(reference), len(SCORES), 3), dtype=np.int64)
    alarms, triggers = np.zeros((2, len(reference)), dtype=np.int64)
    for index, (true, found, union) in enumerate(zip(reference, detected, unions, strict=True)):
        pairs = matched(true, found, options)
        scores[index, 0] = pairs, len(found) - pairs, len(true) - pairs
        active, claimed = covered(parts, union) > 0, covered(parts, merge(found)) > 0
        scores[index, 1] = (
            (active & claimed).sum(),
            (claimed & ~active).sum(),
            (active & ~claimed).sum(),
        )
        inside = covered(found, union)
        relevant = inside >= _share(found, options.dtc)
        is_found = covered(true, merge(found[relevant])) >= _share(true, options.gtc)
        scores[index, 2] = is_found.sum(), (~relevant).sum(), (~is_found).sum()
        alarms[index] = (inside == 0).sum()
        wrong = found[~relevant]
        if len(wrong):
            others = merge(np.concatenate([*unions[:index], *unions[index + 1 :], wrong[:0]]))
            triggers[index] = (covered(wrong, others) >= _share(wrong, options.cttc)).sum()
    return EventCounts(
        scores,
        np.array([len(events) for events in reference], dtype=np.int64),
        np.array([len(events) for events in detected], dtype=np.int64),
        alarms,
        triggers,
    )


def _share(intervals: IntArray, share: float) -> FloatArray:
    """``[n]`` lengths times a share, in whole microseconds."""
    length: FloatArray = np.rint(share * (intervals[:, 1] - intervals[:, 0]))
    return length
