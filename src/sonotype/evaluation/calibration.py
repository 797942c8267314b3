"""How sure a model may be of its answers: one temperature for all of them.

Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks" (2017). Dividing all logits
by one number changes no answer, only how sure it is; the number that makes the answers to unseen
clips most likely is found on answers to clips that the model has not learnt from.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize_scalar

from sonotype.models.system import System

LOW, HIGH = 0.05, 20.0
BINS = 15
TINY = 1e-30

Array = npt.NDArray[np.floating]
Indices = npt.NDArray[np.integer]


def fit_temperature(probability: Array, true: Indices) -> float:
    """The temperature under which the true classes are most likely.

    Args:
        probability: ``[clips, classes]`` of answers at temperature 1.
        true: ``[clips]``, the index of each clip's class.
    """
    found = minimize_scalar(
        lambda log: _surprise(tempered(probability, float(np.exp(log))), true),
        bounds=(np.log(LOW), np.log(HIGH)),
        method="bounded",
    )
    return float(np.exp(found.x))


def tempered(probability: Array, temperature: float) -> npt.NDArray[np.float64]:
    """The probabilities that logits divided by a temperature give.

    Shape:
        ``[clips, classes]``, unchanged.
    """
    # Logits are logarithms of probabilities but for a constant, which softmax does not see.
    logits = np.log(np.maximum(probability.astype(np.float64), TINY)) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def calibration_error(probability: Array, true: Indices) -> float:
    """How far the share of right answers is from how sure they are, over 15 bins of sureness."""
    sure, right = probability.max(axis=1), probability.argmax(axis=1) == true
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    total = 0.0
    for one in range(BINS):
        inside = bins == one
        if inside.any():
            total += inside.sum() * abs(float(sure[inside].mean()) - float(right[inside].mean()))
    return total / len(true)


@torch.no_grad()
def divide_logits(system: System, *, category: float = 1.0, event: float = 1.0) -> System:
    """Divide the logits of both heads by a temperature each; the most probable class stays."""
    heads = [(system.category, category)]
    if system.event is not None:
        heads.append((system.event, event))
    for head, temperature in heads:
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}, it must be positive")
        head.weight.div_(temperature)
        head.bias.div_(temperature)
    return system


def _surprise(probability: Array, true: Indices) -> float:
    return float(-np.log(np.maximum(probability[np.arange(len(true)), true], TINY)).mean())
