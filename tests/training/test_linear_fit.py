"""Linear heads against scikit-learn on the embedding written out, and folds that do not leak."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from heads import two_heads
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize

from sonotype.config import SystemOptions
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.models.build import build_system
from sonotype.training.linear_fit import (
    ABSENT,
    STRENGTH,
    LinearHeads,
    feature_weights,
    fit_folds,
    fit_linear,
    held_out_logits,
)

HEAD = Head("category", ("a", "b", "c"))
VIEWS = 3
TOLERANCE = 0.01
"""Of probabilities: the solver stops a little before the optimum."""


def clips_of(
    target: Sequence[int], features: int, views: int = VIEWS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors ``[clips, views, features]`` around a centre for each class, and the targets."""
    rng = np.random.default_rng(seed)
    indices = np.asarray(target)
    centres = rng.standard_normal((int(indices.max()) + 1, features))
    spread = 1.5 * rng.standard_normal((len(target), 1, features))
    views_of = 0.3 * rng.standard_normal((len(target), views, features))
    scale, offset = np.geomspace(0.01, 100, features), rng.standard_normal(features)
    vectors = (centres[indices][:, None] + spread + views_of) * scale + offset
    return vectors.astype(np.float32), indices


def by_scikit(
    vectors: np.ndarray, target: np.ndarray, weights: np.ndarray, *, class_weights: bool = False
) -> tuple[np.ndarray, LogisticRegression]:
    """The embedding ``[clips * views, features]``, and the model of it, in double precision."""
    views, features = vectors.shape[1:]
    rows = vectors.reshape(-1, features).astype(np.float64)
    embedding = normalize(StandardScaler().fit_transform(rows) * weights)
    balance = "balanced" if class_weights else None
    model = LogisticRegression(C=STRENGTH / views, tol=1e-8, max_iter=10_000, class_weight=balance)
    known = np.repeat(target, views) != IGNORE_INDEX
    model.fit(embedding[known], np.repeat(target, views)[known])
    return embedding, model


def fit(vectors: np.ndarray, target: np.ndarray, head: Head = HEAD, **options: bool) -> LinearHeads:
    weights = np.linspace(0.5, 1, vectors.shape[-1]).astype(np.float32)
    return fit_linear(vectors, {head.name: target}, (head,), weights, **options)


def probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


@pytest.mark.parametrize("features", [8, 400], ids=["more rows", "more features"])
@pytest.mark.parametrize("class_weights", [False, True])
@pytest.mark.parametrize("views", [1, VIEWS])
def test_equals_scikit_learn(features: int, class_weights: bool, views: int) -> None:
    vectors, target = clips_of([0, 1, 2] * 12 + [0] * 10, features, views)
    linear = fit(vectors, target, class_weights=class_weights)
    weights = np.linspace(0.5, 1, features)
    embedding, model = by_scikit(vectors, target, weights, class_weights=class_weights)
    found = linear.embed(vectors).reshape(-1, features)
    np.testing.assert_allclose(found, embedding, rtol=0, atol=1e-5)
    logits = linear.logits(vectors)["category"].reshape(-1, 3)
    expected = model.predict_proba(embedding)
    np.testing.assert_allclose(probabilities(logits), expected, rtol=0, atol=TOLERANCE)
    new, _ = clips_of([0, 1, 2] * 5, features, views, seed=5)
    logits = linear.logits(new)["category"].reshape(-1, 3)
    expected = model.predict_proba(linear.embed(new).reshape(-1, features))
    np.testing.assert_allclose(probabilities(logits), expected, rtol=0, atol=TOLERANCE)


def test_a_feature_that_hardly_changes_in_training_does_not_decide_later() -> None:
    vectors, target = clips_of([0, 1, 2] * 12, 8)
    vectors[..., 3] = 1e-5 * np.arange(len(target))[:, None] % 3e-5
    linear = fit(vectors, target)
    median = np.median(vectors.reshape(-1, 8).std(0))
    assert linear.scale[3] == pytest.approx(np.linspace(0.5, 1, 8)[3] / (0.005 * median), rel=1e-4)
    changed = vectors.copy()
    changed[..., 3] = 1e-3  # a hundred times its values in training
    np.testing.assert_allclose(linear.embed(changed), linear.embed(vectors), atol=0.3)


@pytest.mark.parametrize("features", [8, 400])
def test_two_classes_have_the_probabilities_of_one_function(features: int) -> None:
    vectors, target = clips_of([0, 1] * 15, features)
    linear = fit(vectors, target, Head("category", ("a", "b")))
    embedding, model = by_scikit(vectors, target, np.linspace(0.5, 1, features))
    found = probabilities(linear.logits(vectors)["category"].reshape(-1, 2))
    np.testing.assert_allclose(found, model.predict_proba(embedding), rtol=0, atol=TOLERANCE)
    assert linear.weights["category"][0] == pytest.approx(-linear.weights["category"][1])


@pytest.mark.parametrize("present", [(0, 2), (1,), ()])
def test_a_class_without_clips_is_never_predicted(present: tuple[int, ...]) -> None:
    target = [*present] * 8 if present else [IGNORE_INDEX] * 8
    vectors, indices = clips_of([max(one, 0) for one in target], 8)
    linear = fit(vectors, np.asarray(target) if target else indices)
    missing = [index for index in range(3) if index not in present]
    assert (linear.biases["category"][missing] == ABSENT).all()
    assert not linear.weights["category"][missing].any()
    proba = probabilities(linear.logits(vectors)["category"])
    assert np.isfinite(proba).all()
    if present:
        assert proba[..., missing].max() < 1e-12
    if len(present) == 2:
        labels = proba.mean(1).argmax(1)
        assert (labels == indices).mean() > 0.9


def test_a_head_learns_only_the_clips_that_it_labels() -> None:
    vectors, target = clips_of([0, 1, 2] * 12, 8)
    some = np.where(np.arange(len(target)) % 4 == 0, IGNORE_INDEX, target)
    heads = (HEAD, Head("event", HEAD.classes))
    weights = np.ones(8, np.float32)
    linear = fit_linear(vectors, {"category": target, "event": some}, heads, weights)
    embedding, model = by_scikit(vectors, some, np.ones(8))
    found = probabilities(linear.logits(vectors)["event"].reshape(-1, 3))
    np.testing.assert_allclose(found, model.predict_proba(embedding), rtol=0, atol=TOLERANCE)
    alone = fit_linear(vectors, {"category": target}, heads[:1], weights)
    assert np.array_equal(alone.weights["category"], linear.weights["category"])


def test_clips_without_any_label_change_nothing() -> None:
    vectors, target = clips_of([0, 1, 2] * 12, 8)
    some = np.where(np.arange(len(target)) % 4 == 0, IGNORE_INDEX, target)
    changed = vectors.copy()
    changed[some == IGNORE_INDEX] = 1e3
    linear, other = fit(vectors, some), fit(changed, some)
    for name in ("mean", "scale"):
        assert np.array_equal(getattr(linear, name), getattr(other, name))
    for name in ("weights", "biases"):
        assert np.array_equal(getattr(linear, name)["category"], getattr(other, name)["category"])


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.3, -3e5])
@pytest.mark.parametrize("rounding", [0.0, 1e-7])
def test_a_constant_feature_is_not_amplified(value: float, rounding: float) -> None:
    vectors, target = clips_of([0, 1, 2] * 200, 8)
    sign = np.random.default_rng(1).choice([-1, 1], vectors.shape[:2])
    vectors[..., 3] = value * (1 + rounding * sign)
    linear = fit(vectors, target)
    assert linear.scale[3] == 0
    changed = vectors.copy()
    changed[..., 3] += 10
    assert np.array_equal(linear.embed(changed), linear.embed(vectors))


def test_a_clip_at_the_mean_has_finite_logits() -> None:
    vectors, target = clips_of([0, 1, 2] * 5, 8)
    linear = fit(vectors, target)
    logits = linear.logits(linear.mean[None])["category"]
    np.testing.assert_allclose(logits[0], linear.biases["category"], rtol=1e-6)


def test_the_system_has_the_logits_of_the_fitted_heads() -> None:
    heads = two_heads(("a", "b"), ("c", "d", "e"), (0, 0, 1))
    options = SystemOptions(backbone="compact", width=0.0, pooling="statistics", seconds=1.0)
    torch.manual_seed(0)
    system = build_system(options, heads).eval()
    weights = feature_weights(system)
    assert weights.shape == (system.embedding_size,)
    vectors, events = clips_of([0, 1, 2] * 6, system.embedding_size)
    targets = {"category": np.array([0, 0, 1])[events], "event": events}
    linear = fit_linear(vectors, targets, heads, weights)
    linear.load_into(system)
    pooled = vectors.reshape(-1, system.embedding_size)
    with torch.inference_mode():
        logits, embedding = system.heads(torch.from_numpy(pooled))
    np.testing.assert_allclose(embedding, linear.embed(pooled), rtol=0, atol=1e-6)
    for name, expected in linear.logits(pooled).items():
        np.testing.assert_allclose(logits[name], expected, rtol=0, atol=1e-4)


# Folds


FOLDS = ((0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8))
TARGET = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 1, 2])


def test_heads_of_a_fold_depend_on_none_of_its_clips() -> None:
    vectors, _ = clips_of(TARGET, 6)
    weights = np.ones(6, np.float32)
    fits = fit_folds(vectors, {"category": TARGET}, (HEAD,), weights, FOLDS)
    for number, fold in enumerate(FOLDS):
        assert fits[number].tested.tolist() == list(fold)
        assert sorted([*fits[number].learnt, *fold]) == list(range(12))
        changed, target = vectors.copy(), TARGET.copy()
        changed[list(fold)] = 1e3
        target[list(fold)] = 0
        again = fit_folds(changed, {"category": target}, (HEAD,), weights, FOLDS)
        for name in ("mean", "scale"):
            assert np.array_equal(
                getattr(again[number].linear, name), getattr(fits[number].linear, name)
            )
        for name in ("weights", "biases"):
            before, after = (getattr(one[number].linear, name) for one in (fits, again))
            assert np.array_equal(before["category"], after["category"])
        others = [one for one in range(3) if one != number]
        assert not any(
            np.array_equal(again[one].linear.mean, fits[one].linear.mean) for one in others
        )


def test_a_clip_in_no_fold_is_always_learnt_and_never_scored() -> None:
    vectors, _ = clips_of(TARGET, 6)
    weights, targets = np.ones(6, np.float32), {"category": TARGET}
    fits = fit_folds(vectors, targets, (HEAD,), weights, FOLDS)
    assert all(11 in one.learnt for one in fits)
    _, scored = held_out_logits(fits, vectors, targets, (HEAD,))
    assert scored["category"].tolist() == [True] * 11 + [False]


def test_held_out_logits_are_those_of_the_other_folds_heads() -> None:
    vectors, _ = clips_of(TARGET, 6)
    weights, targets = np.ones(6, np.float32), {"category": TARGET}
    fits = fit_folds(vectors, targets, (HEAD,), weights, FOLDS, class_weights=True)
    logits, _ = held_out_logits(fits, vectors, targets, (HEAD,))
    assert logits["category"].shape == (12, VIEWS, 3)
    for fold in FOLDS:
        learnt = [index for index in range(12) if index not in fold]
        known = {"category": TARGET[learnt]}
        linear = fit_linear(vectors[learnt], known, (HEAD,), weights, class_weights=True)
        expected = linear.logits(vectors[list(fold)])["category"]
        assert np.array_equal(logits["category"][list(fold)], expected)


def test_a_class_of_one_fold_and_a_clip_without_a_label_are_not_scored() -> None:
    vectors, _ = clips_of(TARGET, 6)
    target = TARGET.copy()
    target[[2, 5]] = 2  # two clips of the third fold; the other clips of the class are there too
    target[[6, 7, 11]] = [0, 1, 0]
    target[[0, 4]] = IGNORE_INDEX
    targets = {"category": target}
    fits = fit_folds(vectors, targets, (HEAD,), np.ones(6, np.float32), FOLDS)
    logits, scored = held_out_logits(fits, vectors, targets, (HEAD,))
    expected = [index not in (0, 4, 2, 5, 8, 11) for index in range(12)]
    assert scored["category"].tolist() == expected
    assert (probabilities(logits["category"][[2, 5, 8]])[..., 2] < 1e-12).all()
