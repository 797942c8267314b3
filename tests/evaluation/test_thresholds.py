"""Thresholds of classes against a search over all of them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from sonotype.core.types import DEFAULT_THRESHOLD, IGNORE_INDEX
from sonotype.evaluation.thresholds import best_thresholds


def predictions(clips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of four classes that are right more often than not; some clips are equal."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 4, clips)
    logits = rng.standard_normal((clips, 4)).round(1 if seed % 2 else 6)
    logits[np.arange(clips), true] += 1.5
    powers = np.exp(logits)
    return powers / powers.sum(1, keepdims=True), true


def f1(proba: np.ndarray, present: np.ndarray, threshold: float) -> float:
    return float(f1_score(present, proba >= threshold, zero_division=0.0))


@pytest.mark.parametrize("seed", range(6))
def test_no_other_threshold_has_a_higher_f1(seed: int) -> None:
    proba, true = predictions(60, seed)
    thresholds = best_thresholds(proba, true)
    assert len(thresholds) == 4
    for index, threshold in enumerate(thresholds):
        column, present = proba[:, index], true == index
        best = max(f1(column, present, each) for each in column)
        assert f1(column, present, threshold) == pytest.approx(best)
        assert 0 < threshold < 1


def test_a_threshold_is_the_middle_between_the_classes() -> None:
    column = np.array([0.9, 0.8, 0.7, 0.3, 0.1])
    proba, true = np.column_stack([column, 1 - column]), np.array([0, 0, 0, 1, 1])
    assert best_thresholds(proba, true) == pytest.approx((0.5, 0.5))
    everything = np.column_stack([[0.9, 0.8, 0.6], [0.1, 0.2, 0.4]])
    # The best threshold includes the lowest clip; the middle is that to 0.
    assert best_thresholds(everything, np.array([0, 1, 0]))[0] == pytest.approx(0.3)


def test_classes_without_clips_and_clips_without_a_class() -> None:
    proba, true = predictions(40, 0)
    true = np.where(true == 3, IGNORE_INDEX, true)
    thresholds = best_thresholds(proba, true)
    assert thresholds[3] == DEFAULT_THRESHOLD
    known = true != IGNORE_INDEX
    assert thresholds == best_thresholds(proba[known], true[known])
    assert best_thresholds(proba[:0], true[:0]) == (DEFAULT_THRESHOLD,) * 4
    assert best_thresholds(proba, np.zeros(40, dtype=int)) == (DEFAULT_THRESHOLD,) * 4


def several(seed: int, clips: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Clips with any number of three classes, equal probabilities and unknown entries."""
    rng = np.random.default_rng(seed)
    true = (rng.random((clips, 3)) < 0.4).astype(int)
    proba = (0.6 * rng.random((clips, 3)) + 0.3 * true).round(2)
    true[rng.random(true.shape) < 0.1] = IGNORE_INDEX
    return proba, true


def rates(proba: np.ndarray, present: np.ndarray, threshold: float) -> tuple[float, float]:
    """Precision and recall; a precision of 0 where nothing is found."""
    found = proba >= threshold
    hits = (found & present).sum()
    return float(hits / max(found.sum(), 1)), float(hits / present.sum())


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("target", [0.5, 0.7, 0.9, 1.0])
def test_a_least_precision_or_recall_against_all_thresholds(seed: int, target: float) -> None:
    proba, true = several(seed)
    by_precision = best_thresholds(proba, true, "precision", target)
    by_recall = best_thresholds(proba, true, "recall", target)
    for index in range(3):
        known = true[:, index] >= 0
        column, present = proba[known, index], true[known, index] == 1
        every = [rates(column, present, each) for each in column]
        precision, recall = rates(column, present, by_precision[index])
        reached = [pair for pair in every if pair[0] >= target]
        if reached:
            assert precision >= target
            assert recall == max(other for _, other in reached)
        else:
            best = max(first for first, _ in every)
            assert precision == best
            assert recall == max(other for first, other in every if first == best)
        precision, recall = rates(column, present, by_recall[index])
        best = max(first for first, other in every if other >= target)
        assert recall >= target
        assert precision == best
        assert recall == max(other for first, other in every if first == best)


def test_a_precision_that_cannot_be_reached() -> None:
    """The highest precision is 1/2: at 0.9 with one of three clips, at 0.7 with two."""
    column = np.array([0.9, 0.9, 0.8, 0.7, 0.1, 0.2, 0.3])
    present = np.array([1, 0, 0, 1, 1, 0, 0])
    [threshold] = best_thresholds(column[:, None], present[:, None], "precision", 0.9)
    assert threshold == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_heads_with_several_labels_use_their_known_entries(seed: int) -> None:
    proba, true = several(seed)
    for index, threshold in enumerate(best_thresholds(proba, true)):
        known = true[:, index] >= 0
        column, present = proba[known, index], true[known, index] == 1
        best = max(f1(column, present, each) for each in column)
        assert f1(column, present, threshold) == pytest.approx(best)
