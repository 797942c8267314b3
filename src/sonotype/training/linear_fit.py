"""Linear heads on pooled vectors: multinomial logistic regression.

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
from sklearn.linear_model import LogisticRegression

from sonotype.core.types import IGNORE_INDEX, Head, Heads
from sonotype.features.vectors import Vectors
from sonotype.models.statistics import statistic_weights
from sonotype.models.system import System

STRENGTH = 30.0
"""Inverse strength of the L2 penalty for each clip (scikit-learn's ``C``)."""
MAX_ITERATIONS = 300
ABSENT = -50.0
"""Logit of a class without a training clip."""
TINY = 1e-6

Targets = Mapping[str, npt.NDArray[np.integer]]
"""By name of a head the class index of each clip; ``IGNORE_INDEX`` for no label."""


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
    weights: Vectors = statistic_weights(
        pooling for pooling, _ in system.pooling.reductions()
    ).numpy()
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
    labelled = np.any([target != IGNORE_INDEX for target in targets.values()], axis=0)
    rows = vectors[labelled | ~labelled.any()].reshape(-1, vectors.shape[-1])
    mean = rows.mean(0, dtype=np.float64).astype(np.float32)
    deviation = np.sqrt(np.square(rows - mean).mean(0, dtype=np.float64))
    # A feature that never changes in training, except by rounding, must not be amplified later.
    changes = deviation > TINY * np.maximum(1, np.abs(mean))
    scale = np.where(changes, weights / np.maximum(deviation, TINY), 0)
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


def _solve(
    embedding: Vectors, target: npt.NDArray[np.integer], head: Head, class_weights: bool
) -> tuple[Vectors, Vectors]:
    """Weights ``[classes, features]`` and biases ``[classes]`` of one head."""
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
) -> list[FoldFit]:
    """Fit the heads to all folds but one, for each fold.

    Args:
        vectors: ``[clips, views, features]``.
        targets: of the clips.
        heads: their classes.
        weights: see :func:`feature_weights`.
        folds: indices of the clips of each fold. Clips in no fold are always learnt.
        class_weights: weight classes by the inverse of their count.
    """
    fits = []
    for fold in folds:
        tested = np.asarray(fold, dtype=np.intp)
        learnt = np.setdiff1d(np.arange(len(vectors)), tested)
        known = {name: target[learnt] for name, target in targets.items()}
        linear = fit_linear(vectors[learnt], known, heads, weights, class_weights=class_weights)
        fits.append(FoldFit(linear, learnt, tested))
    return fits


def held_out_logits(
    fits: Sequence[FoldFit], vectors: Vectors, targets: Targets, heads: Heads
) -> tuple[dict[str, Vectors], dict[str, npt.NDArray[np.bool_]]]:
    """Logits of each clip from heads that were fitted to the other folds.

    Returns:
        by name of a head the logits ``[clips, views, classes]``, and whether the class of a clip
        ``[clips]`` has been learnt from another fold, so that the clip can be scored.
    """
    clips, views, _ = vectors.shape
    logits = {head.name: np.zeros((clips, views, len(head.classes)), np.float32) for head in heads}
    scored = {head.name: np.zeros(clips, dtype=bool) for head in heads}
    for fit in fits:
        for name, values in fit.linear.logits(vectors[fit.tested]).items():
            logits[name][fit.tested] = values
            target = targets[name]
            known = np.isin(target[fit.tested], target[fit.learnt])
            scored[name][fit.tested] = known & (target[fit.tested] != IGNORE_INDEX)
    return logits, scored
