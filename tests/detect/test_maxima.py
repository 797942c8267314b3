from __future__ import annotations

import numpy as np
import pytest

from sonotype.core.detections import ScoreBlock
from sonotype.detect.maxima import Maxima


def add_all(maxima: Maxima, times: np.ndarray, scores: np.ndarray, cuts: list[int]) -> None:
    for first, last in zip([0, *cuts], [*cuts, len(scores)], strict=True):
        maxima.add(ScoreBlock(times[first : last + 1], scores[first:last]))


def test_every_frame_has_its_column_while_there_is_room() -> None:
    maxima = Maxima(classes=2, columns=4)
    maxima.add(ScoreBlock(np.array([0.0, 1.0, 2.5]), np.array([[0.1, 0.2], [0.3, 0.0]])))
    maxima.add(ScoreBlock(np.array([2.5, 3.0]), np.array([[0.5, 0.6]])))
    assert maxima.edges.tolist() == [0, 1, 2.5, 3]
    assert maxima.values.tolist() == np.float32([[0.1, 0.2], [0.3, 0.0], [0.5, 0.6]]).tolist()


def test_pairs_are_merged_when_all_columns_are_in_use() -> None:
    maxima = Maxima(classes=1, columns=4)
    scores = np.array([[0.1], [0.9], [0.2], [0.3], [0.8], [0.0], [0.7]])
    add_all(maxima, np.arange(8.0), scores, [3, 5, 6])
    assert maxima.size == 2
    assert maxima.edges.tolist() == [0, 2, 4, 6, 7]
    assert maxima.values[:, 0] == pytest.approx([0.9, 0.3, 0.8, 0.7])


def test_coarse_columns_keep_the_maxima() -> None:
    maxima = Maxima(classes=1, columns=8)
    scores = np.array([[0.1], [0.9], [0.2], [0.3], [0.8]])
    add_all(maxima, np.arange(6.0), scores, [])
    edges, values = maxima.coarse(2)
    assert edges.tolist() == [0, 3, 5]
    assert values[:, 0] == pytest.approx([0.9, 0.8])
    assert maxima.coarse(5)[0].tolist() == [0, 1, 2, 3, 4, 5]


def test_nothing_added() -> None:
    maxima = Maxima(classes=3, columns=8)
    maxima.add(ScoreBlock(np.zeros(1), np.zeros((0, 3))))
    edges, values = maxima.coarse(5)
    assert edges.tolist() == [0]
    assert values.shape == (0, 3)


@pytest.mark.parametrize("seed", range(20))
def test_columns_agree_with_a_loop_over_all_frames(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 200))
    times = np.concatenate([[0.0], rng.random(frames).cumsum()])
    scores = rng.random((frames, 3)).astype(np.float32)
    maxima = Maxima(classes=3, columns=int(rng.integers(2, 20)))
    cuts = sorted(rng.integers(0, frames, 4).tolist())
    add_all(maxima, times, scores, cuts)
    size = maxima.size
    assert len(maxima.values) == -(-frames // size)
    assert maxima.edges[-1] == times[-1]
    for column, row in enumerate(maxima.values):
        own = scores[column * size : (column + 1) * size]
        assert row.tolist() == [max(own[:, index]) for index in range(3)]
        assert maxima.edges[column] == times[column * size]
