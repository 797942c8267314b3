"""Which sounds are chosen."""

from __future__ import annotations

import numpy as np
import pytest

from sonotype.core.types import Head
from sonotype.suggest.choice import choose, uncertainty

SINGLE = Head("event", ("a", "b", "c"))


def test_uncertainty_of_one_label_is_one_minus_the_margin() -> None:
    proba = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.5, 0.3]])
    np.testing.assert_allclose(uncertainty(proba, SINGLE), [0.0, 1.0, 0.8])
    assert uncertainty(np.array([[0.7]]), Head("event", ("a",)))[0] == pytest.approx(0.3)


def test_uncertainty_of_several_labels_is_nearness_to_a_threshold() -> None:
    head = Head("event", ("a", "b"), "multi", thresholds=(0.2, 0.5))
    proba = np.array([[0.2, 0.0], [0.0, 1.0], [0.1, 0.0], [0.6, 0.1], [0.0, 0.75]])
    np.testing.assert_allclose(uncertainty(proba, head), [1.0, 0.0, 0.5, 0.5, 0.5])


def blobs(*sizes: int) -> np.ndarray:
    """Rows near the axes, so many of each; the first of each lies exactly on the axis."""
    rng = np.random.default_rng(0)
    rows = []
    for axis, size in enumerate(sizes):
        part = np.eye(len(sizes))[axis] + rng.normal(0, 0.01, (size, len(sizes)))
        rows.append(part * rng.uniform(1, 5, (size, 1)))
    return np.concatenate(rows)


def test_one_sound_of_each_cluster_the_heaviest_first() -> None:
    sizes = (5, 20, 10)
    cluster = np.repeat(np.arange(3), sizes)
    choices = choose(blobs(*sizes), np.ones(35), 3)
    assert [cluster[one.sound] for one in choices] == [1, 2, 0]
    assert [one.similar for one in choices] == [20, 10, 5]
    weights = np.where(cluster == 0, 1.0, 0.1)
    assert cluster[choose(blobs(*sizes), weights, 3)[0].sound] == 0


def test_the_most_uncertain_sounds_attract_the_centres() -> None:
    embeddings = blobs(30, 30)
    weights = np.repeat([1.0, 1e-9], 30)
    assert sum(one.sound < 30 for one in choose(embeddings, weights, 4)) >= 3


def test_blocked_and_equal_sounds() -> None:
    embeddings = blobs(10, 10)

    def neighbours(index: int) -> np.ndarray:
        return np.abs(np.arange(20) - index) < 4

    sounds = sorted(one.sound for one in choose(embeddings, np.ones(20), 8, blocked=neighbours))
    assert 3 <= len(sounds) <= 5
    assert all(np.diff(sounds) >= 4)
    same = choose(np.ones((6, 3)), np.zeros(6), 4)
    assert [one.similar for one in same] == [6]  # equal sounds need one label
    assert len(choose(embeddings, np.ones(20), 50)) == 20


def test_the_same_call_gives_the_same_choice() -> None:
    embeddings = np.random.default_rng(1).normal(size=(200, 8))
    weights = np.random.default_rng(2).random(200)
    assert choose(embeddings, weights, 10) == choose(embeddings, weights, 10)
