"""Scores of sound event detection, against values by hand and slow obvious references."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Sequence

import numpy as np
import pytest

from sonotype.core.annotations import Event
from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import DataError, OptionsError
from sonotype.core.event_matching import covered, cut, matched, merge, microseconds
from sonotype.evaluation.bootstrap import draws
from sonotype.evaluation.event_counts import EventScoreOptions, count_events, segments
from sonotype.evaluation.sound_events import (
    ClassEventScores,
    EventScores,
    Rates,
    RecordingDetections,
    event_scores_to_json,
    score_events,
)

Times = Sequence[tuple[float, float]]

NO_TIMES, NO_SCORES = np.empty(0), np.empty((0, 0))


def recording(
    reference: Sequence[tuple[float, float, str]] = (),
    detected: Sequence[tuple[float, float, str]] = (),
    spans: Times = ((0.0, 10.0),),
    group: str = "",
    name: str = "a.wav",
) -> RecordingDetections:
    return RecordingDetections(
        name,
        group,
        tuple(spans),
        tuple(Event(*event) for event in reference),
        tuple(DetectedEvent(*event, score=0.9) for event in detected),
        NO_TIMES,
        NO_SCORES,
    )


def scores_of(reference: Times, detected: Times, **options: float) -> ClassEventScores:
    """Scores of one class in one recording of 10 s."""
    one = recording(
        [(*event, "dog") for event in reference], [(*event, "dog") for event in detected]
    )
    return score_events([one], ["dog"], EventScoreOptions(**options)).per_class[0]


def random_intervals(generator: np.random.Generator, count: int, end: int = 40) -> np.ndarray:
    """``[count, 2]`` intervals on a coarse grid, so that many ends are equal."""
    starts = generator.integers(0, end, count)
    return np.stack([starts, starts + generator.integers(1, 12, count)], axis=1)


def random_recordings(seed: int, count: int, classes: Sequence[str]) -> list[RecordingDetections]:
    """Overlapping events of all classes; some recordings without either kind of event."""
    generator = np.random.default_rng(seed)

    def events(most: int) -> list[tuple[float, float, str]]:
        times = random_intervals(generator, int(generator.integers(0, most)), 90) / 10
        return [(*pair, str(generator.choice(classes))) for pair in times.tolist()]

    return [
        recording(events(9), events(12), [(0.0, 10.2)], group=f"g{index % 7}", name=f"{index}.wav")
        for index in range(count)
    ]


# --- intervals


def test_intervals_are_joined_where_they_overlap_or_touch() -> None:
    assert merge(np.array([[5, 7], [1, 2], [2, 3], [6, 6], [6, 9]])).tolist() == [[1, 3], [5, 9]]
    assert merge(np.empty((0, 2), dtype=np.int64)).shape == (0, 2)
    assert merge(np.array([[1, 10], [2, 3], [4, 5]])).tolist() == [[1, 10]]


@pytest.mark.parametrize("seed", range(20))
def test_the_covered_length_is_that_of_the_cells_of_a_grid(seed: int) -> None:
    generator = np.random.default_rng(seed)
    parts = random_intervals(generator, int(generator.integers(0, 8)))
    intervals = random_intervals(generator, 10)
    cells = {cell for start, end in parts for cell in range(start, end)}
    slow = [len(cells & set(range(start, end))) for start, end in intervals]
    assert covered(intervals, merge(parts)).tolist() == slow


def test_covered_lengths_are_exact_after_many_hours() -> None:
    day = 24 * 3600 * 10**6
    union = merge(np.array([[day, day + 1], [day + 2, 10 * day + 1]]))
    assert covered(np.array([[0, 20 * day], [day, day + 2]]), union).tolist() == [9 * day, 1]


def test_pieces_inside_spans() -> None:
    spans = microseconds([(0, 10), (20, 30)])
    events = microseconds([(8, 14), (9.9, 14), (9.9, 10.05), (8, 22), (12, 15), (25, 99)])
    pieces, indices = cut(events, spans, shortest=200_000)
    found = sorted(zip(indices.tolist(), (pieces / 1e6).tolist(), strict=True))
    assert found == [
        (0, [8, 10]),  # a third of the event, but long enough
        (2, [9.9, 10]),  # short, but most of the event; event 1 has as much, and is dropped
        (3, [8, 10]),
        (3, [20, 22]),
        (5, [25, 30]),
    ]


def test_cut_agrees_with_a_loop_over_spans_and_intervals() -> None:
    rng = np.random.default_rng(5)
    for _ in range(30):
        spans = merge(np.sort(rng.integers(0, 60, (6, 2)), axis=1))
        intervals = np.sort(rng.integers(0, 60, (15, 2)), axis=1)
        expected = []
        for start, end in spans.tolist():
            for index, (first, last) in enumerate(intervals.tolist()):
                inside = min(end, last) - max(start, first)
                if inside > 0 and (inside >= 4 or 2 * inside >= last - first):
                    expected.append((max(start, first), min(end, last), index))
        pieces, indices = cut(intervals, spans, 4)
        assert np.column_stack([pieces, indices]).tolist() == [list(one) for one in expected]


def test_segments_begin_anew_in_each_span() -> None:
    spans = microseconds([(0.5, 3), (10, 12)])
    assert (segments(spans, 10**6) / 1e6).tolist() == [
        [0.5, 1.5], [1.5, 2.5], [2.5, 3], [10, 11], [11, 12]
    ]  # fmt: skip
    assert segments(spans[:0], 10**6).shape == (0, 2)


# --- event-based


def slow_matched(reference: np.ndarray, detected: np.ndarray, options: EventScoreOptions) -> int:
    """Tries all assignments of reference events to detected events or to none."""

    def close(one: np.ndarray, other: np.ndarray) -> bool:
        tolerance = max(
            options.offset_collar * 10**6, options.offset_collar_rate * (one[1] - one[0])
        )
        onset = abs(one[0] - other[0]) <= options.onset_collar * 10**6
        return bool(onset and abs(one[1] - other[1]) <= tolerance)

    choices = [*range(len(detected)), *[None] * len(reference)]
    return max(
        sum(
            found is not None and close(one, detected[found])
            for one, found in zip(reference, chosen, strict=True)
        )
        for chosen in itertools.permutations(choices, len(reference))
    )


@pytest.mark.parametrize("seed", range(60))
def test_the_matching_is_the_best_of_all_assignments(seed: int) -> None:
    generator = np.random.default_rng(seed)
    options = EventScoreOptions(
        onset_collar=float(generator.choice([0, 0.2, 0.5])),
        offset_collar=float(generator.choice([0, 0.2, 0.5])),
        offset_collar_rate=float(generator.choice([0, 0.5])),
    )
    reference, detected = (
        random_intervals(generator, int(generator.integers(0, most)), end=10) * 10**5
        for most in (5, 6)
    )
    assert matched(reference, detected, options) == slow_matched(reference, detected, options)


def test_a_matching_gives_up_the_nearest_pair_for_two_pairs() -> None:
    # The first detection is nearest to the second event, and the only partner of the first event.
    reference, detected = [(1.0, 2.0), (1.3, 2.3)], [(1.2, 2.2), (1.5, 2.5)]
    assert scores_of(reference, detected).event_based == Rates(1, 1, 1)
    assert scores_of(reference, detected[:1]).event_based == Rates(1, 0.5, 2 / 3)


@pytest.mark.parametrize(
    ("detected", "right"),
    [
        ((1.0, 3.0), 1),
        ((1.2, 3.4), 1),  # on both limits: 0.2 s, and 0.2 of 2 s
        ((0.8, 2.6), 1),
        ((1.2001, 3.0), 0),
        ((1.0, 3.4001), 0),
        ((1.0, 2.5999), 0),
    ],
)
def test_limits_of_the_collars(detected: tuple[float, float], right: int) -> None:
    assert scores_of([(1.0, 3.0)], [detected]).event_based.f1 == right


def test_the_offset_collar_of_short_events_is_not_a_share() -> None:
    assert scores_of([(1.0, 1.1)], [(1.0, 1.3)]).event_based.f1 == 1
    assert scores_of([(1.0, 1.1)], [(1.0, 1.3)], offset_collar=0.1).event_based.f1 == 0


def test_identical_and_touching_events_are_events_of_their_own() -> None:
    twice = [(1.0, 2.0), (1.0, 2.0)]
    assert scores_of(twice, twice[:1]).event_based == Rates(1, 0.5, 2 / 3)
    assert scores_of(twice[:1], twice).event_based == Rates(0.5, 1, 2 / 3)
    touching = [(1.0, 2.0), (2.0, 3.0)]
    assert scores_of(touching, touching).event_based == Rates(1, 1, 1)
    assert scores_of(touching, [(1.0, 3.0)]).event_based == Rates(0, 0, 0)
    assert scores_of(touching, [(1.0, 3.0)]).intersection_based == Rates(1, 1, 1)


# --- segment- and intersection-based


def test_segments_by_hand() -> None:
    # Active: segments 1, 2 and 5; detected: 2, 3 (touched, not overlapped) and 9.
    scores = scores_of([(1.5, 3.0), (5.2, 5.3)], [(2.0, 3.0), (9.9, 10.0)])
    assert scores.segment_based == Rates(1 / 2, 1 / 3, 2 / 5)
    half = scores_of([(1.5, 3.0)], [(2.0, 3.0)], segment=0.5)
    assert half.segment_based == Rates(1, 2 / 3, 0.8)


def test_intersections_by_hand() -> None:
    # One half of the detection is right, which covers one quarter of the event.
    assert scores_of([(1.0, 5.0)], [(4.0, 6.0)]).intersection_based == Rates(None, 0, 0)
    assert scores_of([(1.0, 5.0)], [(4.0, 6.0)], gtc=0.25).intersection_based == Rates(1, 1, 1)
    assert scores_of([(1.0, 5.0)], [(4.0, 6.1)], gtc=0.25).intersection_based == Rates(0, 0, 0)
    # Two detections together cover the event; the third is wrong.
    found = scores_of([(1.0, 5.0)], [(1.0, 2.0), (3.0, 4.0), (4.8, 9.0)]).intersection_based
    assert found == Rates(1 / 2, 1, 2 / 3)
    # A common part of two detections, or of two events, counts once.
    assert scores_of([(1.0, 5.0)], [(1.0, 2.5), (1.0, 2.5)]).intersection_based.recall == 0
    assert scores_of([(1.0, 2.0), (1.0, 2.0)], [(1.0, 4.0)]).intersection_based.recall == 0


def slow_counts(
    reference: Sequence[np.ndarray], detected: Sequence[np.ndarray], end: int, cell: int
) -> list[list[int]]:
    """Segment- and intersection-based counts, alarms and triggers of events on a grid of cells."""
    options = EventScoreOptions()

    def cells(events: np.ndarray) -> set[int]:
        return {at for start, stop in events // cell for at in range(start, stop)}

    found = []
    for index, (true, claims) in enumerate(zip(reference, detected, strict=True)):
        active, claimed = cells(true), cells(claims)
        row = [0] * 8
        for start in range(0, end // cell, 10**6 // cell):
            inside = set(range(start, start + 10**6 // cell))
            is_active, is_claimed = bool(inside & active), bool(inside & claimed)
            row[0] += is_active and is_claimed
            row[1] += is_claimed and not is_active
            row[2] += is_active and not is_claimed
        relevant = [
            len(cells(one[None]) & active) >= options.dtc * len(cells(one[None])) for one in claims
        ]
        right = cells(claims[np.array(relevant, dtype=bool)])
        hits = [
            len(cells(one[None]) & right) >= options.gtc * len(cells(one[None])) for one in true
        ]
        row[3:6] = sum(hits), len(relevant) - sum(relevant), len(hits) - sum(hits)
        row[6] = sum(not cells(one[None]) & active for one in claims)
        others = set().union(*(cells(x) for at, x in enumerate(reference) if at != index))
        row[7] = sum(
            not fits and len(cells(one[None]) & others) >= options.cttc * len(cells(one[None]))
            for one, fits in zip(claims, relevant, strict=True)
        )
        found.append(row)
    return found


@pytest.mark.parametrize("seed", range(15))
def test_counts_of_overlapping_events_are_those_of_a_grid(seed: int) -> None:
    generator = np.random.default_rng(seed)
    reference, detected = (
        [random_intervals(generator, int(generator.integers(0, 7))) * 10**5 for _ in range(4)]
        for _ in range(2)
    )
    counts = count_events(reference, detected, np.array([[0, 52 * 10**5]]), EventScoreOptions())
    fast = np.concatenate(
        [
            counts.scores[:, 1:].reshape(4, 6),
            counts.false_alarms[:, None],
            counts.cross_triggers[:, None],
        ],
        axis=1,
    )
    assert fast.tolist() == slow_counts(reference, detected, 52 * 10**5, 10**5)
    for index in range(4):
        pairs = matched(reference[index], detected[index], EventScoreOptions())
        wrong, missed = len(detected[index]) - pairs, len(reference[index]) - pairs
        assert counts.scores[index, 0].tolist() == [pairs, wrong, missed]


# --- false alarms, averages


def test_false_alarms_overlap_no_event_of_their_class() -> None:
    one = recording(
        [(1.0, 2.0, "dog"), (5.0, 6.0, "cat")],
        [(1.9, 5.0, "dog"), (2.0, 3.0, "dog"), (5.0, 6.0, "dog"), (5.5, 9.0, "cat")],
    )
    scores = score_events([one], ["cat", "dog"])
    assert [one.false_alarms_per_hour for one in scores.per_class] == [0, 720]
    assert [one.cross_triggers for one in scores.per_class] == [0, 1]
    assert scores.false_alarms_per_hour.value == 720
    assert scores.hours == 10 / 3600


def test_averages_by_hand() -> None:
    one = recording(
        [(1.0, 2.0, "dog"), (3.0, 4.0, "dog"), (5.0, 6.0, "cat")],
        [(1.0, 2.0, "dog"), (5.0, 6.0, "cat"), (7.0, 8.0, "owl")],
    )
    scores = score_events([one], ["dog", "cat", "owl", "bat"])
    for found in (scores.event_based, scores.segment_based, scores.intersection_based):
        assert found.macro.value == pytest.approx((2 / 3 + 1) / 2)  # dog and cat
        assert found.micro.value == pytest.approx(4 / (4 + 1 + 1))  # the owl is an error
        assert (found.macro.low, found.micro.low) == (None, None)
    dog, _, owl, bat = scores.per_class
    assert (dog.reference, dog.detected, dog.event_based.recall) == (2, 1, 0.5)
    assert (owl.event_based, owl.false_alarms_per_hour) == (Rates(0, None, None), 360)
    assert (bat.segment_based, bat.false_alarms_per_hour) == (Rates(None, None, None), 0)


def test_no_detections() -> None:
    scores = score_events([recording([(1.0, 2.0, "dog")])], ["dog"])
    assert scores.per_class[0].event_based == Rates(None, 0, 0)
    assert scores.event_based.macro.value == scores.segment_based.micro.value == 0
    assert scores.false_alarms_per_hour.value == 0


def test_no_reference_events() -> None:
    recordings = [recording([], [(1.0, 2.0, "dog")], group=group) for group in "ab"]
    scores = score_events(recordings, ["dog"])
    assert math.isnan(scores.event_based.macro.value)
    assert math.isnan(scores.event_based.micro.value)
    assert scores.event_based.macro.low is None
    assert scores.false_alarms_per_hour.value == scores.false_alarms_per_hour.low == 360
    assert event_scores_to_json(scores)["event_based"]["macro"]["value"] is None


def test_zero_hours() -> None:
    one = recording([(1.0, 2.0, "dog")], [(1.0, 2.0, "dog")], spans=())
    scores = score_events([one], ["dog"])
    assert (scores.hours, scores.per_class[0].detected) == (0, 0)
    assert math.isnan(scores.false_alarms_per_hour.value)
    assert math.isnan(scores.per_class[0].false_alarms_per_hour)
    assert any("1 reference event " in note for note in scores.notes)


def test_only_the_spans_count() -> None:
    spans = [(0.0, 4.0), (4.0, 6.0), (20.0, 22.0)]
    reference = [(3.0, 5.0, "dog"), (21.0, 22.0, "dog"), (10.0, 11.0, "dog")]
    detected = [(3.0, 5.0, "dog"), (21.0, 40.0, "dog"), (10.0, 11.0, "dog"), (5.9, 9.0, "dog")]
    scores = score_events([recording(reference, detected, spans)], ["dog"])
    assert scores.hours == pytest.approx(8 / 3600)
    assert (scores.per_class[0].reference, scores.per_class[0].detected) == (2, 2)
    assert scores.event_based.macro.value == scores.intersection_based.macro.value == 1
    assert len(scores.notes) == 1
    assert "1 reference event " in scores.notes[0]


def test_overlapping_spans_count_once() -> None:
    scores = score_events([recording(spans=[(0.0, 5.0), (3.0, 9.0)])], ["dog"])
    assert scores.hours == 9 / 3600


def test_an_event_longer_than_the_recording_ends_with_it() -> None:
    one = recording([(-1.0, 30.0, "dog")], [(0.0, 12.0, "dog")])
    assert score_events([one], ["dog"]).event_based.macro.value == 1


def test_events_of_classes_that_the_model_lacks_are_counted_in_a_note() -> None:
    one = recording([(1.0, 2.0, "dog"), (1.0, 2.0, "fox"), (3.0, 4.0, "fox")])
    scores = score_events([one], ["dog"])
    assert scores.per_class[0].reference == 1
    assert len(scores.notes) == 1
    assert "2 reference events" in scores.notes[0]
    assert "fox" in scores.notes[0]


# --- intervals of the scores


def totals(recordings: Sequence[RecordingDetections], classes: Sequence[str]) -> list[float]:
    """The seven summaries, without resampling."""
    scores = score_events(recordings, classes, resamples=0)
    averages = (scores.event_based, scores.segment_based, scores.intersection_based)
    macro, micro = [one.macro.value for one in averages], [one.micro.value for one in averages]
    return [*macro, *micro, scores.false_alarms_per_hour.value]


def test_intervals_are_those_of_scoring_the_drawn_groups() -> None:
    classes = ["dog", "cat", "owl"]
    recordings = random_recordings(3, 16, classes)
    scores = score_events(recordings, classes, resamples=40, seed=5)
    assert scores.groups == 7
    rows = []
    for times in next(draws(7, 40, 5)):
        drawn = [
            one
            for group, count in enumerate(times)
            for one in recordings * int(count)
            if one.group == f"g{group}"
        ]
        rows.append(totals(drawn, classes))
    low, high = np.nanpercentile(rows, [2.5, 97.5], axis=0)
    averages = (scores.event_based, scores.segment_based, scores.intersection_based)
    found = [
        *(one.macro for one in averages),
        *(one.micro for one in averages),
        scores.false_alarms_per_hour,
    ]
    np.testing.assert_allclose([one.low for one in found], low, atol=1e-12)
    np.testing.assert_allclose([one.high for one in found], high, atol=1e-12)
    np.testing.assert_allclose([one.value for one in found], totals(recordings, classes))


def test_draws_without_an_event_or_without_time_do_not_count() -> None:
    recordings = [
        recording([(1.0, 2.0, "dog")], [(1.0, 2.0, "dog")], group="a"),
        recording([], [(3.0, 4.0, "dog")], group="b"),
        recording(spans=(), group="c"),
    ]
    scores = score_events(recordings, ["dog"])
    assert (scores.event_based.macro.low, scores.event_based.macro.high) == (0.5, 1)
    assert (scores.false_alarms_per_hour.low, scores.false_alarms_per_hour.high) == (0, 360)


def test_one_group_has_no_interval_and_a_recording_without_group_is_one() -> None:
    events = ([(1.0, 2.0, "dog")], [(1.0, 2.0, "dog")])
    same = score_events([recording(*events, group="a")] * 3, ["dog"])
    assert (same.groups, same.event_based.macro.low) == (1, None)
    own = score_events([recording(*events)] * 3, ["dog"])
    assert (own.groups, own.event_based.macro.low) == (3, 1)
    assert (
        score_events([recording(*events)] * 3, ["dog"], resamples=0).event_based.macro.low is None
    )


def test_the_same_seed_gives_the_same_intervals() -> None:
    classes = ["dog", "cat"]
    recordings = random_recordings(1, 9, classes)
    assert score_events(recordings, classes) == score_events(recordings, classes)
    assert score_events(recordings, classes) != score_events(recordings, classes, seed=1)


def test_many_resamples_take_little_time() -> None:
    classes = [f"class {index}" for index in range(50)]
    recordings = random_recordings(2, 100, classes)
    began = time.perf_counter()
    without = score_events(recordings, classes, resamples=0)
    middle = time.perf_counter()
    score_events(recordings, classes, resamples=1000)
    took = time.perf_counter() - middle - (middle - began)
    assert without.recordings == 100
    assert took < 2


# --- invalid input


def test_all_faults_at_once() -> None:
    broken = RecordingDetections(
        "b.wav",
        "",
        ((3.0, 2.0),),
        (Event(1.0, 1.0, "dog", file="labels.csv", line=7),),
        (
            DetectedEvent(1.0, math.nan, "dog", 0.5),
            DetectedEvent(1.0, 2.0, "fox", 0.5),
            DetectedEvent(1.0, 2.0, "dog", math.nan),
        ),
        np.array([0.0, 1.0, 2.0]),
        np.array([[0.1], [math.nan]]),
    )
    with pytest.raises(DataError) as caught:
        score_events([recording(), broken], ["dog"])
    assert [(issue.file, issue.line) for issue in caught.value.issues] == [
        ("b.wav", 0), ("labels.csv", 7), *[("b.wav", 0)] * 4
    ]  # fmt: skip
    for word in ("span 3.0", "fox", "score must be from 0 to 1", "1 frame of 2"):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("times", "scores"),
    [
        (np.array([0.0, 1.0]), np.zeros((2, 1))),
        (np.array([0.0, 1.0]), np.zeros((1, 2))),
        (np.array([[0.0, 1.0]]), np.zeros((1, 1))),
        (np.array([1.0, 0.0]), np.zeros((1, 1))),
        (np.array([0.0, math.inf]), np.zeros((1, 1))),
    ],
)
def test_frame_scores_of_a_wrong_shape(times: np.ndarray, scores: np.ndarray) -> None:
    one = RecordingDetections("a.wav", "", ((0.0, 1.0),), (), (), times, scores)
    with pytest.raises(DataError, match=r"a\.wav: .*times"):
        score_events([one], ["dog"])


def test_invalid_arguments() -> None:
    with pytest.raises(OptionsError, match="no recordings"):
        score_events([], ["dog"])
    for classes in ([], ["dog", "dog"]):
        with pytest.raises(OptionsError, match="classes"):
            score_events([recording()], classes)
    with pytest.raises(OptionsError, match="resamples"):
        score_events([recording()], ["dog"], resamples=-1)
    with pytest.raises(OptionsError) as caught:
        score_events([recording()], ["dog"], EventScoreOptions(segment=0, dtc=2))
    assert "segment" in str(caught.value)
    assert "dtc" in str(caught.value)


def test_scores_as_json() -> None:
    classes = ["dog", "cat"]
    scores = score_events(random_recordings(0, 5, classes), classes)
    plain = event_scores_to_json(scores)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["per_class"][1]["label"] == "cat"
    assert plain["options"]["segment"] == 1
    assert set(plain) == set(EventScores.__dataclass_fields__)
