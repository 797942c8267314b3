"""The choice of event options, against synthetic scores whose best thresholds are known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from sonotype.config import EventOptions
from sonotype.core.annotations import Event
from sonotype.core.errors import DataError, OptionsError
from sonotype.core.event_matching import covered, cut, matched, merge, microseconds
from sonotype.detect.class_events import class_events
from sonotype.detect.tuning import (
    BASE,
    TuningOptions,
    TuningReport,
    tune_events,
    with_scale,
)
from sonotype.detect.tuning_choice import clearly_best
from sonotype.detect.tuning_counts import (
    GRID,
    ScoredRecording,
    count_thresholds,
    join_recordings,
)

FRAME = 0.5
FRAMES = 400
SECONDS = FRAME * FRAMES
CLASSES = ("bark", "crow", "siren")
FIXED = TuningOptions(alternatives=False)

Scores = npt.NDArray[np.float64]


def recording(
    events: list[tuple[float, float, str]],
    scores: Scores,
    spans: tuple[tuple[float, float], ...] = ((0.0, SECONDS),),
    name: str = "a.wav",
) -> ScoredRecording:
    times = np.arange(len(scores) + 1) * FRAME
    return ScoredRecording(name, times, scores, tuple(Event(*event) for event in events), spans)


def silence() -> Scores:
    return np.full((FRAMES, len(CLASSES)), 0.001)


def put(scores: Scores, start: float, end: float, label: str, value: float) -> None:
    scores[round(start / FRAME) : round(end / FRAME), CLASSES.index(label)] = value


def at_regular_times(values: dict[str, float], count: int = 8) -> ScoredRecording:
    """Events of 3 s that the scores show with exact bounds and the value of the class."""
    scores, events = silence(), []
    for index in range(count):
        for place, (label, value) in enumerate(values.items()):
            start = 4.0 + 20 * index + 6 * place
            events.append((start, start + 3, label))
            put(scores, start, start + 3, label, value)
    return recording(events, scores)


def random_recordings(seed: int, number: int = 4) -> list[ScoredRecording]:
    """Events that the scores show with errors; some only in part of the spans."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(number):
        scores = rng.beta(0.4, 8, (FRAMES, len(CLASSES)))
        events = []
        for _ in range(20):
            label = CLASSES[rng.integers(2 if index else 3)]
            start = rng.uniform(0, SECONDS - 8)
            end = start + rng.uniform(1, 7)
            events.append((start, end, label))
            put(scores, start + rng.normal(0, 0.4), end, label, rng.uniform(0.1, 0.95))
        scores *= rng.uniform(0.6, 1, scores.shape)
        spans = ((0.0, SECONDS),) if index % 2 else ((3.0, 71.3), (80.0, 199.0))
        found.append(recording(events, scores, spans, f"{index}.wav"))
    return found


def slow_counts(
    recordings: list[ScoredRecording], index: int, options: EventOptions, collars: TuningOptions
) -> list[int]:
    """Counts of one class by the events that the detection gives, one recording at a time."""
    total = np.zeros(4, dtype=int)
    for one in recordings:
        spans = merge(microseconds(one.spans))
        active = merge(
            cut(microseconds([(event.start, event.end) for event in one.events]), spans, 0)[0]
        )
        own = [(event.start, event.end) for event in one.events if event.label == CLASSES[index]]
        true = cut(microseconds(own), spans, 0)[0]
        events = class_events(one.times, one.scores[:, index].astype(float), options)
        shortest = round(collars.onset_collar * 1_000_000)
        found = cut(microseconds([event[:2] for event in events]), spans, shortest)[0]
        alarms = 0
        for interval in found:
            piece = interval[None]
            if 10 * covered(piece, merge(true))[0] < interval[1] - interval[0]:
                alarms += covered(piece, active)[0] <= (interval[1] - interval[0]) / 2
        total += matched(true, found, collars), len(found), len(true), alarms
    return total.tolist()


@pytest.mark.parametrize(
    "options",
    [
        BASE,
        replace(BASE, merge_gap=1.5, min_length=1.0, max_length=4.0),
        EventOptions(method="threshold"),
        EventOptions(method="threshold", hysteresis=0.5, median=1.5, merge_gap=1.0),
        EventOptions(method="threshold", hysteresis=0.8, min_length=1.5, max_length=3.0),
    ],
    ids=lambda options: f"{options.method}-{options.merge_gap}-{options.hysteresis}",
)
def test_counts_are_those_of_the_detected_events(options: EventOptions) -> None:
    recordings = random_recordings(0)
    truth = join_recordings(recordings, CLASSES)
    for at in (8, 14, 19):
        shape = replace(options, threshold=GRID[at].item())
        counts = count_thresholds(recordings, truth, [shape] * 3, FIXED)
        for index in range(3):
            assert counts[index, at].tolist() == slow_counts(recordings, index, shape, FIXED)


def test_report_has_the_scores_of_the_chosen_options() -> None:
    recordings = random_recordings(1, 8)
    options, report = tune_events(recordings, CLASSES)
    counts = np.array(
        [slow_counts(recordings, index, one, FIXED) for index, one in enumerate(options)]
    )
    right, found, true, alarms = counts.sum(axis=0).tolist()
    assert 10 < right < found
    assert report.rates.precision == pytest.approx(right / found)
    assert report.rates.recall == pytest.approx(right / true)
    assert report.rates.f1 == pytest.approx(2 * right / (found + true))
    assert report.rates.missed == pytest.approx(1 - right / true)
    assert report.rates.false_alarms == pytest.approx(alarms / report.background)
    assert [one.threshold for one in report.per_class] == [one.threshold for one in options]
    assert [one.events for one in report.per_class] == counts[:, 2].tolist()
    middle = report.operating_points[len(report.operating_points) // 2]
    assert (middle.scale, middle.rates) == (1.0, report.rates)


def test_choice_is_the_same_again_and_for_another_order_of_recordings() -> None:
    recordings = random_recordings(2)
    first = tune_events(recordings, CLASSES)
    assert tune_events(recordings, CLASSES) == first
    assert tune_events(recordings[::-1], CLASSES) == first


def test_clear_events_are_all_found() -> None:
    options, report = tune_events([at_regular_times({"bark": 0.9, "crow": 0.7})], CLASSES)
    assert report.rates.f1 == 1
    assert report.rates.false_alarms == 0
    assert report.limit_met is True
    assert report.background == pytest.approx((SECONDS - 16 * 3) / 3600)
    assert all(one.threshold < 0.7 for one in options)


def test_only_the_class_with_false_alarms_gets_a_higher_threshold() -> None:
    """Barks of 0.9 with alarms of 0.4, and crows of 0.3: no common threshold is right for both."""
    one = at_regular_times({"bark": 0.9, "crow": 0.3}, 9)
    for index in range(9):
        put(one.scores, 16.0 + 20 * index, 19.0 + 20 * index, "bark", 0.4)
    recordings = [replace(one, name=f"{index}.wav") for index in range(6)]
    options, report = tune_events(recordings, CLASSES, options=FIXED)
    bark, crow, _ = (one.threshold for one in options)
    assert crow <= 0.3 < 0.4 < bark <= 0.9
    assert report.rates.f1 == 1
    assert report.limit_met is True
    shared, other = tune_events(recordings, CLASSES, options=replace(FIXED, per_class=False))
    assert len({one.threshold for one in shared}) == 1
    assert other.rates.f1 < 1


def test_limit_on_false_alarms() -> None:
    """Of 9 barks, 6 have the score of the 9 false alarms."""
    one = at_regular_times({"bark": 0.9}, 9)
    for index in range(9):
        put(one.scores, 16.0 + 20 * index, 19.0 + 20 * index, "bark", 0.4)
        if index < 6:
            put(one.scores, 4.0 + 20 * index, 7.0 + 20 * index, "bark", 0.4)
    free, loose = tune_events([one], CLASSES, options=replace(FIXED, false_alarms=None))
    strict, report = tune_events([one], CLASSES, options=FIXED)
    assert free[0].threshold < 0.4 < strict[0].threshold
    assert (loose.rates.recall, loose.limit_met) == (1, None)
    assert loose.rates.false_alarms == pytest.approx(9 / loose.background)
    assert (report.rates.recall, report.rates.false_alarms) == (3 / 9, 0)
    assert report.limit_met is True


def test_limit_keeps_a_distance_from_the_false_alarms() -> None:
    """Alarms of 0.4 with a threshold just above would become detections with a little noise."""
    one = at_regular_times({"bark": 0.9}, 9)
    for index in range(9):
        put(one.scores, 16.0 + 20 * index, 19.0 + 20 * index, "bark", 0.4)
    options, report = tune_events([one], CLASSES, options=FIXED)
    lower = with_scale(options, math.exp(-0.5))
    assert lower[0].threshold > 0.4
    assert report.rates.recall == 1


def test_limit_that_cannot_be_met_is_reported() -> None:
    one = at_regular_times({"bark": 1.0}, 8)
    put(one.scores, 180, 190, "bark", 1.0)
    _, report = tune_events([one], CLASSES)
    assert report.limit_met is False
    assert report.rates.false_alarms == pytest.approx(1 / report.background)


def test_class_without_events_has_the_common_threshold() -> None:
    one = at_regular_times({"bark": 0.9, "crow": 0.8})
    put(one.scores, 4, 7, "siren", 0.5)  # during a bark: not in the background
    options, report = tune_events([one] * 3, CLASSES, options=FIXED)
    assert options[2].threshold == report.common.threshold
    siren = report.per_class[2]
    assert siren.events == 0
    assert math.isnan(siren.rates.recall)
    assert math.isnan(siren.rates.f1)


def test_class_without_events_that_causes_alarms_has_a_higher_threshold() -> None:
    one = at_regular_times({"bark": 0.9, "crow": 0.8})
    put(one.scores, 180, 190, "siren", 0.5)
    options, report = tune_events([one] * 3, CLASSES, options=FIXED)
    assert options[2].threshold > 0.5 > report.common.threshold
    assert report.rates.f1 == 1


def test_one_event_does_not_move_the_threshold_of_its_class() -> None:
    """The only siren has a score of 0.1, below false detections of the other classes."""
    one = at_regular_times({"bark": 0.6, "crow": 0.6})
    for index in range(8):
        put(one.scores, 16.0 + 20 * index, 18.0 + 20 * index, "bark", 0.15)
        put(one.scores, 16.0 + 20 * index, 18.0 + 20 * index, "crow", 0.15)
    put(one.scores, 185, 190, "siren", 0.1)
    one = replace(one, events=(*one.events, Event(185, 190, "siren")))
    options, report = tune_events([one], CLASSES, options=FIXED)
    assert report.per_class[2].events == 1
    assert options[2].threshold > 0.15


def test_recordings_without_background() -> None:
    scores = silence()
    put(scores, 0, 100, "bark", 0.8)
    put(scores, 100, 200, "crow", 0.8)
    one = recording([(0, 100, "bark"), (100, 200, "crow")], scores)
    _, report = tune_events([one], CLASSES)
    assert report.background == 0
    assert report.limit_met is None
    assert math.isnan(report.rates.false_alarms)
    assert report.rates.f1 == 1


def test_events_outside_of_the_spans_do_not_count() -> None:
    one = replace(at_regular_times({"bark": 0.9}), spans=((0.0, 60.0),))
    _, report = tune_events([one], CLASSES)
    assert report.per_class[0].events == 3
    assert report.rates.precision == 1
    assert report.background == pytest.approx((60 - 9) / 3600)


def test_events_of_other_labels_are_not_background() -> None:
    one = at_regular_times({"bark": 0.9})
    put(one.scores, 180, 190, "bark", 0.9)
    one = replace(one, events=(*one.events, Event(178, 192, "thunder")))
    _, report = tune_events([one], CLASSES)
    assert report.rates.false_alarms == 0
    assert report.rates.precision == pytest.approx(8 / 9)


def test_operating_points_trade_misses_for_false_alarms() -> None:
    options, report = tune_events(random_recordings(3, 6), CLASSES)
    points = report.operating_points
    assert [one.scale for one in points] == pytest.approx(np.exp(np.arange(-2, 2.1, 0.5)))
    alarms = [one.rates.false_alarms for one in points]
    assert alarms == sorted(alarms, reverse=True)
    assert points[0].rates.missed < points[-1].rates.missed
    for one, scaled in zip(options, with_scale(options, math.e), strict=True):
        odds = one.threshold / (1 - one.threshold)
        assert scaled.threshold / (1 - scaled.threshold) == pytest.approx(math.e * odds)
        assert replace(scaled, threshold=one.threshold) == one


def test_a_flickering_score_needs_other_options() -> None:
    """Every event is interrupted twice for half a second: change points alone split it."""
    scores, events = silence(), []
    for index in range(9):
        start = 4.0 + 20 * index
        events.append((start, start + 6, "bark"))
        put(scores, start, start + 6, "bark", 0.9)
        for gap in (1.5, 4.0):
            put(scores, start + gap, start + gap + FRAME, "bark", 0.01)
    one = recording(events, scores)
    fixed = tune_events([one], CLASSES, options=FIXED)[1]
    _, report = tune_events([one], CLASSES)
    assert report.rates.f1 == 1 > fixed.rates.f1
    assert report.common.merge_gap > 0


def test_other_options_must_be_clearly_better() -> None:
    counts = np.zeros((3, 1, len(GRID), 4), dtype=np.int64)
    counts[..., 2] = counts[..., 1] = 100
    counts[:, 0, :, 0] = np.array([[50], [52], [51]])
    assert clearly_best(list(counts)) == 0
    counts[2, ..., 0] = 60
    assert clearly_best(list(counts)) == 2


def test_invalid_recordings_are_all_listed() -> None:
    good = at_regular_times({"bark": 0.9})
    bad = [
        replace(good, name="shape.wav", scores=good.scores[:, :2]),
        replace(good, name="times.wav", times=good.times[::-1]),
        replace(good, name="nan.wav", scores=good.scores * np.nan),
        replace(good, name="event.wav", events=(Event(3, 2, "bark", file="event.txt", line=7),)),
        replace(good, name="span.wav", spans=((5.0, math.inf),)),
    ]
    with pytest.raises(DataError) as caught:
        tune_events([good, *bad], CLASSES)
    places = [(issue.file, issue.line) for issue in caught.value.issues]
    assert places == [
        ("shape.wav", 0), ("times.wav", 0), ("nan.wav", 0), ("event.txt", 7), ("span.wav", 0)
    ]  # fmt: skip


def test_what_cannot_be_tuned_is_refused() -> None:
    one = at_regular_times({"bark": 0.9})
    with pytest.raises(OptionsError, match="no scored recordings"):
        tune_events([], CLASSES)
    with pytest.raises(OptionsError, match="different names"):
        tune_events([one], ("bark", "bark", "crow"))
    with pytest.raises(OptionsError, match="no event of the classes a, b, c"):
        tune_events([one], ("a", "b", "c"))
    with pytest.raises(OptionsError, match="false_alarms must be at least 0"):
        tune_events([one], CLASSES, options=TuningOptions(false_alarms=-1.0))
    with pytest.raises(OptionsError, match="median"):
        tune_events([one], CLASSES, base=replace(BASE, median=-1.0))


def test_report_is_complete_for_a_single_event() -> None:
    scores = silence()
    put(scores, 10, 12, "bark", 0.5)
    options, report = tune_events([recording([(10, 12, "bark")], scores)], CLASSES)
    assert isinstance(report, TuningReport)
    assert report.rates.f1 == 1
    assert len(options) == len(report.per_class) == 3


def test_a_detection_that_never_ends_is_a_false_alarm() -> None:
    scores = np.full((FRAMES, len(CLASSES)), 0.001)
    put(scores, 0.0, SECONDS, "bark", 0.9)
    one = recording([(50.0, 53.0, "bark"), (90.0, 93.0, "bark")], scores)
    (bark, *_), report = tune_events([one], CLASSES, options=replace(FIXED, false_alarms=0.0))
    assert bark.threshold > 0.9
    assert report.rates.false_alarms == 0
    _, loose = tune_events([one], CLASSES, options=replace(FIXED, false_alarms=None))
    assert loose.operating_points[0].rates.false_alarms == pytest.approx(1 / loose.background)


def test_rates_of_folds_are_those_of_thresholds_chosen_on_the_others() -> None:
    """The slow reference: choose on the other folds, and count on this one."""
    recordings = [
        replace(one, fold=index // 3) for index, one in enumerate(random_recordings(6, 9))
    ]
    total = np.zeros((len(CLASSES), 4), dtype=int)
    for fold in range(3):
        rest = [replace(one, fold=0) for one in recordings if one.fold != fold]
        chosen, _ = tune_events(rest, CLASSES)
        own = [one for one in recordings if one.fold == fold]
        total += [slow_counts(own, index, one, FIXED) for index, one in enumerate(chosen)]
    options, report = tune_events(recordings, CLASSES)
    assert report.held_out
    right, found, true, alarms = total.sum(axis=0).tolist()
    assert report.rates.f1 == pytest.approx(2 * right / (found + true))
    assert report.rates.false_alarms == pytest.approx(alarms / report.background)
    for row, one in zip(total, report.per_class, strict=True):
        assert one.events == row[2]
        assert one.rates.f1 == pytest.approx(2 * row[0] / (row[1] + row[2]))
    together = [replace(one, fold=0) for one in recordings]
    same, optimistic = tune_events(together, CLASSES)
    assert same == options and not optimistic.held_out
    assert optimistic.rates != report.rates
    assert (optimistic.common, optimistic.limit_met) == (report.common, report.limit_met)


def test_rates_are_not_held_out_if_the_other_folds_have_no_event() -> None:
    one = at_regular_times({"bark": 0.9, "crow": 0.7})
    empty = replace(recording([], silence(), name="b.wav"), fold=1)
    _, report = tune_events([one, empty], CLASSES)
    assert not report.held_out
    assert report.rates.f1 == 1
