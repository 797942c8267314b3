"""Filters on the score curve of a class and on its events; lengths in seconds become frames.

Frames of a recording have nearly the same length. A filter of some seconds has a fixed number of
frames, from the typical length of a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sonotype.config import EventOptions

FloatArray = npt.NDArray[np.float64]
Span = tuple[int, int, float]
"""First frame, frame after the last, score."""
TimedSpan = tuple[float, float, float]
"""Start and end in seconds, score."""

TYPICAL_FRAMES = 9
"""Frames at the start of a recording whose median length is the typical length."""
FLOOR = 0.1
"""Share of the threshold below which scores count as 0; method change_point."""
TOLERANCE = 1e-9
"""Rounding of times in seconds."""


@dataclass(frozen=True)
class FilterSizes:
    """The filters of a class in frames.

    Attributes:
        floor: scores below it count as 0.
        median: length of the median filter, odd; 1 for none.
        step: length of each half of the step filter; 0 for method threshold.
    """

    floor: float
    median: int
    step: int

    @property
    def separation(self) -> int:
        """Number of frames of background after which a filter sees nothing of what was before."""
        return max(1, self.median - 1, 2 * self.step)


def typical_frame(times: FloatArray) -> float:
    """Typical length of a frame in seconds: the median of the first ones.

    The start of the recording is enough, and is the same for a recording that still goes on.

    Args:
        times: ``[frames + 1]`` boundaries in seconds, with at least the first 9 frames, or all.
    """
    lengths = np.diff(times[: TYPICAL_FRAMES + 1])
    lengths = lengths[lengths > 0]
    return float(np.median(lengths)) if lengths.size else 1.0


def filter_sizes(options: EventOptions, frame: float, floor: float | None = None) -> FilterSizes:
    """The filters in frames of ``frame`` seconds; the median filter has the nearest odd number.

    Args:
        options: of the class.
        frame: typical length of a frame in seconds.
        floor: scores below it count as 0. Default: the lower threshold of the hysteresis, or a
            tenth of the threshold for method change_point.
    """
    median = 2 * int(options.median / frame / 2 + TOLERANCE) + 1
    if options.method == "threshold":
        lowest = options.threshold * options.hysteresis
        return FilterSizes(lowest if floor is None else floor, median, 0)
    step = max(1, round(options.step / 2 / frame))
    return FilterSizes(options.threshold * FLOOR if floor is None else floor, median, step)


def active_parts(active: npt.NDArray[np.bool_], separation: int) -> list[tuple[int, int]]:
    """Parts of a curve that filters can treat alone: first frame, and frame after the last.

    Parts begin and end with an active frame; between two of them are at least ``separation``
    frames that are not active.
    """
    frames = np.flatnonzero(active)
    if not frames.size:
        return []
    breaks = np.flatnonzero(np.diff(frames) > separation)
    firsts = np.concatenate([frames[:1], frames[breaks + 1]])
    lasts = np.concatenate([frames[breaks], frames[-1:]])
    return list(zip(firsts.tolist(), (lasts + 1).tolist(), strict=True))


def median_filter(score: FloatArray, size: int, before: int, after: int) -> FloatArray:
    """Median over ``size`` frames around each frame of a part ``[frames]``.

    Args:
        score: of the part; 0 where it is below the floor.
        size: odd.
        before: frames of the recording before the part. They are background. Before the start of
            the recording its first score counts.
        after: likewise after the part.
    """
    if size == 1:
        return score
    from scipy.ndimage import median_filter as scipy_filter  # late: takes a while to import

    before, after = min(before, size // 2), min(after, size // 2)
    padded = np.pad(score, (before, after))
    filtered: FloatArray = scipy_filter(padded, size, mode="nearest")
    return filtered[before : before + len(score)]


def join(first: TimedSpan, second: TimedSpan, gap: float) -> TimedSpan | None:
    """Two events as one if at most ``gap`` seconds are between them, with the higher score."""
    if second[0] - first[1] > gap + TOLERANCE:
        return None
    return first[0], second[1], max(first[2], second[2])


def close_gaps(events: Iterable[TimedSpan], gap: float) -> Iterator[TimedSpan]:
    """Join events in order of time while gaps are at most ``gap`` seconds."""
    last: TimedSpan | None = None
    for event in events:
        joined = join(last, event, gap) if last else None
        if last and not joined:
            yield last
        last = joined or event
    if last:
        yield last


def limit_length(event: TimedSpan, options: EventOptions) -> TimedSpan | None:
    """``None`` for an event that is too short; an event that is too long ends at the limit.

    A long event stays one event with its start and score: two events would be counted twice, and
    no event would hide a sound that was detected.
    """
    start, end, score = event
    if end <= start or end - start < options.min_length - TOLERANCE:
        return None
    if options.max_length:
        end = min(end, start + options.max_length)
    return start, end, score
