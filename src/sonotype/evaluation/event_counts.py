"""Counts of right and wrong sound events of one recording, for three kinds of score.

All times are integers, microseconds, so that comparisons on a limit are exact; see
:mod:`sonotype.core.event_matching`.

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

from sonotype.config import option
from sonotype.core.event_matching import MICROSECONDS, IntArray, covered, matched, merge

SCORES = ("event_based", "segment_based", "intersection_based")

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
