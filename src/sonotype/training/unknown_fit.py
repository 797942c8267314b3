"""Fit the unknown score of linear heads to known clips and synthetic noises."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from sonotype.core.types import IGNORE_INDEX, Head, Heads
from sonotype.features.vectors import Vectors
from sonotype.models.unknown import AXES, GATE_WEIGHT, UnknownScore
from sonotype.training.linear_fit import FoldFit, LinearHeads, Targets

SHRINKAGE = 0.3
"""Weight of the isotropic part of the covariance."""
GATE_STRENGTH = 1000.0
"""Inverse strength of the gate's L2 penalty: known clips and noises are separable."""
FOLDS, FEWEST_FOLDS = 8, 4
"""Folds for the threshold where the scores have fewer than the second number: with few folds, their
models are weaker than the final one."""
MEDIAN_KNOWN = 0.05
"""Unknown score of the median known clip."""
MIN_CLIPS = 5
"""Known clips that a threshold needs."""

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.integer]


def head_of_unknown(heads: Heads, targets: Targets) -> Head:
    """The head whose classes are the known ones: the finest that labels all clips of the first."""
    first = targets[heads[0].name] != IGNORE_INDEX
    labelled = [head for head in heads if (targets[head.name] != IGNORE_INDEX)[first].all()]
    return labelled[-1] if labelled else heads[0]


def fit_geometry(
    linear: LinearHeads, vectors: Vectors, target: Indices, classes: int, negatives: Vectors
) -> UnknownScore:
    """Centres, axes and gate; offsets, scales and threshold are set by :func:`set_threshold`.

    Args:
        linear: the heads, fitted to the same clips.
        vectors: ``[clips, views, features]`` of labelled clips.
        target: class indices of the clips.
        classes: number of classes.
        negatives: ``[sounds, views, features]`` of sounds of no class.
    """
    known = linear.embed(vectors)
    features = known.shape[-1]
    flat, labels = known.reshape(-1, features), np.repeat(target, known.shape[1])
    foreign = linear.embed(negatives).reshape(-1, features)
    centres = np.full((classes, features), np.nan, np.float32)
    for index in np.unique(labels):
        centres[index] = flat[labels == index].mean(0)
    axes = _axes(flat - centres[labels])
    # A class without clips gets the centre of another: it is never nearer than that one.
    centres[np.isnan(centres).any(1)] = centres[labels[0]]
    weight, bias = _gate(flat, foreign)
    score = UnknownScore(classes, features, len(axes))
    score.centres.copy_(torch.from_numpy(centres))
    score.axes.copy_(torch.from_numpy(axes))
    score.gate.copy_(torch.from_numpy(weight))
    score.gate_bias.fill_(bias)
    return score


def _axes(residuals: Floats) -> npt.NDArray[np.float32]:
    """Rows of A: the largest axes of the covariance, by how much they shorten a distance.

    The squared distance with the inverse covariance is, up to a factor, the squared length less
    the squared length of its part along the large axes, each shortened by ``1 - rest / variance``.
    """
    rows, features = residuals.shape
    count = min(AXES, features - 1, rows)
    # With few rows, the small matrix of products between rows has the same variances.
    narrow = rows < features
    products = (residuals @ residuals.T if narrow else residuals.T @ residuals).astype(np.float64)
    size = len(products)
    values, vectors = scipy.linalg.eigh(products, subset_by_index=(size - count, size - 1))
    variance = np.maximum(values[::-1], 0) / rows
    vectors = vectors[:, ::-1]
    if narrow:
        vectors = residuals.T @ (vectors / np.sqrt(np.maximum(values[::-1], 1e-12)))
    total = np.trace(products) / rows
    isotropic = SHRINKAGE * total / features
    shrunken = (1 - SHRINKAGE) * variance + isotropic
    others = (total - variance.sum()) / max(features - count, 1)
    rest = (1 - SHRINKAGE) * others + isotropic
    share = 1 - rest / np.maximum(shrunken, 1e-12)
    axes = np.sqrt(np.maximum(share, 0))[:, None] * vectors.T
    return np.ascontiguousarray(axes, dtype=np.float32)


def _gate(known: Floats, foreign: Floats) -> tuple[npt.NDArray[np.float32], float]:
    model = LogisticRegression(C=GATE_STRENGTH, class_weight="balanced", max_iter=200)
    x = np.concatenate([known, foreign])
    with warnings.catch_warnings():
        # Negatives that overlap with known clips need more steps for the last digits.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, np.arange(len(x)) < len(known))
    return model.coef_[0].astype(np.float32), float(model.intercept_[0])


@torch.inference_mode()
def fold_scores(score: UnknownScore, linear: LinearHeads, head: Head, vectors: Vectors) -> Floats:
    """Energy, nearness and gate of clips, averaged over their views.

    Shape:
        ``[clips, views, features] -> [clips, 3]``
    """
    clips, views, features = vectors.shape
    flat = torch.from_numpy(linear.embed(vectors).reshape(-1, features))
    logits = flat @ torch.from_numpy(linear.weights[head.name]).T
    logits = logits + torch.from_numpy(linear.biases[head.name])
    quantities = torch.stack(score.belonging(flat, logits), dim=1)
    return quantities.view(clips, views, -1).mean(1).double().numpy()


def held_out_scores(
    fits: Sequence[FoldFit],
    vectors: Vectors,
    target: Indices,
    head: Head,
    noises: Vectors,
    negative: npt.NDArray[np.bool_],
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The quantities of clips, each from models of the other folds.

    Args:
        fits: heads for each fold.
        vectors: ``[clips, views, features]``.
        target: class indices of the clips.
        head: whose classes are the known ones.
        noises: ``[sounds, 1, features]`` of synthetic sounds of no class.
        negative: which clips are of no class.

    Returns:
        the quantities ``[clips, 3]``, NaN for clips in no fold; and which clips ``[clips]`` are
        known, because another fold has their class.
    """
    found, known = np.full((len(vectors), 3), np.nan), np.zeros(len(vectors), dtype=bool)
    for fit in fits:
        learnt = fit.learnt[target[fit.learnt] != IGNORE_INDEX]
        if not len(learnt):
            continue
        foreign = foreign_vectors(vectors[fit.learnt[negative[fit.learnt]]], noises)
        score = fit_geometry(
            fit.linear, vectors[learnt], target[learnt], len(head.classes), foreign
        )
        found[fit.tested] = fold_scores(score, fit.linear, head, vectors[fit.tested])
        known[fit.tested] = np.isin(target[fit.tested], target[learnt])
    return found, known & (target != IGNORE_INDEX)


def foreign_vectors(negatives: Vectors, noises: Vectors) -> Vectors:
    """The vectors of negative clips and noises as ``[sounds * views, 1, features]``."""
    features = noises.shape[-1]
    return np.concatenate([negatives.reshape(-1, 1, features), noises.reshape(-1, 1, features)])


def set_threshold(score: UnknownScore, held_out: Floats, keep_known: float) -> None:
    """Set offsets, scales, threshold and width from the quantities of held-out known clips."""
    energy, nearness, _ = held_out.T
    for index, values in enumerate((energy, nearness)):
        score.offsets[index] = float(values.mean())
        score.scales[index] = max(float(values.std()), 1e-6)
    total = sum_of(score, held_out)
    threshold = float(np.quantile(total, 1 - keep_known))
    score.threshold.fill_(threshold)
    log_odds = np.log(1 / MEDIAN_KNOWN - 1)
    score.width.fill_(max((float(np.median(total)) - threshold) / log_odds, 1e-6))


def scores_of(score: UnknownScore, quantities: Floats) -> Floats:
    """Unknown scores ``[clips]`` of quantities that are averaged over views."""
    odds = (sum_of(score, quantities) - float(score.threshold)) / float(score.width)
    return np.asarray(1 / (1 + np.exp(np.clip(odds, -500, 500))))


def sum_of(score: UnknownScore, quantities: Floats) -> Floats:
    """``s`` of :class:`UnknownScore` for quantities that are averaged over views."""
    scaled = (quantities[:, :2] - score.offsets.numpy()) / score.scales.numpy()
    gate = -np.logaddexp(0, -quantities[:, 2])
    return np.asarray(scaled.sum(1) + GATE_WEIGHT * gate)
