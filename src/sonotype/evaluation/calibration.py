"""Calibration of probabilities by a temperature.

Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks" (2017). Dividing all logits
by a temperature changes the probabilities, but not the most probable class. The temperature is
fitted to maximise the likelihood of clips that are not in the training set.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

LOW, HIGH = 0.05, 20.0
BINS = 15
TINY = 1e-30

Array = npt.NDArray[np.floating]
Indices = npt.NDArray[np.integer]


def fit_temperature(probability: Array, true: Indices) -> float:
    """The temperature with the highest likelihood of the true classes.

    Args:
        probability: ``[clips, classes]`` at temperature 1.
        true: ``[clips]`` class indices.
    """
    found = minimize_scalar(
        lambda log: _log_loss(tempered(probability, float(np.exp(log))), true),
        bounds=(np.log(LOW), np.log(HIGH)),
        method="bounded",
    )
    return float(np.exp(found.x))


def tempered(probability: Array, temperature: float) -> npt.NDArray[np.float64]:
    """The probabilities after dividing the logits by a temperature.

    Shape:
        ``[clips, classes]``, unchanged.
    """
    # Logits are logarithms of probabilities plus a constant, which softmax removes.
    logits = np.log(np.maximum(probability.astype(np.float64), TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def calibration_error(probability: Array, true: Indices) -> float:
    """Expected calibration error: mean distance of accuracy and confidence over 15 bins."""
    confidence, correct = probability.max(axis=1), probability.argmax(axis=1) == true
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    total = 0.0
    for number in range(BINS):
        inside = bins == number
        if inside.any():
            gap = abs(float(confidence[inside].mean()) - float(correct[inside].mean()))
            total += inside.sum() * gap
    return total / len(true)


def _log_loss(probability: Array, true: Indices) -> float:
    return float(-np.log(np.maximum(probability[np.arange(len(true)), true], TINY)).mean())
