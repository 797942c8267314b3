"""Number of epochs and learning rate of a training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from sonotype.config import TrainOptions

WARM_UP_EPOCHS = 1
LAST_RATE = 0.01
"""The cosine schedule ends at this share of the learning rate."""


def extend_epochs(options: TrainOptions, steps: int) -> TrainOptions:
    """The options with enough epochs for ``min_steps``, and ``patience`` extended by that factor.

    Args:
        options: resolved.
        steps: in one epoch.
    """
    epochs, patience = options.epochs or 1, options.patience or 1
    wanted = -(-(options.min_steps or 0) // steps)
    if wanted <= epochs:
        return options
    return dataclasses.replace(options, epochs=wanted, patience=-(-patience * wanted // epochs))


def cosine_schedule(steps: int, epochs: int) -> Callable[[int], float]:
    """Factor of the learning rate by step: a linear warm-up of one epoch, then half a cosine.

    Args:
        steps: in one epoch.
        epochs: in all.
    """
    warm, total = steps * WARM_UP_EPOCHS, steps * max(epochs, WARM_UP_EPOCHS + 1)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        done = min((step - warm) / max(total - warm, 1), 1.0)
        return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2

    return factor
