"""Calibration of probabilities by a temperature.

Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks" (2017). Dividing all logits
by a temperature changes the probabilities, but not the most probable class. The temperature is
fitted to maximise the likelihood of clips that are not in the training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit

LOW, HIGH = 0.05, 20.0
BINS = 15
TINY = 1e-30

Array = npt.NDArray[np.floating]
Indices = npt.NDArray[np.integer]


def fit_temperature(probability: Array, true: Indices) -> float:
    """The temperature with the highest likelihood of the true classes.

    One more clip of average probabilities, whose class is every class in equal shares, is added:
    without it, the temperature of a few clips that are all correct would be 0.

    Args:
        probability: ``[clips, classes]`` at temperature 1, or ``[clips, views, classes]`` where the
            probabilities of several views of a clip are averaged after the temperature.
        true: ``[clips]`` class indices.
    """

    def loss(log: float) -> float:
        scaled = tempered(probability, float(np.exp(log)))
        mean = scaled.mean(axis=1) if scaled.ndim == 3 else scaled
        prior = -np.log(np.maximum(mean, TINY)).mean()
        return float(len(true) * log_loss(mean, true) + prior)

    found = minimize_scalar(loss, bounds=(np.log(LOW), np.log(HIGH)), method="bounded")
    return float(np.exp(found.x))


def fit_sigmoid_temperature(logits: Array, true: Indices) -> float:
    """The temperature with the highest likelihood of the presence of each class.

    As in :func:`fit_temperature`, one more clip is added: each class is present and absent in
    equal shares.

    Args:
        logits: ``[clips, classes]``, or ``[clips, views, classes]`` where the probabilities of
            several views of a clip are averaged after the temperature.
        true: ``[clips, classes]``, 1 present, 0 not, negative if not known.
    """
    known, present = true >= 0, true == 1

    def loss(log: float) -> float:
        scaled = logits.astype(np.float64) / np.exp(log)
        # 1 - expit(x) would be 0 for a large x.
        yes, no = (
            np.maximum(each.mean(axis=1) if each.ndim == 3 else each, TINY)
            for each in (expit(scaled), expit(-scaled))
        )
        right = np.where(present, yes, no)
        prior = -(np.log(yes) + np.log(no)) / 2
        return float(-np.log(right[known]).sum() + prior.mean(axis=0).sum())

    found = minimize_scalar(loss, bounds=(np.log(LOW), np.log(HIGH)), method="bounded")
    return float(np.exp(found.x))


def tempered(probability: Array, temperature: float) -> npt.NDArray[np.float64]:
    """The probabilities after dividing the logits by a temperature.

    Shape:
        ``[..., classes]``, unchanged.
    """
    # Logits are logarithms of probabilities plus a constant, which softmax removes.
    logits = np.log(np.maximum(probability.astype(np.float64), TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Bin:
    """The clips whose largest probability lies in one of 15 equal parts of 0 to 1.

    Where a clip can have several labels, these are pairs of a clip and a class.

    Attributes:
        clips: their number, at least 1.
        confidence: mean of their largest probabilities.
        accuracy: share of correct clips.
    """

    clips: int
    confidence: float
    accuracy: float


def reliability(probability: Array, true: Indices) -> list[Bin]:
    """The bins that have clips, from low to high confidence."""
    return binary_reliability(probability.max(axis=1), probability.argmax(axis=1) == true)


def binary_reliability(confidence: Array, correct: npt.NDArray[np.bool_]) -> list[Bin]:
    """The same for probabilities ``[n]`` of statements that are true or not."""
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(
            int((bins == number).sum()),
            float(confidence[bins == number].mean()),
            float(correct[bins == number].mean()),
        )
        for number in np.unique(bins)
    ]


def calibration_error(probability: Array, true: Indices) -> float:
    """Expected calibration error: mean distance of accuracy and confidence over 15 bins."""
    return _error(reliability(probability, true))


def binary_calibration_error(confidence: Array, correct: npt.NDArray[np.bool_]) -> float:
    """The same for probabilities ``[n]`` of statements that are true or not."""
    return _error(binary_reliability(confidence, correct))


def _error(bins: Sequence[Bin]) -> float:
    total = sum(one.clips for one in bins)
    return sum(one.clips * abs(one.confidence - one.accuracy) for one in bins) / total


def brier_score(probability: Array, true: Indices) -> float:
    """Mean squared distance of the probabilities from the true classes, from 0 to 2."""
    target = np.eye(probability.shape[1])[true]
    return float(np.square(probability - target).sum(axis=1).mean())


def log_loss(probability: Array, true: Indices) -> float:
    """Mean negative logarithm of the probability of the true class."""
    return float(-np.log(np.maximum(probability[np.arange(len(true)), true], TINY)).mean())
