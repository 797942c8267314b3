"""The unknown score against explicit inverse covariances, its gate and its threshold."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from heads import two_heads
from scipy.special import expit
from sklearn.covariance import empirical_covariance

from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.models.unknown import AXES, GATE_WEIGHT, UnknownScore
from sonotype.training.linear_fit import LinearHeads, fit_folds, fit_linear
from sonotype.training.unknown_fit import (
    MEDIAN_KNOWN,
    SHRINKAGE,
    _axes,
    fit_geometry,
    fold_scores,
    foreign_vectors,
    head_of_unknown,
    held_out_scores,
    scores_of,
    set_threshold,
    sum_of,
)

FEATURES, CLASSES = 12, 3
HEAD = Head("category", ("a", "b", "c"))
NONE = np.zeros(100, dtype=bool)
"""No clip is of no class."""


def world(clips: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors ``[clips, 2, features]`` of three classes, targets, and vectors of noises."""
    rng = np.random.default_rng(seed)
    centres = 2 * np.random.default_rng(99).standard_normal((CLASSES, FEATURES))
    target = np.arange(clips) % CLASSES
    axes = np.linspace(2, 0.2, FEATURES)
    known = centres[target][:, None] + axes * rng.standard_normal((clips, 2, FEATURES))
    noises = 3 * np.ones(FEATURES) + 0.3 * rng.standard_normal((20, 1, FEATURES))
    return known.astype(np.float32), target, noises.astype(np.float32)


def fitted(
    clips: int = 40, seed: int = 0
) -> tuple[UnknownScore, LinearHeads, np.ndarray, np.ndarray]:
    vectors, target, noises = world(clips, seed)
    weights = np.ones(FEATURES, np.float32)
    linear = fit_linear(vectors, {"category": target}, (HEAD,), weights)
    return fit_geometry(linear, vectors, target, CLASSES, noises), linear, vectors, target


def covariance_of(residuals: np.ndarray, axes: int) -> np.ndarray:
    """The shrunken covariance with the mean of the small variances in place of each of them."""
    covariance = empirical_covariance(residuals.astype(np.float64), assume_centered=True)
    values, vectors = np.linalg.eigh(covariance)
    isotropic = np.trace(covariance) / len(covariance)
    values[:-axes] = values[:-axes].mean()
    values = (1 - SHRINKAGE) * values + SHRINKAGE * isotropic
    return np.asarray(vectors @ np.diag(values) @ vectors.T)


@pytest.mark.parametrize("rows", [30, 200], ids=["fewer rows", "more rows"])
def test_distances_are_those_of_the_inverse_covariance_up_to_a_factor(rows: int) -> None:
    features = 50
    rng = np.random.default_rng(1)
    residuals = (rng.standard_normal((rows, features)) * np.linspace(3, 0.1, features)).astype("f4")
    axes = _axes(residuals)
    count = min(AXES, rows)
    assert axes.shape == (count, features)
    score = UnknownScore(2, features, count)
    score.centres.copy_(torch.from_numpy(rng.standard_normal((2, features))))
    score.axes.copy_(torch.from_numpy(axes))
    x = rng.standard_normal((9, features))
    inverse = np.linalg.inv(covariance_of(residuals, count))
    rest = np.linalg.eigvalsh(inverse).max()
    wanted = []
    for vector in x:
        differences = [vector - centre for centre in score.centres.double().numpy()]
        wanted.append(-min(float(d @ inverse @ d) / rest for d in differences))
    found = score.belonging(torch.from_numpy(x).float(), torch.zeros(9, 2)).nearness
    np.testing.assert_allclose(found, wanted, rtol=1e-3)


def test_both_ways_to_the_axes_agree_up_to_sign() -> None:
    rng = np.random.default_rng(2)
    residuals = (rng.standard_normal((40, 40)) * np.linspace(3, 0.1, 40)).astype(np.float32)
    wide = _axes(residuals)  # as many rows as features
    # Features of zeros change no variance; the isotropic part is spread over more of them.
    narrow = _axes(np.pad(residuals, ((0, 0), (0, 1))))
    assert not narrow[:, 40].any()
    for one, other in zip(wide, narrow[:, :40], strict=True):
        one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
        assert abs(float(one @ other)) == pytest.approx(1, abs=1e-3)
    lengths = (np.linalg.norm(axes, axis=1) for axes in (wide, narrow))
    np.testing.assert_allclose(*lengths, atol=0.02)


@pytest.mark.parametrize("residuals", [np.zeros((5, 8)), np.ones((1, 8)), np.eye(4)[:, :2]])
def test_few_or_no_residuals_give_finite_axes(residuals: np.ndarray) -> None:
    axes = _axes(residuals.astype(np.float32))
    assert np.isfinite(axes).all()
    assert (np.linalg.norm(axes, axis=1) <= 1 + 1e-6).all(), "no distance becomes negative"


def test_centres_are_the_means_of_the_classes_and_the_gate_rejects_noises() -> None:
    score, linear, vectors, target = fitted()
    known, noises = linear.embed(vectors), linear.embed(world()[2])
    for index in range(CLASSES):
        expected = known[target == index].reshape(-1, FEATURES).mean(0)
        np.testing.assert_allclose(score.centres[index], expected, atol=1e-5)
    gates = {}
    for name, embedding in (("known", known), ("noise", noises)):
        flat = torch.from_numpy(embedding.reshape(-1, FEATURES))
        gates[name] = score.belonging(flat, torch.zeros(len(flat), CLASSES)).gate
    assert gates["noise"].max() < 0 < gates["known"].min()


def test_a_class_without_clips_is_never_the_nearest() -> None:
    vectors, target, noises = world()
    some = target != 1
    linear = fit_linear(vectors[some], {"category": target[some]}, (HEAD,), np.ones(12, "f4"))
    score = fit_geometry(linear, vectors[some], target[some], CLASSES, noises)
    two = UnknownScore(2, FEATURES, len(score.axes))
    two.load_state_dict({**score.state_dict(), "centres": score.centres[[0, 2]]})
    flat = torch.from_numpy(linear.embed(vectors).reshape(-1, FEATURES))
    nearness = [one.belonging(flat, torch.zeros(len(flat), 1)).nearness for one in (score, two)]
    torch.testing.assert_close(*nearness)


def test_quantities_of_clips_are_means_over_views() -> None:
    score, linear, vectors, _ = fitted()
    found = fold_scores(score, linear, HEAD, vectors)
    assert found.shape == (40, 3)
    for clip in (0, 7):
        quantities = []
        for view in vectors[clip]:
            embedding = torch.from_numpy(linear.embed(view[None]))
            logits = torch.from_numpy(linear.logits(view[None])["category"])
            quantities.append([float(x) for x in score.belonging(embedding, logits)])
            energy = float(np.log(np.exp(logits.double().numpy()).sum()))
            assert quantities[-1][0] == pytest.approx(energy, rel=1e-5)
        np.testing.assert_allclose(found[clip], np.mean(quantities, axis=0), rtol=1e-3, atol=1e-4)


# The threshold


@pytest.mark.parametrize("keep_known", [0.5, 0.8, 0.95])
def test_the_threshold_keeps_the_wanted_share_of_held_out_clips(keep_known: float) -> None:
    rng = np.random.default_rng(3)
    held_out = rng.standard_normal((1000, 3)) * [2, 0.1, 1] + [5, -0.5, 4]
    score = UnknownScore(CLASSES, FEATURES, 2)
    set_threshold(score, held_out, keep_known)
    total = sum_of(score, held_out)
    unknown = expit((float(score.threshold) - total) / float(score.width))
    np.testing.assert_allclose(scores_of(score, held_out), unknown, rtol=1e-6, atol=1e-12)
    assert np.mean(unknown <= 0.5) == pytest.approx(keep_known, abs=0.002)
    if keep_known > 0.5:
        assert np.median(unknown) == pytest.approx(MEDIAN_KNOWN, abs=1e-3)
    np.testing.assert_allclose(score.offsets, held_out[:, :2].mean(0), rtol=1e-5)
    np.testing.assert_allclose(score.scales, held_out[:, :2].std(0), rtol=1e-5)
    scaled = (held_out[0, :2] - held_out[:, :2].mean(0)) / held_out[:, :2].std(0)
    expected = scaled.sum() - GATE_WEIGHT * np.log(1 + np.exp(-held_out[0, 2]))
    assert total[0] == pytest.approx(expected, rel=1e-4)


def test_equal_clips_give_a_finite_threshold() -> None:
    score = UnknownScore(CLASSES, FEATURES, 2)
    set_threshold(score, np.ones((30, 3)), 0.95)
    assert all(torch.isfinite(tensor).all() for tensor in score.state_dict().values())


def test_scores_are_shares_that_rise_with_the_distance() -> None:
    score, linear, vectors, _ = fitted(60)
    set_threshold(score, fold_scores(score, linear, HEAD, vectors), 0.95)
    direction = linear.embed(vectors)[0, 0]
    away = np.linalg.qr(np.column_stack([direction, np.ones(FEATURES)]))[0][:, 1]
    embedding = np.stack([direction + distance * away for distance in (0, 0.5, 1, 2, 4, 1e3)])
    logits = torch.zeros(len(embedding), CLASSES)
    found = score(torch.from_numpy(embedding).float(), logits)
    assert ((found >= 0) & (found <= 1)).all()
    # The gate may open with the distance, but only to a limit; the distance has none.
    assert found[-1] > 0.999 >= found[0]
    nearness = score.belonging(torch.from_numpy(embedding).float(), logits).nearness
    assert (nearness.diff() < 0).all()


def test_noises_score_higher_than_known_clips() -> None:
    score, linear, vectors, target = fitted(60)
    folds = [tuple(range(number, 60, 5)) for number in range(5)]
    noises = world(seed=4)[2]
    fits = fit_folds(vectors, {"category": target}, (HEAD,), np.ones(FEATURES, "f4"), folds)
    held_out, known = held_out_scores(fits, vectors, target, HEAD, noises, NONE[:60])
    assert held_out.shape == (60, 3)
    assert known.all()
    set_threshold(score, held_out, 0.95)
    with torch.inference_mode():
        found = [
            score(
                torch.from_numpy(linear.embed(some)).flatten(0, 1),
                torch.from_numpy(linear.logits(some)["category"]).flatten(0, 1),
            )
            for some in (world(60, seed=7)[0], noises)
        ]
    assert found[1].min() > 0.5
    assert (found[0] > 0.5).float().mean() < 0.2


def test_a_fold_does_not_learn_its_own_clips() -> None:
    vectors, target, noises = world(30)
    weights = np.ones(FEATURES, np.float32)
    folds = [tuple(range(number, 30, 3)) for number in range(3)]  # a class each
    fits = fit_folds(vectors, {"category": target}, (HEAD,), weights, folds)
    _, known = held_out_scores(fits, vectors, target, HEAD, noises, NONE[:30])
    assert not known.any()
    folds = [tuple(range(10)), tuple(range(10, 20)), tuple(range(20, 30))]
    negative = np.arange(30) % 7 == 0
    some = np.where(negative, IGNORE_INDEX, target)
    fits = fit_folds(vectors, {"category": some}, (HEAD,), weights, folds)
    found, known = held_out_scores(fits, vectors, some, HEAD, noises, negative)
    assert known.tolist() == (~negative).tolist()
    learnt = np.arange(10, 30)[~negative[10:]]
    alone = fit_linear(vectors[10:], {"category": some[10:]}, (HEAD,), weights)
    foreign = foreign_vectors(vectors[10:][negative[10:]], noises)
    assert foreign.shape == (2 * 3 + 20, 1, FEATURES)
    score = fit_geometry(alone, vectors[learnt], some[learnt], CLASSES, foreign)
    expected = fold_scores(score, alone, HEAD, vectors[:10])
    np.testing.assert_allclose(found[:10], expected, rtol=1e-5, atol=1e-5)


def test_clips_in_no_fold_have_no_quantities() -> None:
    vectors, target, noises = world(30)
    folds = [tuple(range(10)), tuple(range(10, 20))]
    weights = np.ones(FEATURES, np.float32)
    fits = fit_folds(vectors, {"category": target}, (HEAD,), weights, folds)
    found, known = held_out_scores(fits, vectors, target, HEAD, noises, NONE[:30])
    assert np.isnan(found[20:]).all()
    assert np.isfinite(found[:20]).all()
    assert known.tolist() == [True] * 20 + [False] * 10


def test_the_known_classes_are_those_of_the_finest_head_that_labels_all_clips() -> None:
    heads = two_heads(("a", "b"), ("c", "d", "e"), (0, 0, 1))
    category, event = np.array([0, 0, 1]), np.array([0, 1, 2])
    assert head_of_unknown(heads, {"category": category, "event": event}) == heads[1]
    some = np.array([0, IGNORE_INDEX, 2])
    assert head_of_unknown(heads, {"category": category, "event": some}) == heads[0]
    none = np.array([0, IGNORE_INDEX, 1])
    assert head_of_unknown(heads, {"category": none, "event": some}) == heads[1]


def test_a_copy_has_the_same_scores() -> None:
    score, linear, vectors, _ = fitted()
    flat = torch.from_numpy(linear.embed(vectors).reshape(-1, FEATURES))
    logits = torch.from_numpy(linear.logits(vectors)["category"].reshape(-1, CLASSES))
    again = UnknownScore(CLASSES, FEATURES, len(score.axes))
    again.load_state_dict(score.state_dict())
    for other in (copy.deepcopy(score), again):
        assert torch.equal(other(flat, logits), score(flat, logits))
    assert not list(score.parameters()), "nothing is trained"
