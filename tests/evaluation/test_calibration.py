"""One temperature: found where it is known, and what it does to how sure predictions are."""

from __future__ import annotations

import numpy as np
import pytest

from sonotype.evaluation.calibration import calibration_error, fit_temperature, tempered


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
