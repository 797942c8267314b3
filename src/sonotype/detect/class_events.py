"""From the scores of a class over time to its events.

The steps for each class are:

1. Scores below a floor count as 0: below the lower threshold of the hysteresis (method threshold),
   or below a tenth of the threshold (method change_point).
2. The median filter.
3. Method threshold: an event is a run of frames with at least the lower threshold that reaches the
   threshold. Its score is its highest score, so an event is found at each threshold up to its
   score. Method change_point: an event is a box, see :mod:`sonotype.detect.change_points`, with a
   mean score of at least the threshold.
4. Short gaps between events are closed; the joined event has the highest score of its parts.
5. Short events are dropped, and long events end at the maximum length.

After enough frames of background no filter sees what was before. A recording is therefore treated
in parts, and a stream keeps only the scores of classes that are active: both give the same events.
"""

from __future__ import annotations

import numpy as np

from sonotype.config import EventOptions, check
from sonotype.core.errors import OptionsError
from sonotype.detect.change_points import curve_boxes, refined
from sonotype.detect.filters import (
    FilterSizes,
    FloatArray,
    TimedSpan,
    active_parts,
    close_gaps,
    filter_sizes,
    limit_length,
    median_filter,
    typical_frame,
)


def class_events(times: FloatArray, score: FloatArray, options: EventOptions) -> list[TimedSpan]:
    """The events of one class in a whole recording.

    Args:
        times: ``[frames + 1]`` boundaries of the frames in seconds.
        score: ``[frames]`` of the class, from 0 to 1.
        options: of the class.

    Returns:
        Start and end in seconds and score of each event, in order of time.
    """
    sizes = filter_sizes(options, typical_frame(times))
    score = np.asarray(score, dtype=np.float64)
    active = score >= sizes.floor
    score = np.where(active, score, 0.0)
    found = []
    for first, stop in active_parts(active, sizes.separation):
        part = times[first : stop + 1]
        found += part_events(part, score[first:stop], sizes, options, (first, len(score) - stop))
    limited = (limit_length(event, options) for event in close_gaps(found, options.merge_gap))
    return [event for event in limited if event]


def check_events(options: EventOptions) -> None:
    """Check the options of a class.

    Raises:
        OptionsError: invalid values; a maximum length below the minimum.
    """
    check(options)
    if 0 < options.max_length < options.min_length:
        raise OptionsError(
            f"max_length is {options.max_length:g} s, must be at least min_length, "
            f"{options.min_length:g} s"
        )


def part_events(
    times: FloatArray,
    score: FloatArray,
    sizes: FilterSizes,
    options: EventOptions,
    outside: tuple[int, int],
) -> list[TimedSpan]:
    """Events of a part of a curve, which begins and ends with an active frame.

    Args:
        times: ``[frames + 1]`` boundaries in seconds.
        score: ``[frames]`` of the part; 0 below the floor.
        sizes: of the filters.
        options: of the class.
        outside: frames of the recording before and after the part.
    """
    smooth = median_filter(score, sizes.median, *outside)
    if options.method == "change_point":
        found = refined(times, smooth, curve_boxes(smooth, sizes.floor, sizes.step, options))
    else:
        runs = active_parts(smooth >= sizes.floor, 1)
        found = [
            (times[first].item(), times[stop].item(), smooth[first:stop].max().item())
            for first, stop in runs
        ]
    return [
        (start, end, min(score, 1.0)) for start, end, score in found if score >= options.threshold
    ]
