"""For each class the probability from which it counts as present."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from sonotype.core.types import Heads
from sonotype.evaluation.predictions import Predictions

DEFAULT = 0.5


def best_thresholds(
    proba: npt.NDArray[np.floating], true: npt.NDArray[np.integer]
) -> tuple[float, ...]:
    """The thresholds with the highest F1 on held-out clips; 0.5 for a class without clips.

    Of equally good thresholds, the middle of their range counts: a clip that lies between the
    classes then has the same chance to be on either side.

    Args:
        proba: ``[clips, classes]``.
        true: ``[clips]`` class indices; clips with a negative index are not used.
    """
    known = true >= 0
    return tuple(
        _best(proba[known, index], true[known] == index) for index in range(proba.shape[1])
    )


def with_thresholds(predictions: Predictions) -> Heads:
    """The heads with the best thresholds for held-out predictions."""
    return tuple(
        replace(
            head,
            thresholds=best_thresholds(predictions.proba[head.name], predictions.true[head.name]),
        )
        for head in predictions.heads
    )


def _best(proba: npt.NDArray[np.floating], present: npt.NDArray[np.bool_]) -> float:
    if not present.any() or present.all():
        return DEFAULT
    precision, recall, thresholds = precision_recall_curve(present, proba)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.flatnonzero(f1[:-1] == f1[:-1].max())[-1])
    below = proba[proba < thresholds[best]]
    low = below.max() if len(below) else 0.0
    return float((thresholds[best] + low) / 2)
