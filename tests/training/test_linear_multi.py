"""Linear heads of clips with any number of labels, against scikit-learn class by class."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler, normalize

from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.experiments.linear_run import present_share
from sonotype.features.vectors import Mixtures
from sonotype.training.linear_fit import (
    ABSENT,
    MULTI_STRENGTH,
    LinearHeads,
    fit_folds,
    fit_linear,
    held_out_logits,
    with_mixtures,
)

HEAD = Head("category", ("a", "b", "c"), "multi")
CLIPS, FEATURES = 60, 12


def clips_of(seed: int = 0, features: int = FEATURES, views: int = 1) -> tuple[np.ndarray, ...]:
    """Vectors ``[clips, views, features]`` and targets ``[clips, 3]`` that depend on them."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((CLIPS, 1, features))
    logits = vectors[:, 0] @ rng.standard_normal((features, 3)) - 1
    target = (rng.uniform(size=logits.shape) < expit(2 * logits)).astype(np.int64)
    vectors = vectors + 0.1 * rng.standard_normal((CLIPS, views, features))
    return vectors.astype(np.float32), target


def weights_of(features: int) -> np.ndarray:
    return np.linspace(0.5, 1, features).astype(np.float32)


def fit(vectors: np.ndarray, target: np.ndarray, **options: bool) -> LinearHeads:
    weights = weights_of(vectors.shape[-1])
    return fit_linear(vectors, {"category": target}, (HEAD,), weights, **options)


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("features", "views"), [(FEATURES, 1), (FEATURES, 3), (4 * CLIPS, 1)])
def test_equals_one_regression_a_class(features: int, views: int, balanced: bool) -> None:
    vectors, target = clips_of(features=features, views=views)
    target[::7, 0] = target[3::5, 2] = IGNORE_INDEX
    fitted = fit(vectors, target, class_weights=balanced)
    rows = vectors.reshape(-1, features).astype(np.float64)
    embedding = normalize(StandardScaler().fit_transform(rows) * weights_of(features))
    found = fitted.logits(vectors)["category"].reshape(-1, 3)
    for index in range(3):
        one = np.repeat(target[:, index], views)
        model = LogisticRegression(
            C=MULTI_STRENGTH / views,
            tol=1e-8,
            max_iter=10_000,
            class_weight="balanced" if balanced else None,
        )
        model.fit(embedding[one != IGNORE_INDEX], one[one != IGNORE_INDEX])
        expected = model.decision_function(embedding)
        np.testing.assert_allclose(expit(found[:, index]), expit(expected), atol=0.005)


def test_clips_of_which_nothing_is_known_do_not_count() -> None:
    vectors, target = clips_of()
    target[:10] = IGNORE_INDEX
    other = vectors.copy()
    other[:10] += 100
    first, second = fit(vectors, target), fit(other, target)
    np.testing.assert_array_equal(first.weights["category"], second.weights["category"])
    np.testing.assert_array_equal(first.mean, second.mean)


def test_classes_without_an_example() -> None:
    """Never present: absent. Never known to be absent: absent where it is not known."""
    vectors, target = clips_of()
    target[:, 0] = 0
    target[:, 1] = np.where(target[:, 1] == 1, 1, IGNORE_INDEX)
    target[:, 2] = 1
    fitted = fit(vectors, target)
    assert fitted.biases["category"][0] == ABSENT
    assert not fitted.weights["category"][[0, 2]].any()
    assert fitted.biases["category"][2] == 0
    filled = target.copy()
    filled[:, 1] = np.where(target[:, 1] == 1, 1, 0)
    np.testing.assert_array_equal(
        fitted.weights["category"][1], fit(vectors, filled).weights["category"][1]
    )


def test_a_mixture_has_the_classes_of_both_clips() -> None:
    vectors = np.arange(4, dtype=np.float32).reshape(4, 1, 1)
    target = np.array([[1, 0, -1], [0, 0, 1], [-1, 0, 0], [1, -1, 0]])
    mixtures = Mixtures(
        np.array([10, 11, 12], np.float32).reshape(3, 1, 1),
        np.array([0, 1, 2]),
        np.array([1, 2, 3]),
    )
    learnt = np.array([0, 1, 2])
    rows, found = with_mixtures(vectors, {"category": target}, mixtures, learnt)
    assert rows.ravel().tolist() == [0, 1, 2, 10, 11]
    assert found["category"][3:].tolist() == [[1, 0, 1], [-1, 0, 1]]
    assert found["category"][:3].tolist() == target[:3].tolist()
    noises = np.array([50, 60], np.float32).reshape(2, 1, 1)
    rows, found = with_mixtures(vectors, {"category": target}, mixtures, learnt, noises)
    assert rows.ravel().tolist() == [0, 1, 2, 10, 11, 50, 60]
    assert found["category"][5:].tolist() == [[0, 0, 0]] * 2


def test_the_share_of_present_classes() -> None:
    target = np.array([[1, 0, -1], [1, 1, 0]])
    assert present_share({"category": target}) == 3 / 5
    nothing = np.zeros(0, dtype=np.intp)
    vectors = np.zeros((2, 1, 4), np.float32)
    rows, found = with_mixtures(
        vectors, {"category": target}, Mixtures(vectors[:0], nothing, nothing), np.arange(2)
    )
    assert rows.shape == (2, 1, 4)
    assert found["category"].tolist() == target.tolist()


def test_no_fold_learns_from_its_clips_or_their_mixtures() -> None:
    vectors, target = clips_of()
    folds = [range(30), range(30, CLIPS)]
    first = np.arange(CLIPS)
    second = np.concatenate([np.roll(first[:30], 1), np.roll(first[30:], 1)])
    mixtures = Mixtures((vectors[first] + vectors[second]) / 2, first, second)

    def fits(vectors: np.ndarray, mixtures: Mixtures) -> list[np.ndarray]:
        found = fit_folds(
            vectors, {"category": target}, (HEAD,), weights_of(FEATURES), folds, mixtures=mixtures
        )
        return [fit.linear.weights["category"] for fit in found]

    changed, mixed = vectors.copy(), mixtures.vectors.copy()
    changed[:30] *= -3
    mixed[:30] *= -3
    before = fits(vectors, mixtures)
    after = fits(changed, Mixtures(mixed, first, second))
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])
    plain = fit_folds(vectors, {"category": target}, (HEAD,), weights_of(FEATURES), folds)
    assert not np.array_equal(before[0], plain[0].linear.weights["category"])


def test_a_class_is_scored_where_another_fold_has_it() -> None:
    vectors, target = clips_of()
    target[30:, 1] = 0
    target[0, 0] = IGNORE_INDEX
    folds = [range(30), range(30, CLIPS)]
    fits = fit_folds(vectors, {"category": target}, (HEAD,), weights_of(FEATURES), folds)
    logits, scored = held_out_logits(fits, vectors, {"category": target}, (HEAD,))
    assert logits["category"].shape == (CLIPS, 1, 3)
    expected = np.ones((CLIPS, 3), bool)
    expected[:30, 1] = expected[0, 0] = False
    assert scored["category"].tolist() == expected.tolist()
