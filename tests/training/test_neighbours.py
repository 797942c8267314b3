from __future__ import annotations

import numpy as np
import pytest

from sonotype.core.types import IGNORE_INDEX
from sonotype.training.neighbours import neighbour_agreement


def slow(x: np.ndarray, target: np.ndarray, groups: list[str], count: int) -> list[float]:
    """The definition, clip by clip."""
    found = []
    for i, clip in enumerate(x):
        others = [
            (float(clip @ x[j] / np.linalg.norm(clip) / np.linalg.norm(x[j])), target[j])
            for j in range(len(x))
            if groups[j] != groups[i] and target[j] != IGNORE_INDEX
        ]
        nearest = [(max(s, 0), label) for s, label in sorted(others, reverse=True)[:count]]
        total = sum(s for s, _ in nearest)
        right = sum(s for s, label in nearest if label == target[i])
        found.append(right / total if total and target[i] != IGNORE_INDEX else np.nan)
    return found


def test_the_same_as_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sonotype.training.neighbours.ROWS", 7)
    rng = np.random.default_rng(0)
    x, target = rng.standard_normal((40, 5)), rng.integers(-1, 3, 40)
    groups = [str(number) for number in rng.integers(0, 12, 40)]
    found = neighbour_agreement(x, target, groups, neighbours=6)
    np.testing.assert_allclose(found, slow(x, target, groups, 6))


def test_a_clip_without_other_recordings_has_no_agreement() -> None:
    found = neighbour_agreement(np.eye(2), np.array([0, 0]), ["a", "a"])
    assert np.isnan(found).all()
