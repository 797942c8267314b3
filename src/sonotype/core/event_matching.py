"""Matching of reference and detected sound events of a class.

All times are integers, microseconds, so that comparisons on a limit are exact. One function,
:func:`covered`, serves most of the counts. Let U be a union of disjoint intervals and C(t) the
length of U before t, a piecewise linear function with slopes 0 and 1. An interval [a, b] has
C(b) - C(a) of its length in U.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

MICROSECONDS = 1_000_000

IntArray = npt.NDArray[np.int64]


class Collars(Protocol):
    """How far a detected event may be from the reference event that it matches."""

    @property
    def onset_collar(self) -> float:
        """Largest difference of the onsets in seconds."""

    @property
    def offset_collar(self) -> float:
        """Allowed difference of the offsets in seconds."""

    @property
    def offset_collar_rate(self) -> float:
        """Allowed difference of the offsets, as a share of the length of the reference event."""


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

    Args:
        intervals: ``[n, 2]``, in any order.
        spans: ``[m, 2]``, sorted and disjoint.
        shortest: in microseconds.
    """
    first = np.searchsorted(spans[:, 1], intervals[:, 0], "right")
    last = np.searchsorted(spans[:, 0], intervals[:, 1], "left")
    indices, columns = _pairs(first, np.maximum(first, last))
    order = np.argsort(columns, kind="stable")
    indices, columns = indices[order], columns[order]
    bounds = spans[columns]
    pieces = np.stack(
        [
            np.maximum(intervals[indices, 0], bounds[:, 0]),
            np.minimum(intervals[indices, 1], bounds[:, 1]),
        ],
        axis=1,
    )
    inside = pieces[:, 1] - pieces[:, 0]
    length = (intervals[:, 1] - intervals[:, 0])[indices]
    kept = (inside > 0) & ((inside >= shortest) | (2 * inside >= length))
    return pieces[kept], indices[kept]


def matched(reference: IntArray, detected: IntArray, collars: Collars) -> int:
    """Number of pairs of a maximum matching of events of one class."""
    if not (len(reference) and len(detected)):
        return 0
    collar = round(collars.onset_collar * MICROSECONDS)
    length = reference[:, 1] - reference[:, 0]
    tolerance = np.maximum(
        round(collars.offset_collar * MICROSECONDS), np.rint(collars.offset_collar_rate * length)
    )
    detected = detected[np.argsort(detected[:, 0])]
    low = np.searchsorted(detected[:, 0], reference[:, 0] - collar, "left")
    high = np.searchsorted(detected[:, 0], reference[:, 0] + collar, "right")
    # The pairs whose onsets agree: for each reference event a range of detected events.
    rows, columns = _pairs(low, high)
    close = np.abs(detected[columns, 1] - reference[rows, 1]) <= tolerance[rows]
    pairs = (np.ones(close.sum(), dtype=np.int8), (rows[close], columns[close]))
    graph = csr_array(pairs, shape=(len(reference), len(detected)))
    return int((maximum_bipartite_matching(graph, perm_type="column") >= 0).sum())


def _pairs(low: IntArray, high: IntArray) -> tuple[IntArray, IntArray]:
    """All pairs of a row and one of its columns, which are ``range(low[row], high[row])``."""
    count = high - low
    rows = np.repeat(np.arange(len(low)), count)
    columns = np.arange(len(rows)) + np.repeat(high - np.cumsum(count), count)
    return rows, columns
