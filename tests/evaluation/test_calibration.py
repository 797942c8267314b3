"""One temperature: found where it is known, and what it does to how sure predictions are."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as reference_log_loss

from sonotype.evaluation.calibration import (
    binary_calibration_error,
    binary_reliability,
    brier_score,
    calibration_error,
    fit_sigmoid_temperature,
    fit_temperature,
    log_loss,
    tempered,
)


def world(temperature: float, clips: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that are overconfident by a known temperature."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((clips, 5))
    uncontaminated = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    true = np.array([rng.choice(5, p=row) for row in uncontaminated])
    sure = np.exp(logits * temperature)
    return sure / sure.sum(1, keepdims=True), true


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature: float) -> None:
    probability, true = world(temperature)
    found = fit_temperature(probability, true)
    assert found == pytest.approx(temperature, rel=0.03)
    assert calibration_error(tempered(probability, found), true) < 0.015


def test_a_temperature_changes_no_prediction() -> None:
    probability, _ = world(1.0, 50)
    for temperature in (0.3, 4.0):
        cooled = tempered(probability, temperature)
        assert np.array_equal(cooled.argmax(1), probability.argmax(1))
        wanted = probability ** (1 / temperature)
        assert cooled == pytest.approx(wanted / wanted.sum(1, keepdims=True))
    assert tempered(probability, 1.0) == pytest.approx(probability)
    sharp = tempered(np.array([[1.0, 0.0]]), 2.0)
    assert np.isfinite(sharp).all()
    assert sharp[0] == pytest.approx([1.0, 0.0], abs=1e-9)


def test_the_error_is_the_gap_between_sure_and_right() -> None:
    probability = np.array([[0.9, 0.1], [0.9, 0.1], [0.7, 0.3], [0.3, 0.7]])
    true = np.array([0, 1, 0, 1])
    # Two of four are 0.9 sure and half right, two are 0.7 sure and right.
    assert calibration_error(probability, true) == pytest.approx(0.5 * 0.4 + 0.5 * 0.3)


def test_views_are_averaged_after_the_temperature() -> None:
    """The mean of views is less sure than a view, so the best temperature is lower than theirs."""
    rng = np.random.default_rng(1)
    clips, views = 4000, 3
    logits = 2 * rng.standard_normal((clips, 1, 5)) + rng.standard_normal((clips, views, 5))
    uncontaminated = softmax(logits).mean(1)
    true = np.array([rng.choice(5, p=row) for row in uncontaminated])
    for temperature in (0.5, 1.0, 3.0):
        found = fit_temperature(softmax(logits * temperature), true)
        assert found == pytest.approx(temperature, rel=0.08)
        losses = [
            log_loss(tempered(softmax(logits * temperature), each).mean(1), true)
            for each in (found, 0.8 * found, 1.25 * found)
        ]
        assert losses[0] == min(losses)
    one = fit_temperature(softmax(logits[:, :1]), true)
    assert one == pytest.approx(fit_temperature(softmax(logits[:, 0]), true))


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


@pytest.mark.parametrize("clips", [4, 10, 40])
def test_a_few_correct_clips_do_not_give_an_extreme_temperature(clips: int) -> None:
    logits = np.random.default_rng(0).standard_normal((clips, 4))
    true = logits.argmax(1)
    logits[np.arange(clips), true] += 1.0
    probability = softmax(logits)
    found = fit_temperature(probability, true)
    assert 0.1 < found < 1
    assert tempered(probability, found).max() < 1
    more = fit_temperature(np.tile(probability, (5, 1)), np.tile(true, 5))
    assert more < found, "more correct clips are more evidence"
    wrong = fit_temperature(probability, (true + 1) % 4)
    assert wrong > 1
    assert np.isfinite(wrong)


def test_scores_of_probabilities_equal_scikit_learn() -> None:
    probability, true = world(2.0, 300)
    every = range(probability.shape[1])
    expected = sum(brier_score_loss(true == index, probability[:, index]) for index in every)
    assert brier_score(probability, true) == pytest.approx(expected)
    expected = reference_log_loss(true, probability, labels=list(every))
    assert log_loss(probability, true) == pytest.approx(expected, rel=1e-6)
    certain = np.eye(3)
    assert brier_score(certain, np.arange(3)) == log_loss(certain, np.arange(3)) == 0
    assert brier_score(certain, np.array([1, 2, 0])) == 2
    assert np.isfinite(log_loss(certain, np.array([1, 2, 0])))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-logits)))


@pytest.mark.parametrize("views", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_temperature_of_several_labels_is_the_best_of_a_grid(seed: int, views: int) -> None:
    """The likelihood of the known entries, and of one clip of average probabilities."""
    rng = np.random.default_rng(seed)
    shape = (30, views, 4) if views else (30, 4)
    logits = 4 * rng.standard_normal(shape)
    centre = logits.mean(axis=1) if views else logits
    true = (rng.random((30, 4)) < sigmoid(centre / 2)).astype(int)
    true[rng.random((30, 4)) < 0.2] = -1

    def loss(temperature: float) -> float:
        yes, no = sigmoid(logits / temperature), sigmoid(-logits / temperature)
        if views:
            yes, no = yes.mean(axis=1), no.mean(axis=1)
        total = -np.log(yes[true == 1]).sum() - np.log(no[true == 0]).sum()
        prior = -(np.log(yes) + np.log(no)) / 2
        return float(total + prior.mean(axis=0).sum())

    found = fit_sigmoid_temperature(logits, true)
    grid = np.exp(np.linspace(np.log(0.3), np.log(15), 600))
    best = grid[np.argmin([loss(each) for each in grid])]
    assert found == pytest.approx(best, rel=0.02)


def test_extreme_logits_have_a_temperature() -> None:
    true = np.array([[1, 0], [0, 1]])
    right = np.where(true == 1, 200.0, -200.0)
    for logits in (right, -right):
        assert np.isfinite(fit_sigmoid_temperature(logits, true))


def test_bins_of_statements() -> None:
    confidence = np.array([0.0, 0.05, 0.5, 0.51, 1.0])
    correct = np.array([False, True, True, False, True])
    bins = binary_reliability(confidence, correct)
    assert [one.clips for one in bins] == [2, 2, 1]
    assert [one.accuracy for one in bins] == [0.5, 0.5, 1.0]
    assert [one.confidence for one in bins] == pytest.approx([0.025, 0.505, 1.0])
    wanted = (2 * abs(0.025 - 0.5) + 2 * abs(0.505 - 0.5) + 0) / 5
    assert binary_calibration_error(confidence, correct) == pytest.approx(wanted)
