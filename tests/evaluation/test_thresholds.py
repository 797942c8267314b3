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
