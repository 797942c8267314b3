from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from heads import coarse, predicted, two_heads
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
)

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.bootstrap import interval, resample
from sonotype.evaluation.metrics import (
    ClassScore,
    Interval,
    score,
    scores_from_json,
    scores_to_json,
)
from sonotype.evaluation.predictions import Predictions


def answers(
    true: list[int],
    found: list[int],
    *,
    classes: int = 3,
    groups: list[str] | None = None,
    event_true: list[int] | None = None,
) -> Predictions:
    """Predictions whose category head gives ``found``; the events (a, b) belong to c0 and c1."""
    n = len(true)
    return predicted(
        two_heads(tuple(f"c{index}" for index in range(classes)), ("a", "b"), (0, 1)),
        [true, event_true or [IGNORE_INDEX] * n],
        [np.eye(classes)[found] * 0.6 + 0.4 / classes, np.tile([0.3, 0.7], (n, 1))],
        groups=groups or (),
    )


def many(seed: int = 0) -> Predictions:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, 4, 90)
    predicted = np.where(generator.random(90) < 0.7, true, generator.integers(0, 5, 90))
    groups = [f"r{group}" for group in generator.integers(0, 25, 90)]
    event_true = generator.integers(-1, 2, 90)
    return answers(
        true.tolist(), predicted.tolist(), classes=5, groups=groups, event_true=event_true.tolist()
    )


def test_a_case_worked_by_hand() -> None:
    #            c0: 3 clips, 2 right, 1 taken for c1;  c1: 1 clip, right;  c2: none, yet named once
    head = score(answers([0, 0, 0, 1, 1], [0, 0, 1, 1, 2])).heads["category"]
    assert head.per_class == (
        ClassScore("c0", 1.0, 2 / 3, 0.8, 3),
        ClassScore("c1", 0.5, 0.5, 0.5, 2),
        ClassScore("c2", 0.0, 0.0, 0.0, 0),
    )
    assert head.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 0))
    assert head.accuracy.value == pytest.approx(3 / 5)
    assert head.precision.value == pytest.approx((1 + 0.5) / 2)
    assert head.recall.value == pytest.approx((2 / 3 + 0.5) / 2)
    assert head.f1.value == pytest.approx((0.8 + 0.5) / 2)
    assert (head.n, head.groups, head.labels) == (5, 5, ("c0", "c1", "c2"))


def test_figures_are_those_of_scikit_learn() -> None:
    one = many()
    head = score(one, resamples=0).heads["category"]
    true, predicted = one.true["category"], one.proba["category"].argmax(axis=1)
    assert set(true) == {0, 1, 2, 3}
    assert 4 in predicted
    macro = {"labels": [0, 1, 2, 3], "average": "macro", "zero_division": 0}
    assert head.accuracy == Interval(accuracy_score(true, predicted))
    assert head.precision.value == pytest.approx(precision_score(true, predicted, **macro))
    assert head.f1.value == pytest.approx(f1_score(true, predicted, **macro))
    with pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        assert head.recall.value == pytest.approx(balanced_accuracy_score(true, predicted))
    assert head.confusion == tuple(
        map(tuple, confusion_matrix(true, predicted, labels=range(5)).tolist())
    )


def test_intervals_are_those_of_the_bootstrap_over_groups() -> None:
    one = many()
    head = score(one, resamples=200, seed=3).heads["category"]
    predicted = one.proba["category"].argmax(axis=1)
    draws = resample(one.true["category"], predicted, one.groups, resamples=200, seed=3)
    figures = [head.accuracy, head.precision, head.recall, head.f1]
    ends = np.array([[figure.low for figure in figures], [figure.high for figure in figures]])
    np.testing.assert_array_equal(ends, interval(draws))
    assert all(figure.low < figure.value < figure.high for figure in figures)


def test_the_same_seed_gives_the_same_scores_and_another_seed_other_intervals() -> None:
    assert score(many(), seed=1) == score(many(), seed=1)
    one, other = (
        score(many(), seed=1).heads["category"].f1,
        score(many(), seed=2).heads["category"].f1,
    )
    assert one.value == other.value
    assert one != other


def test_a_single_recording_tells_no_interval() -> None:
    head = score(answers([0, 1], [0, 0], groups=["one", "one"])).heads["category"]
    assert head.accuracy == Interval(0.5, None, None)
    assert head.groups == 1


def test_events_are_scored_on_the_clips_that_have_one() -> None:
    one = answers(
        [0, 0, 1, 1], [0, 0, 1, 1], event_true=[0, IGNORE_INDEX, 1, 1], groups=list("abcc")
    )
    scores = score(one)
    event = scores.heads["event"]
    assert (scores.clips, scores.groups, event.n, event.groups) == (4, 3, 3, 2)
    assert event.confusion == ((0, 1), (0, 2))
    assert event.accuracy.value == pytest.approx(2 / 3)
    assert scores.notes == ()


def test_clips_without_any_event_are_said_so() -> None:
    scores = score(answers([0, 1], [0, 1]), notes=["synthetic sounds"])
    assert list(scores.heads) == ["category"]
    assert scores.notes == (
        "synthetic sounds",
        "none of these clips has a label of the level event: it is not scored",
    )


def test_the_category_can_be_read_from_the_events() -> None:
    one = answers([0, 1, 1], [0, 0, 2])
    # The third clip is of a category without events for the category head, which alone knows it.
    assert score(one, category_source="events").heads["category"].confusion == (
        (0, 1, 0),
        (0, 1, 1),
        (0, 0, 0),
    )
    assert score(one, category_source="events").category_source == "events"
    alone = coarse(one)
    assert (
        score(alone, category_source="events").heads["category"] == score(alone).heads["category"]
    )
    assert score(alone, category_source="both").category_source == "head"
    assert score(alone).notes == ()


def test_one_class_is_no_fault() -> None:
    head = score(answers([0, 0, 0], [0, 0, 0], classes=2)).heads["category"]
    assert head.f1 == Interval(1.0, 1.0, 1.0)
    assert score(replace(answers([0, 0], [0, 0], classes=2))).heads["category"].confusion == (
        (2, 0),
        (0, 0),
    )


@pytest.mark.parametrize(
    ("one", "options", "text"),
    [
        (
            answers([0], [0]).take(np.array([], dtype=int)),
            {},
            "there are no clips to score: choose a split or a fold with clips",
        ),
        (
            answers([0], [0]),
            {"resamples": -1},
            "resamples is -1: give 0 for no intervals, or about 1000",
        ),
        (
            answers([0], [0]),
            {"category_source": "x"},
            "unknown category_source 'x': choose from head, events, both",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused(
    one: Predictions, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(OptionsError) as caught:
        score(one, **options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "one",
    [
        many(),
        answers([0, 1], [1, 1]),
        answers([0, 0], [0, 1], groups=["r", "r"], event_true=[1, 0]),
    ],
)
def test_scores_come_back_from_json_exactly(one: Predictions) -> None:
    scores = score(one, notes=["random split, not grouped", "\u6f22"])
    plain = scores_to_json(scores)
    text = json.dumps(plain, allow_nan=False)
    assert json.loads(text) == plain
    assert scores_from_json(json.loads(text)) == scores


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        *((f"heads.category.f1.{end}", value, f"{end} is ")
          for end in ("value", "low", "high")
          for value in ("x", [], True, 10**400, float("nan"), float("inf"))),
        ("heads.category.f1.value", None, "value is None"),
        ("heads.category.n", 10**400, "n is 1"),
        ("heads.category.groups", 0.5, "groups is 0.5"),
        ("heads.category.labels.0", 5, "labels is "),
        ("heads.category.labels", ["a"], "labels"),
        ("heads.category.confusion.0", [1], "confusion must be a square of "),
        ("heads.category.confusion.0.0", "1", "confusion is "),
        ("heads.category.confusion", 5, "not iterable"),
        ("heads.category.per_class.0.f1", "1", "f1 is '1'"),
        ("heads.category.per_class.0.support", -1, "support is -1"),
        ("heads.category.calibration.error", None, "error is None"),
        ("heads.category.calibration", 5, "must be a mapping"),
        ("heads.category", None, "not subscriptable"),
        ("clips", "8", "clips is '8'"),
        ("category_source", 5, "category_source is 5"),
        ("notes", [5], "notes is "),
        ("notes", 5, "not iterable"),
        ("foreign", 5, "not iterable"),
        ("unknown", {"known": 1, "kept": "x"}, "kept is 'x'"),
        ("unknown", {"known": 1, "kept": 1.0, "recognised": 0.5}, "auroc is missing"),
    ],
)  # fmt: skip
def test_values_of_another_type_are_named(place: str, value: Any, reason: str) -> None:
    plain = scores_to_json(score(many()))
    *outer, last = [int(name) if name.isdecimal() else name for name in place.split(".")]
    inner: Any = plain
    for name in outer:
        inner = inner[name]
    inner[last] = value
    with pytest.raises(SonotypeError, match="not scores of sonotype: ") as caught:
        scores_from_json(plain)
    assert reason in str(caught.value)


def test_json_of_something_else_is_refused() -> None:
    plain = scores_to_json(score(many()))
    del plain["heads"]["category"]["confusion"]
    with pytest.raises(SonotypeError, match="not scores of sonotype: 'confusion' is miss"):
        scores_from_json(plain)
    with pytest.raises(SonotypeError, match="not scores of sonotype: 'heads' is missing"):
        scores_from_json({})
    plain = scores_to_json(score(many()))
    plain["heads"]["category"]["f1"]["middle"] = 0.5
    for value in (plain, {"heads": []}, {"heads": {"category": 1}}):
        with pytest.raises(SonotypeError, match=r"not scores of sonotype: "):
            scores_from_json(value)
