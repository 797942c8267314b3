"""For each class the probability from which it counts as present."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.metrics import precision_recall_curve

from sonotype.core.types import DEFAULT_THRESHOLD, Heads
from sonotype.evaluation.predictions import Predictions

Criterion = Literal["f1", "precision", "recall"]


def best_thresholds(
    proba: npt.NDArray[np.floating],
    true: npt.NDArray[np.integer],
    criterion: Criterion = "f1",
    target: float = 0.9,
) -> tuple[float, ...]:
    """The best thresholds on held-out clips; 0.5 for a class without clips, or without others.

    Of equally good thresholds, the middle of their range counts: a clip that lies between the
    classes then has the same chance to be on either side. Of thresholds with equal precision, the
    criteria ``"precision"`` and ``"recall"`` take that with the higher recall.

    Args:
        proba: ``[clips, classes]``.
        true: ``[clips]`` class indices, or ``[clips, classes]`` with 1 for a class that is present
            and 0 for one that is not. Negative values are not used.
        criterion: ``"f1"`` the highest F1; ``"precision"`` and ``"recall"`` the highest value of
            the other one, where this one is at least the target.
        target: least precision or recall. A precision that cannot be reached gives the threshold
            with the highest precision.
    """
    if true.ndim == 1:
        known = np.broadcast_to((true >= 0)[:, None], proba.shape)
        present = true[:, None] == np.arange(proba.shape[1])
    else:
        known, present = true >= 0, true == 1
    return tuple(
        _best(proba[rows, index], present[rows, index], criterion, target)
        for index, rows in enumerate(known.T)
    )


def with_thresholds(
    predictions: Predictions, criterion: Criterion = "f1", target: float = 0.9
) -> Heads:
    """The heads with the best thresholds for held-out predictions."""
    return tuple(
        replace(
            head,
            thresholds=best_thresholds(
                predictions.proba[head.name], predictions.true[head.name], criterion, target
            ),
        )
        for head in predictions.heads
    )


def _best(
    proba: npt.NDArray[np.floating],
    present: npt.NDArray[np.bool_],
    criterion: Criterion,
    target: float,
) -> float:
    if not present.any() or present.all():
        return DEFAULT_THRESHOLD
    precision, recall, thresholds = precision_recall_curve(present, proba)
    precision, recall = precision[:-1], recall[:-1]
    if criterion == "f1":
        quality = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    elif criterion == "precision":
        reached = precision >= target
        quality = np.where(reached, recall, -1) if reached.any() else precision
    else:
        quality = np.where(recall >= target, precision, -1)
    equal = np.flatnonzero(quality == quality.max())
    if criterion != "f1":
        equal = equal[recall[equal] == recall[equal].max()]
    best = int(equal[-1])
    below = proba[proba < thresholds[best]]
    low = below.max() if len(below) else 0.0
    return float((thresholds[best] + low) / 2)
