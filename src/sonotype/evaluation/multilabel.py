"""Metrics of clips with any number of labels, for many weightings of the clips at once.

A bootstrap over recordings weights each clip by the number of times that its recording is drawn
(see :mod:`sonotype.evaluation.bootstrap`). All metrics are therefore functions of weights. Entries
of the truth that are not known do not count.

Average precision of a class is that of scikit-learn: the clips are sorted by falling probability,
and AP is the sum over distinct probabilities of the step in recall times the precision there. Mean
average precision is the mean over the classes with a true clip (macro), or the average precision
of all pairs of clip and class (micro). lwlrap, label-weighted label-ranking average precision
(DCASE 2019, task 2), is the mean over all true labels of the share of true labels among the
classes that are ranked as high in the same clip or higher.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.bootstrap import draws

MULTI_METRICS = (
    *("accuracy", "precision", "recall", "f1"),
    *("average_precision", "micro_average_precision", "lwlrap"),
)
"""Order of the last axis of :func:`multi_metrics`. Accuracy is the share of clips whose known
classes are all right. Precision, recall and F1 are means over the classes with a true clip, average
precision is the mean over those of them that are absent in another clip."""

CHUNK = 2**22
"""Largest number of weights in memory, as float64."""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def multi_metrics(
    true: npt.NDArray[np.integer],
    proba: npt.NDArray[np.floating],
    decided: Bools,
    weights: npt.NDArray[np.generic],
) -> Floats:
    """The metrics for each row of weights.

    Args:
        true: ``[clips, classes]``, 1, 0 or ``IGNORE_INDEX``.
        proba: ``[clips, classes]``.
        decided: ``[clips, classes]``: which classes count as present.
        weights: ``[rows, clips]``.

    Shape:
        ``[rows, 7]``, in the order of ``MULTI_METRICS``
    """
    counts: Floats = np.asarray(weights, dtype=np.float64)
    known, present = true != IGNORE_INDEX, true == 1
    hits = counts @ (present & decided)
    support = counts @ present
    claims = counts @ (known & decided)
    right = np.all(~known | (present == decided), axis=1)
    counted = known.any(axis=1)
    accuracy = counts @ (right & counted) / np.maximum(counts @ counted, 1)
    has_clips = support > 0
    per_class = (
        hits / np.maximum(claims, 1),
        hits / np.maximum(support, 1),
        2 * hits / np.maximum(support + claims, 1),
        np.stack(
            [
                average_precision(present[rows, c], proba[rows, c], counts[:, rows])
                for c, rows in enumerate(known.T)
            ],
            axis=1,
        ),
    )
    # A class that is never absent has no order of clips to score.
    ranked = has_clips & (counts @ (known & ~present) > 0)
    macro = [
        np.where(used, one, 0).sum(axis=1) / np.maximum(used.sum(axis=1), 1)
        for one, used in zip(per_class, (*[has_clips] * 3, ranked), strict=True)
    ]
    clip, which = np.nonzero(known)
    micro = average_precision(present[clip, which], proba[clip, which], counts[:, clip])
    precision, labels = label_ranking(true, proba)
    lwlrap = counts @ precision / np.maximum(counts @ labels, 1)
    return np.stack([accuracy, *macro, micro, lwlrap], axis=1)


def resample_multi(
    true: npt.NDArray[np.integer],
    proba: npt.NDArray[np.floating],
    decided: Bools,
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> Floats:
    """The metrics of draws of the recordings, ``[resamples, 7]``.

    A draw without a true class has only an accuracy, its other metrics are NaN. A draw in which no
    class is present and absent has no average precision.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    rows = max(1, CHUNK // max(true.size, 1))
    positive = (true == 1).any(axis=1)
    found = []
    for counts in draws(len(names), resamples, seed, rows):
        weights = counts[:, group]
        metrics = multi_metrics(true, proba, decided, weights)
        metrics[weights @ positive == 0, 1:] = np.nan
        ranked = (weights @ (true == 1) > 0) & (weights @ (true == 0) > 0)
        metrics[~ranked.any(axis=1), 4] = np.nan
        found.append(metrics)
    return np.concatenate(found)


def average_precision(
    present: Bools, proba: npt.NDArray[np.floating], weights: npt.NDArray[np.floating]
) -> Floats:
    """Average precision of one class.

    Args:
        present: ``[clips]``.
        proba: ``[clips]``.
        weights: ``[rows, clips]``.

    Shape:
        ``[rows]``; 0 without a true clip
    """
    if not present.any():
        return np.zeros(len(weights))
    order = np.argsort(-proba, kind="stable")
    present, falling = present[order], -proba[order]
    positives = np.flatnonzero(present)
    # For each true clip the last clip, and the last true clip, of the same probability.
    last = np.searchsorted(falling, falling[positives], side="right") - 1
    last_true = np.searchsorted(falling[positives], falling[positives], side="right") - 1
    own = weights[:, order[positives]]
    claims = np.cumsum(weights[:, order], axis=1)[:, last]
    hits = np.cumsum(own, axis=1)[:, last_true]
    total = (own * hits / np.maximum(claims, 1e-12)).sum(axis=1)
    return np.asarray(total / np.maximum(own.sum(axis=1), 1e-12))


def label_ranking(
    true: npt.NDArray[np.integer], proba: npt.NDArray[np.floating]
) -> tuple[Floats, Floats]:
    """For each clip the sum over its labels of the precision at their rank, and their number.

    Shape:
        ``[clips], [clips]``
    """
    known, present = true != IGNORE_INDEX, true == 1
    labels = present.sum(axis=1).astype(np.float64)
    precision = np.zeros(len(true))
    for clip in np.flatnonzero(labels):
        ranked = proba[clip] >= proba[clip, present[clip]][:, None]  # [labels, classes]
        above = (ranked & known[clip]).sum(axis=1)
        precision[clip] = ((ranked & present[clip]).sum(axis=1) / above).sum()
    return precision, labels
