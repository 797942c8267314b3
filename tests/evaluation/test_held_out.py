"""Scores on new data against the held-out scores of training."""

from __future__ import annotations

from dataclasses import replace
from math import hypot, sqrt

import numpy as np
import pytest
from heads import predicted

from sonotype.core.types import Head
from sonotype.evaluation.held_out import change_lines, changes, difference
from sonotype.evaluation.metrics import Interval, Scores, score, scores_to_json
from sonotype.evaluation.predictions import Predictions

HEAD = Head("category", ("a", "b", "c", "d"))


def some(seed: int, classes: list[int], right: float, clips: int = 200) -> Predictions:
    """Random predictions for clips of some classes, right with a probability."""
    rng = np.random.default_rng(seed)
    true = rng.choice(classes, clips)
    other = rng.integers(0, 4, clips)
    guess = np.where(rng.random(clips) < right, true, other)
    return predicted((HEAD,), [true], [0.1 + 0.6 * np.eye(4)[guess]])


def test_the_interval_of_a_difference() -> None:
    gap = difference(Interval(0.8, 0.74, 0.85), Interval(0.9, 0.87, 0.92))
    assert gap.value == pytest.approx(-0.1)
    assert gap.low == pytest.approx(-0.1 - hypot(0.06, 0.02))
    assert gap.high == pytest.approx(-0.1 + hypot(0.05, 0.03))
    assert difference(Interval(0.5), Interval(0.75, 0.7, 0.8)) == Interval(-0.25)


def test_the_interval_holds_the_true_difference_in_95_percent_of_the_cases() -> None:
    """Accuracy 0.85 on new clips, 0.925 on held-out ones."""
    inside = 0
    for seed in range(100):
        new = score(some(2 * seed, [0, 1, 2, 3], 0.8), resamples=100)
        old = score(some(2 * seed + 1, [0, 1, 2, 3], 0.9, clips=400), resamples=100)
        gap = changes(new, scores_to_json(old))["category"].metrics["accuracy"].difference
        assert gap.low is not None
        assert gap.high is not None
        inside += gap.low <= -0.075 <= gap.high
    assert inside / 100 >= 0.88


def test_equal_classes_have_the_values_of_the_scores() -> None:
    new, old = score(some(1, [0, 1, 2, 3], 0.7)), score(some(2, [0, 1, 2, 3], 0.9))
    found = changes(new, scores_to_json(old))["category"]
    assert found.classes == ("a", "b", "c", "d")
    for metric in ("accuracy", "f1"):
        change = found.metrics[metric]
        for side, scores in ((change.value, new), (change.held_out, old)):
            known = getattr(scores.heads["category"], metric)
            assert side.value == pytest.approx(known.value)
            assert side.low == pytest.approx(known.low)
            assert side.high == pytest.approx(known.high)


def test_only_the_common_classes_count() -> None:
    """As scored on the clips of these classes alone; the interval is wider."""
    new, everything = some(1, [0, 2], 0.7), some(2, [0, 1, 2], 0.9)
    old = score(everything)
    change = changes(score(new), scores_to_json(old))["category"]
    assert change.classes == ("a", "c")
    kept = np.isin(everything.true["category"], [0, 2])
    alone = score(everything.take(kept)).heads["category"]
    wider = sqrt(len(everything) / kept.sum())
    for metric in ("accuracy", "f1"):
        known = getattr(old.heads["category"], metric)
        side = change.metrics[metric].held_out
        assert side.value == pytest.approx(getattr(alone, metric).value)
        assert side.low is not None
        assert side.value - side.low == pytest.approx(wider * (known.value - known.low))


def test_nothing_to_compare_with() -> None:
    new = score(some(1, [0, 1], 0.7))
    assert changes(new, {}) == {}
    assert changes(new, scores_to_json(Scores({}, "head", 0, 0))) == {}
    assert changes(new, scores_to_json(score(some(1, [2, 3], 0.7)))) == {}


def test_coarse_levels_that_are_read_otherwise_are_left_out() -> None:
    heads = (Head("category", ("a", "b")), Head("event", ("a", "b"), "single", "category", (0, 1)))
    true, proba = [0, 1, 0, 1], [[0.9, 0.1]] * 4
    predictions = predicted(heads, [true, true], [proba, proba])
    old = scores_to_json(score(predictions, category_source="both"))
    assert changes(score(predictions, category_source="both"), old).keys() == {"category", "event"}
    assert changes(score(predictions), old).keys() == {"event"}


def test_heads_of_any_number_of_classes() -> None:
    head = Head("category", ("a", "b"), "multi")
    true = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    proba = np.array([[0.9, 0.6], [0.8, 0.7], [0.1, 0.9], [0.2, 0.1]])
    old = score(predicted((head,), [true], [proba]))
    new = score(predicted((head,), [true * [1, 0]], [proba]))
    found = changes(new, scores_to_json(old))["category"]
    assert found.classes == ("a",)
    entry = old.heads["category"].per_class[0]
    assert found.metrics["f1"].held_out.value == entry.f1
    assert found.metrics["average_precision"].held_out.value == entry.average_precision
    single = replace(old, heads=score(some(1, [0, 1], 0.9)).heads)
    assert changes(new, scores_to_json(single)) == {}


def test_the_sentence() -> None:
    new, old = score(some(1, [0, 2], 0.7)), score(some(2, [0, 1, 2, 3], 0.9))
    found = changes(new, scores_to_json(old))
    lines = [*change_lines(found)]
    assert max(map(len, lines)) <= 80
    text = " ".join(lines)
    change = found["category"].metrics["accuracy"]
    gap = change.difference
    assert gap.low is not None
    assert gap.high is not None
    assert "2 categories" in text
    assert (
        f"accuracy {change.value.value:.3f}, {-gap.value:.3f} [{-gap.high:.3f}, {-gap.low:.3f}] "
        f"below {change.held_out.value:.3f}"
    ) in text
