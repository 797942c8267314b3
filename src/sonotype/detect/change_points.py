"""Event boxes from the changes of a score curve.

After J. Ebbers, F. Germain, G. Wichern, J. Le Roux, "Sound Event Bounding Boxes", Interspeech 2024,
https://arxiv.org/abs/2406.04212. A threshold on the frames ties the extent of an event to the
threshold: the higher the threshold, the shorter the event. A box has a start, an end and one
confidence; the threshold only selects boxes.

A step filter over the score curve ``y``, with halves of ``h`` frames, gives the change at the
boundary ``i`` between the frames ``i - 1`` and ``i``::

    change[i] = (y[i] + ... + y[i + h - 1] - y[i - h] - ... - y[i - 1]) / h

Local maxima of the change are onsets, local minima are offsets; they alternate. From an onset to
the next offset is a box, from there to the next onset a gap. The confidence of a box or a gap is
its mean score. Two neighbouring boxes are joined if the gap between them is not clearly lower.

Choices made here, for recordings of any length; they may differ from the paper:

- Scores below a floor, and scores outside the recording, count as 0. Boxes with at least ``2 h``
  such frames between them are never joined. So a recording can be treated part by part.
- The higher confidence of the two boxes is compared with that of the gap: the boxes are joined if
  the difference is below an absolute threshold, or the ratio below a relative one. With the lower
  confidence, a box would be joined with the slightly varying background beside it, and the mean
  over both would be below any threshold.
- The two boxes with the smallest difference from their gap are joined first, then all confidences
  around them are computed again.
- Of several equal maxima or minima in a row, the one that makes the box shorter counts.
- Start and end lie inside frames, see :func:`refined`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sonotype.config import EventOptions
from sonotype.detect.filters import (
    FloatArray,
    Span,
    TimedSpan,
    active_parts,
    filter_sizes,
    median_filter,
    typical_frame,
)

Indices = npt.NDArray[np.intp]
DIGITS = 9
"""Decimal places of changes and confidences: equal values must not differ by rounding errors."""


def boxes(
    times: FloatArray, score: FloatArray, options: EventOptions, floor: float | None = None
) -> list[TimedSpan]:
    """All boxes of a class, before the threshold and the options on gaps and lengths.

    Args:
        times: ``[frames + 1]`` boundaries in seconds.
        score: ``[frames]`` of the class.
        options: with method change_point.
        floor: scores below it count as 0; default: a tenth of the threshold. For scores over all
            thresholds take a small number, such as 0.01.

    Returns:
        Start and end in seconds and confidence, in order of time; no two overlap.
    """
    sizes = filter_sizes(options, typical_frame(times), floor)
    score = np.where(score >= sizes.floor, score, 0.0).astype(np.float64)
    smooth = median_filter(score, sizes.median, 0, 0)
    return refined(times, smooth, curve_boxes(smooth, sizes.floor, sizes.step, options))


def refined(times: FloatArray, score: FloatArray, spans: Sequence[Span]) -> list[TimedSpan]:
    """Boxes with a start and an end inside a frame.

    A frame that a sound covers in part has a score between that of the background, b, and that of
    the sound, L: the share ``(s - b) / (L - b)`` of it is covered. L is the highest score of the
    box, b the lower score of the two frames before the box. The box starts as long before the end
    of its first frame as this frame and the one before are covered together. The end is found in
    the same way. Where two boxes would then touch, the ends of the frames stay.

    Args:
        times: ``[frames + 1]`` boundaries in seconds.
        score: ``[frames]`` of the class; outside it is 0.
        spans: in order of time.
    """
    if not spans:
        return []
    outside = np.zeros(2)
    lengths = np.concatenate([outside, np.diff(times), outside])
    padded = np.concatenate([outside, score, outside])  # frame i is at i + 2
    edges = np.array([span[:2] for span in spans])
    first, stop = edges.T
    level = np.maximum.reduceat(padded, edges.ravel() + 2)[::2]  # every other span is a gap
    inward = np.arange(3)[:, None]
    starts = times[first + 1] - _covered(padded, lengths, first + inward, level)
    ends = times[stop - 1] + _covered(padded, lengths, stop + 3 - inward, level)
    outer = times[edges].tolist()
    found: list[TimedSpan] = []
    for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if found and start <= found[-1][1]:
            start = outer[index][0]
            found[-1] = (found[-1][0], outer[index - 1][1], found[-1][2])
        found.append((start, end, spans[index][2]))
    return found


def _covered(
    score: FloatArray, lengths: FloatArray, frames: Indices, level: FloatArray
) -> FloatArray:
    """Seconds that sounds ``[boxes]`` cover of the last two of three frames.

    Args:
        score: of the frames of the recording.
        lengths: of the frames in seconds.
        frames: ``[3, boxes]`` from outside to inside.
        level: ``[boxes]`` score of each sound.
    """
    parts = score[frames]
    background = parts[:2].min(axis=0)
    height = level - background
    share = (parts[1:] - background) / np.where(height > 0, height, 1)
    share = np.minimum(np.maximum(share, 0), 1)
    covered = (share * lengths[frames[1:]]).sum(axis=0)
    seconds: FloatArray = np.where(height > 0, covered, lengths[frames[2]])
    return seconds


def box_times(end: float, boxes_of: Sequence[Sequence[TimedSpan]]) -> FloatArray:
    """Boundaries ``[frames + 1]``, from 0 to the end, at which boxes of any class start or end."""
    edges = [time for found in boxes_of for start, stop, _ in found for time in (start, stop)]
    inner = np.unique(np.array(edges, dtype=np.float64))
    return np.concatenate([[0.0], inner[(inner > 0) & (inner < end)], [end]])


def box_scores(times: FloatArray, boxes_of: Sequence[Sequence[TimedSpan]]) -> FloatArray:
    """Frame scores ``[frames, classes]`` in which each box has its confidence; 0 between boxes.

    Args:
        times: ``[frames + 1]`` boundaries in seconds, such as :func:`box_times`.
        boxes_of: the boxes of each class, which do not overlap.
    """
    middles = (times[1:] + times[:-1]) / 2
    scores = np.zeros((len(middles), len(boxes_of)))
    for index, found in enumerate(boxes_of):
        for start, end, confidence in found:
            first, stop = np.searchsorted(middles, [start, end])
            scores[first:stop, index] = confidence
    return scores


def curve_boxes(score: FloatArray, floor: float, half: int, options: EventOptions) -> list[Span]:
    """Boxes of a curve: first frame, frame after the last, confidence.

    Args:
        score: ``[frames]``, at least ``floor``, or 0; outside it is 0.
        floor: least score of a box.
        half: frames in half of the step filter.
        options: with the thresholds for joining.
    """
    found = []
    for first, stop in active_parts(score >= floor, 2 * half):
        part = score[first:stop]
        sums = np.concatenate([[0.0], np.cumsum(part)])
        onsets, offsets = _candidates(sums, half)
        found += [
            (first + start, first + end, confidence)
            for start, end, confidence in _joined(onsets, offsets, sums, options)
        ]
    return found


def _candidates(sums: FloatArray, half: int) -> tuple[Indices, Indices]:
    """Onsets and offsets as boundaries of frames; both have the same number.

    Args:
        sums: ``[frames + 1]`` cumulative sums of the scores.
        half: frames in half of the step filter.
    """
    here = np.arange(len(sums))
    right = sums[np.minimum(here + half, len(sums) - 1)] - sums
    left = sums - sums[np.maximum(here - half, 0)]
    change = np.round(np.concatenate([[0.0], (right - left) / half, [0.0]]), DIGITS)
    slope = np.sign(np.diff(change))
    moves = np.flatnonzero(slope)  # between them the change is constant
    turns = np.diff(slope[moves])
    onsets = moves[1:][turns < 0] - 1  # the last of equal maxima
    offsets = moves[:-1][turns > 0]  # the first of equal minima
    return onsets, offsets


def _joined(
    onsets: Indices, offsets: Indices, sums: FloatArray, options: EventOptions
) -> list[Span]:
    """Boxes after joining those whose gap is not clearly lower.

    A heap has the pairs to join, by the difference from their gap; a pair that changed since is
    skipped, as its new version is in the heap as well.
    """
    starts, ends = onsets.tolist(), offsets.tolist()
    following, preceding = list(range(1, len(starts) + 1)), list(range(-1, len(starts) - 1))

    def mean(start: int, end: int) -> float:
        return round(float(sums[end] - sums[start]) / (end - start), DIGITS)

    heap: list[tuple[float, int, int, int]] = []

    def push(one: int) -> None:
        other = following[one] if one >= 0 else len(starts)
        if other == len(starts):
            return
        gap = mean(ends[one], starts[other])
        level = max(mean(starts[one], ends[one]), mean(starts[other], ends[other]))
        difference = round(level - gap, DIGITS)
        absolute = options.merge_absolute > 0 and difference < options.merge_absolute
        if absolute or level < options.merge_relative * gap:
            heapq.heappush(heap, (difference, one, ends[one], ends[other]))

    for one in range(len(starts)):
        push(one)
    gone = [False] * len(starts)
    while heap:
        _, one, end, other_end = heapq.heappop(heap)
        other = following[one]
        if gone[one] or other == len(starts) or (ends[one], ends[other]) != (end, other_end):
            continue
        ends[one], following[one], gone[other] = ends[other], following[other], True
        if following[one] < len(starts):
            preceding[following[one]] = one
        push(preceding[one])
        push(one)
    kept = (one for one in range(len(starts)) if not gone[one])
    return [(starts[one], ends[one], mean(starts[one], ends[one])) for one in kept]
