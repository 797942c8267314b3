"""Linear heads on pooled vectors: multinomial logistic regression, or one regression a class.

The vectors are standardised, weighted and scaled to unit length, see
:mod:`sonotype.models.statistics`. All vectors then have the same length, so that one strength of
regularisation suits any number of clips and any backbone; it was found by cross-validation.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from sonotype.core.types import IGNORE_INDEX, Head, Heads
from sonotype.features.vectors import Mixtures, Vectors
from sonotype.models.statistics import statistic_weights
from sonotype.models.system import System

STRENGTH = 30.0
"""Inverse strength of the L2 penalty for each clip (scikit-learn's ``C``)."""
MULTI_STRENGTH = 3.0
"""The same for the regressions of single classes, with mixtures of clips."""
MAX_ITERATIONS = 300
ABSENT = -50.0
"""Logit of a class without a training clip."""
TINY = 1e-6
LEAST_DEVIATION = 0.005
"""Least deviation by which a feature is divided, relative to the median of all features. The
smallest of real sounds is 20 times as large; a channel that is almost silent in training must not
decide about sounds in which it is not."""

Targets = Mapping[str, npt.NDArray[np.integer]]
"""By name of a head the class index of each clip; ``IGNORE_INDEX`` for no label. Of a ``"multi"``
head ``[clips, classes]``: 1 for a class that is present, 0 for one that is not."""


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """Fitted linear heads.

    Attributes:
        mean: ``[features]``, subtracted from pooled vectors.
        scale: ``[features]``, multiplies the difference.
        weights: by name of a head ``[classes, features]``.
        biases: by name of a head ``[classes]``.
    """

    mean: Vectors
    scale: Vectors
    weights: Mapping[str, Vectors]
    biases: Mapping[str, Vectors]

    def embed(self, vectors: Vectors) -> Vectors:
        """Unit vectors ``[..., features]``, the input of the heads."""
        scaled = (vectors - self.mean) * self.scale
        length = np.linalg.norm(scaled, axis=-1, keepdims=True)
        return np.asarray(scaled / np.maximum(length, TINY), dtype=np.float32)

    def logits(self, vectors: Vectors) -> dict[str, Vectors]:
        """By name of a head the logits ``[..., classes]`` of pooled vectors."""
        embedding = self.embed(vectors)
        return {
            name: embedding @ weight.T + self.biases[name] for name, weight in self.weights.items()
        }

    @torch.no_grad()
    def load_into(self, system: System) -> None:
        """Set the standardisation and the heads of a system with pooling ``statistics``."""
        system.embedding.mean.copy_(torch.from_numpy(self.mean))  # type: ignore[operator]
        system.embedding.scale.copy_(torch.from_numpy(self.scale))  # type: ignore[operator]
        for name, classify in system.classifiers.items():
            classify.weight.copy_(torch.from_numpy(self.weights[name]))  # type: ignore[operator]
            classify.bias.copy_(torch.from_numpy(self.biases[name]))  # type: ignore[operator]


def feature_weights(system: System) -> Vectors:
    """The weight of each feature of a system's pooled vectors, ``[features]``."""
    found = statistic_weights(pooling for pooling, _ in system.pooling.reductions())
    weights: Vectors = found.cpu().numpy()
    return weights


def fit_linear(
    vectors: Vectors,
    targets: Targets,
    heads: Heads,
    weights: Vectors,
    *,
    class_weights: bool = False,
) -> LinearHeads:
    """Fit the heads to all views of some clips.

    Args:
        vectors: ``[clips, views, features]``.
        targets: of the clips.
        heads: their classes.
        weights: ``[features]``, see :func:`feature_weights`.
        class_weights: weight classes by the inverse of their count.
    """
    labelled = np.any([is_known(target) for target in targets.values()], axis=0)
    rows = vectors[labelled | ~labelled.any()].reshape(-1, vectors.shape[-1])
    mean = rows.mean(0, dtype=np.float64).astype(np.float32)
    deviation = np.sqrt(np.square(rows - mean).mean(0, dtype=np.float64))
    # A feature that never changes in training, except by rounding, must not be amplified later.
    changes = deviation > TINY * np.maximum(1, np.abs(mean))
    median = np.median(deviation[changes]) if changes.any() else 0
    least = max(TINY, LEAST_DEVIATION * median)
    scale = np.where(changes, weights / np.maximum(deviation, least), 0)
    fitted = LinearHeads(mean, scale.astype(np.float32), {}, {})
    embedding = fitted.embed(vectors)
    solved = {
        head.name: _solve(embedding, targets[head.name], head, class_weights) for head in heads
    }
    return LinearHeads(
        mean,
        fitted.scale,
        {name: weight for name, (weight, _) in solved.items()},
        {name: bias for name, (_, bias) in solved.items()},
    )


def is_known(target: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """``[clips]``: whether something is known about a clip."""
    known = target != IGNORE_INDEX
    return known if target.ndim == 1 else np.asarray(known.any(axis=1))


def _solve(
    embedding: Vectors, target: npt.NDArray[np.integer], head: Head, class_weights: bool
) -> tuple[Vectors, Vectors]:
    """Weights ``[classes, features]`` and biases ``[classes]`` of one head."""
    if head.problem == "multi":
        return _solve_multi(embedding, target, class_weights)
    labelled = target != IGNORE_INDEX
    views, features = embedding.shape[1:]
    x, y = embedding[labelled].reshape(-1, features), np.repeat(target[labelled], views)
    weight = np.zeros((len(head.classes), features), np.float32)
    bias = np.full(len(head.classes), ABSENT, np.float32)
    present = np.unique(y)
    if len(present) < 2:
        bias[present] = 0
        return weight, bias
    x, basis = _in_span(x)
    model = LogisticRegression(
        C=STRENGTH / views,
        max_iter=MAX_ITERATIONS,
        class_weight="balanced" if class_weights else None,
    )
    with warnings.catch_warnings():
        # Many classes of one clip each look like a regression to scikit-learn.
        warnings.simplefilter("ignore")
        model.fit(x, y)
    coefficients = model.coef_ if basis is None else model.coef_ @ basis.T
    if len(present) == 2:  # one function, of the second class
        weight[present] = [-coefficients[0] / 2, coefficients[0] / 2]
        bias[present] = [-model.intercept_[0] / 2, model.intercept_[0] / 2]
    else:
        weight[present], bias[present] = coefficients, model.intercept_
    return weight, bias


def _solve_multi(
    embedding: Vectors, target: npt.NDArray[np.integer], class_weights: bool
) -> tuple[Vectors, Vectors]:
    """A logistic regression for each class, all in one minimisation.

    Clips for which a class is not known do not count for this class. A class that is not known to
    be absent in any clip is taken to be absent where it is not known. With class weights, present
    and absent clips of a class have the same total weight.
    """
    labelled = is_known(target)
    views, features = embedding.shape[1:]
    classes = target.shape[1]
    y = np.repeat(target[labelled], views, axis=0)
    never_absent = ~(y == 0).any(axis=0)
    y = np.where((y == IGNORE_INDEX) & never_absent, 0, y)
    known, present = y != IGNORE_INDEX, y == 1
    solvable = present.any(axis=0) & (y == 0).any(axis=0)
    weight = np.zeros((classes, features), np.float32)
    bias = np.where(present.any(axis=0), 0, ABSENT).astype(np.float32)
    if not solvable.any():
        return weight, bias
    x, basis = _in_span(embedding[labelled].reshape(-1, features))
    importance = known[:, solvable].astype(np.float32) * np.float32(MULTI_STRENGTH / views)
    found = present[:, solvable]
    if class_weights:
        number = known[:, solvable].sum(axis=0)
        count = found.sum(axis=0)
        importance *= np.where(found, number / (2 * count), number / (2 * (number - count)))
    coefficients, intercepts = _minimise(x, found.astype(np.float32), importance)
    weight[solvable] = coefficients if basis is None else coefficients @ basis.T
    bias[solvable] = intercepts
    return weight, bias


def _minimise(x: Vectors, y: Vectors, importance: Vectors) -> tuple[Vectors, Vectors]:
    """Weights ``[classes, features]`` and biases ``[classes]`` of penalised logistic regressions.

    The minimum over w and b, for each class, of ``w.w / 2 + sum(importance * cross-entropy)``: what
    scikit-learn's ``LogisticRegression`` minimises for one class.

    Args:
        x: ``[rows, features]``.
        y: ``[rows, classes]``, 1 or 0.
        importance: ``[rows, classes]``.
    """
    rows, features = x.shape
    classes = y.shape[1]
    # Dividing by the number of rows keeps gradients of the size that the tolerances expect.
    importance = importance / rows

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        parameters = flat.reshape(classes, features + 1)
        weight, bias = parameters[:, :-1], parameters[:, -1]
        logits = x @ weight.T.astype(np.float32) + bias.astype(np.float32)
        error = importance * (expit(logits) - y)
        entropy = importance * (np.logaddexp(0, logits) - y * logits)
        gradient = np.empty_like(parameters)
        gradient[:, :-1] = error.T @ x + weight / rows
        gradient[:, -1] = error.sum(axis=0, dtype=np.float64)
        value = entropy.sum(dtype=np.float64) + np.square(weight).sum() / (2 * rows)
        return float(value), gradient.ravel()

    start = np.zeros(classes * (features + 1))
    options = {"maxiter": MAX_ITERATIONS, "ftol": 1e-9, "gtol": 1e-6}
    result = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    found = result.x.reshape(classes, features + 1).astype(np.float32)
    return found[:, :-1], found[:, -1]


def _in_span(x: Vectors) -> tuple[Vectors, Vectors | None]:
    """Fewer rows than features: the rows in a basis of their span, and this basis.

    The penalty makes the weights lie in the span of the rows, so the solution is the same.
    """
    rows, features = x.shape
    if rows >= features:
        return x, None
    basis, triangle = np.linalg.qr(x.T)
    return np.ascontiguousarray(triangle.T), basis


@dataclass(frozen=True, eq=False)
class FoldFit:
    """Heads that were fitted to all folds but one.

    Attributes:
        linear: the heads.
        learnt: indices of the clips that they were fitted to.
        tested: indices of the clips of the other fold.
    """

    linear: LinearHeads
    learnt: npt.NDArray[np.intp]
    tested: npt.NDArray[np.intp]


def fit_folds(
    vectors: Vectors,
    targets: Targets,
    heads: Heads,
    weights: Vectors,
    folds: Sequence[Sequence[int]],
    *,
    class_weights: bool = False,
    mixtures: Mixtures | None = None,
    noises: Vectors | None = None,
) -> list[FoldFit]:
    """Fit the heads to all folds but one, for each fold.

    Args:
        vectors: ``[clips, views, features]``.
        targets: of the clips.
        heads: their classes.
        weights: see :func:`feature_weights`.
        folds: indices of the clips of each fold. Clips in no fold are always learnt.
        class_weights: weight classes by the inverse of their count.
        mixtures: of two clips of one fold each; see :func:`with_mixtures`.
        noises: sounds of no class; see there.
    """
    fits = []
    for fold in folds:
        tested = np.asarray(fold, dtype=np.intp)
        learnt = np.setdiff1d(np.arange(len(vectors)), tested)
        rows = vectors[learnt]
        known: Targets = {name: target[learnt] for name, target in targets.items()}
        if mixtures is not None:
            rows, known = with_mixtures(vectors, targets, mixtures, learnt, noises)
        linear = fit_linear(rows, known, heads, weights, class_weights=class_weights)
        fits.append(FoldFit(linear, learnt, tested))
    return fits


def with_mixtures(
    vectors: Vectors,
    targets: Targets,
    mixtures: Mixtures,
    learnt: npt.NDArray[np.intp],
    noises: Vectors | None = None,
) -> tuple[Vectors, Targets]:
    """The vectors and targets of some clips, of the mixtures of two of them, and of noises.

    A class is present in a mixture if it is present in one of both clips. No class is present in
    noises.

    Args:
        vectors: ``[clips, views, features]``.
        targets: of ``"multi"`` heads.
        mixtures: of these clips.
        learnt: indices of the clips to use.
        noises: ``[sounds, 1, features]`` of sounds of no class.
    """
    rows = [vectors[learnt]]
    used = np.isin(mixtures.first, learnt) & np.isin(mixtures.second, learnt)
    found = {}
    for name, target in targets.items():
        pair = np.stack([target[mixtures.first[used]], target[mixtures.second[used]]])
        absent = np.where((pair == IGNORE_INDEX).any(axis=0), IGNORE_INDEX, 0)
        union = np.where((pair == 1).any(axis=0), 1, absent)
        found[name] = np.concatenate([target[learnt], union])
    rows.append(mixtures.vectors[used])
    if noises is not None:
        rows.append(np.repeat(noises, vectors.shape[1], axis=1))
        found = {
            name: np.concatenate([target, np.zeros((len(noises), target.shape[1]), target.dtype)])
            for name, target in found.items()
        }
    return np.concatenate(rows), found


def held_out_logits(
    fits: Sequence[FoldFit], vectors: Vectors, targets: Targets, heads: Heads
) -> tuple[dict[str, Vectors], dict[str, npt.NDArray[np.bool_]]]:
    """Logits of each clip from heads that were fitted to the other folds.

    Returns:
        by name of a head the logits ``[clips, views, classes]``, and whether the class of a clip
        ``[clips]`` has been learnt from another fold, so that the clip can be scored; of a
        ``"multi"`` head ``[clips, classes]``.
    """
    clips, views, _ = vectors.shape
    logits = {head.name: np.zeros((clips, views, len(head.classes)), np.float32) for head in heads}
    scored = {head.name: np.zeros(targets[head.name].shape, dtype=bool) for head in heads}
    for fit in fits:
        for name, values in fit.linear.logits(vectors[fit.tested]).items():
            logits[name][fit.tested] = values
            target = targets[name]
            if target.ndim == 1:
                known = np.isin(target[fit.tested], target[fit.learnt])
            else:
                known = (target[fit.learnt] == 1).any(axis=0)
            scored[name][fit.tested] = known & (target[fit.tested] != IGNORE_INDEX)
    return logits, scored
