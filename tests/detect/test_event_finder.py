"""Events from scores over time: hand-made curves, loops as references, streams."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import event_references as reference
import numpy as np
import pytest

from sonotype.config import EventOptions
from sonotype.core.detections import DetectedEvent, ScoreBlock
from sonotype.core.errors import OptionsError
from sonotype.detect.change_points import box_scores, boxes
from sonotype.detect.class_events import class_events
from sonotype.detect.event_finder import EventFinder, find_events
from sonotype.detect.filters import filter_sizes, typical_frame

FRAME = 0.25
THRESHOLD = EventOptions(method="threshold")
CHANGE = EventOptions(step=0.5)
FIELDS: dict[str, tuple[Any, ...]] = {
    "method": ("threshold", "change_point"),
    "threshold": (0.0, 0.2, 0.5, 0.8),
    "hysteresis": (1.0, 0.5, 0.2),
    "median": (0.0, 0.5, 0.75, 1.3, 3.0),
    "merge_gap": (0.0, 0.5, 2.0),
    "min_length": (0.0, 0.5, 1.0),
    "max_length": (0.0, 2.0),
    "step": (0.0, 0.64, 2.0, 5.0),
    "merge_absolute": (0.0, 0.2),
    "merge_relative": (0.0, 1.5, 2.0),
}


def times_of(frames: int) -> np.ndarray:
    return np.arange(frames + 1) * FRAME


def found(score: list[float], options: EventOptions) -> list[tuple[float, float, float]]:
    events = class_events(times_of(len(score)), np.array(score), options)
    return [(start / FRAME, end / FRAME, round(value, 6)) for start, end, value in events]


def random_options(rng: np.random.Generator) -> EventOptions:
    picked = {name: values[rng.integers(len(values))] for name, values in FIELDS.items()}
    return EventOptions(**picked)


def random_curve(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Noise of some kind: rough or smooth, rounded to few digits or not, with background."""
    score = rng.random(frames) ** rng.integers(1, 8)
    if rng.integers(3):
        score = np.convolve(score, np.ones(5) / 5, "same")[:frames] * rng.choice([1.0, 1.6])
    if rng.integers(2):
        score[rng.random(frames).cumsum() % 20 > 8] *= 0.02
    return np.clip(score, 0, 1).round(rng.integers(1, 8))


def random_times(rng: np.random.Generator, frames: int) -> np.ndarray:
    """Frames of nearly the same length; the first and the last differ."""
    lengths = FRAME + rng.normal(0, 1e-3, frames)
    lengths[0], lengths[-1] = rng.choice([0.25, 0.6, 0.1]), rng.choice([0.25, 0.05, 0.4])
    return np.concatenate([[0.0], np.cumsum(lengths)])


def test_threshold_by_hand() -> None:
    score = [0.1, 0.5, 0.9, 0.4, 0.3, 0.2, 0.6, 0.49]
    assert found(score, THRESHOLD) == [(1, 3, 0.9), (6, 7, 0.6)]
    assert found(score, replace(THRESHOLD, hysteresis=0.6)) == [(1, 5, 0.9), (6, 8, 0.6)]
    assert found(score, replace(THRESHOLD, hysteresis=0.4)) == [(1, 8, 0.9)]
    assert found(score, replace(THRESHOLD, threshold=0.95)) == []


def test_median_by_hand() -> None:
    options = replace(THRESHOLD, median=3 * FRAME)
    assert found([0, 0, 0.9, 0, 0.8, 0.7, 0, 0.9, 0.8, 0], options) == [(3, 9, 0.8)]
    assert found([0.9, 0, 0, 0], options) == [(0, 1, 0.9)]  # at the start: 0.9, 0.9, 0
    assert found([0.9], replace(THRESHOLD, median=5.0)) == [(0, 1, 0.9)]


def test_gaps_and_lengths_by_hand() -> None:
    score = [0.9, 0, 0.6, 0, 0, 0.7, 0.7, 0.7, 0.7, 0.7]
    closed = replace(THRESHOLD, merge_gap=FRAME)
    assert found(score, closed) == [(0, 3, 0.9), (5, 10, 0.7)]
    assert found(score, replace(closed, merge_gap=2 * FRAME)) == [(0, 10, 0.9)]
    assert found(score, replace(THRESHOLD, min_length=2 * FRAME)) == [(5, 10, 0.7)]
    assert found(score, replace(closed, min_length=3 * FRAME)) == [(0, 3, 0.9), (5, 10, 0.7)]
    assert found(score, replace(closed, max_length=0.5)) == [(0, 2, 0.9), (5, 7, 0.7)]


def test_change_points_by_hand() -> None:
    # Frames 1 and 5 are covered for 0.2 / 0.9 and 0.1 / 0.9 of their length.
    [event] = found([0, 0.2, 0.9, 0.8, 0.9, 0.1, 0], CHANGE)
    assert event == pytest.approx((2 - 2 / 9, 5 + 1 / 9, round(2.6 / 3, 6)))
    assert found([0.9, 0.9, 0, 0], CHANGE) == [(0, 2, 0.9)]  # from the start of the recording
    assert found([0, 0, 0.9, 0.9], CHANGE) == [(2, 4, 0.9)]
    one = [0, 0.9, 0.9, 0.7, 0.7, 0.9, 0.9, 0]  # 0.9 - 0.7 is at least 0.2, but 0.9 < 2 * 0.7
    assert found(one, CHANGE) == [(1, 7, round(5 / 6, 6))]
    assert found(one, replace(CHANGE, merge_relative=1.2)) == [(1, 3, 0.9), (5, 7, 0.9)]
    assert found(one, replace(CHANGE, merge_relative=1.2, merge_absolute=0.21)) == found(
        one, CHANGE
    )


def test_an_event_on_a_background_keeps_its_times_at_all_thresholds() -> None:
    score = np.full(60, 0.1)
    score[::3] = 0.2
    score[30:34] = 0.9
    for threshold in (0.3, 0.5, 0.8):
        events = found(score.tolist(), EventOptions(threshold=threshold))
        assert events == [(30, 34, 0.9)]


def test_a_long_gap_of_background_is_never_joined() -> None:
    options = EventOptions(threshold=0.1, merge_absolute=1.0, merge_relative=9.0)
    assert len(found([0.15, 0.15, *[0.0] * 40, 0.15, 0.15], options)) == 2
    assert len(found([0.15, 0.15, 0.0, 0.15, 0.15], options)) == 1


def test_boxes_and_their_frame_scores() -> None:
    score = np.array([0, 0, 0.9, 0.8, 0, 0, 0, 0.3, 0.3, 0, 0])
    times = times_of(len(score))
    both = boxes(times, score, CHANGE)
    # Of 0.25 s, a frame of 0.8 is covered for 0.8 / 0.9.
    assert both[0] == pytest.approx((0.5, 0.75 + 0.25 * 8 / 9, 0.85))
    assert both[1] == (1.75, 2.25, 0.3)
    values = box_scores(times, [both, []])
    assert values[:, 0].tolist() == [0, 0, 0.85, 0.85, 0, 0, 0, 0.3, 0.3, 0, 0]
    assert not values[:, 1].any()
    assert boxes(times, score / 10, CHANGE) == [pytest.approx((*both[0][:2], 0.085))]
    low = [value for _, _, value in boxes(times, score / 10, CHANGE, floor=0.001)]
    assert low == [0.085, 0.03]


@pytest.mark.parametrize("seed", range(12))
def test_events_against_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    number = 0
    for _ in range(60):
        frames = int(rng.integers(1, 90))
        options, score = random_options(rng), random_curve(rng, frames)
        times = random_times(rng, frames)
        wanted = reference.events(times.tolist(), score.tolist(), options)
        events = class_events(times, score, options)
        assert events == [pytest.approx(event, abs=1e-8) for event in wanted], options
        assert np.isfinite(np.array(events)).all()
        number += len(events)
        if options.method == "change_point":
            plain = replace(options, merge_gap=0.0, min_length=0.0, max_length=0.0)
            kept = [box for box in boxes(times, score, plain) if box[2] >= plain.threshold]
            assert class_events(times, score, plain) == kept
    assert number > 30


@pytest.mark.parametrize("seed", range(8))
def test_a_stream_gives_the_events_of_the_whole_recording(seed: int) -> None:
    rng = np.random.default_rng(seed)
    classes = ("c", "a", "b")
    for _ in range(40):
        frames = int(rng.integers(1, 150))
        times = random_times(rng, frames)
        scores = np.stack([random_curve(rng, frames) for _ in classes], axis=1)
        options = [random_options(rng) for _ in classes]
        finder = EventFinder(classes, options)
        events, first = [], 0
        while first < frames:
            stop = first + int(rng.choice([0, 1, 2, 7, 50]))
            events += finder.add(ScoreBlock(times[first : stop + 1], scores[first:stop]))
            first = stop
        events += finder.finish()
        events.sort(key=lambda event: (event.start, event.end, event.label))
        assert events == find_events(times, scores, classes, options)
        assert finder.kept_frames == 0


def test_single_precision_scores() -> None:
    score = np.float32([0, 0.7, 0.8, 0])
    finder = EventFinder(("a",), [THRESHOLD])
    finder.add(ScoreBlock(times_of(4), score[:, None]))
    assert finder.finish() == [DetectedEvent(0.25, 0.75, "a", score[2].item())]


def test_a_stream_gives_an_event_soon_after_its_end() -> None:
    finder = EventFinder(("a",), [replace(CHANGE, merge_gap=0.5)])
    times = times_of(100)
    score = np.zeros((100, 1))
    score[40:44] = 0.9
    found_at = [
        frame
        for frame in range(100)
        if finder.add(ScoreBlock(times[frame : frame + 2], score[frame : frame + 1]))
    ]
    assert len(found_at) == 1
    assert 44 < found_at[0] <= 47


def test_memory_of_a_stream_of_background() -> None:
    rng = np.random.default_rng(0)
    finder = EventFinder([str(index) for index in range(20)], [EventOptions()] * 20)
    number = 0
    for block in range(200):
        times = (block * 500 + np.arange(501)) * FRAME
        scores = rng.random((500, 20)) * 0.049
        scores[rng.integers(0, 500), rng.integers(20)] = 0.9
        number += len(finder.add(ScoreBlock(times, scores)))
        assert finder.kept_frames <= 500
    assert 198 <= number + len(finder.finish()) <= 200


def test_an_empty_recording() -> None:
    assert EventFinder(("a",), [CHANGE]).finish() == []
    finder = EventFinder(("a",), [CHANGE])
    assert finder.add(ScoreBlock(np.zeros(1), np.zeros((0, 1)))) == []
    assert finder.finish() == []
    assert class_events(np.zeros(1), np.zeros(0), THRESHOLD) == []
    assert boxes(np.zeros(1), np.zeros(0), CHANGE) == []


def test_lengths_in_frames() -> None:
    times = np.concatenate([[0.0], 0.7 + np.arange(20) * FRAME])
    assert typical_frame(times) == pytest.approx(FRAME)
    options = EventOptions(median=1.0, step=2.0)
    sizes = filter_sizes(options, 0.25)
    assert (sizes.median, sizes.step, sizes.floor) == (5, 4, pytest.approx(0.05))
    assert filter_sizes(replace(options, median=0.9, step=0.1), 0.25).median == 3
    assert filter_sizes(replace(options, median=0.9, step=0.1), 0.25).step == 1
    assert filter_sizes(replace(THRESHOLD, hysteresis=0.5), 0.25).floor == 0.25


def test_invalid_options() -> None:
    with pytest.raises(OptionsError, match=r"max_length is 1 s.*2 s"):
        EventFinder(("a",), [EventOptions(min_length=2.0, max_length=1.0)])
    with pytest.raises(OptionsError, match=r"threshold .*1\.5"):
        EventFinder(("a",), [EventOptions(threshold=1.5)])
    with pytest.raises(OptionsError, match="1 event options for 2 classes"):
        EventFinder(("a", "b"), [EventOptions()])
    with pytest.raises(OptionsError, match=r"\(3, 1\)"):
        EventFinder(("a",), [EventOptions()]).add(ScoreBlock(np.zeros(3), np.zeros((3, 1))))
