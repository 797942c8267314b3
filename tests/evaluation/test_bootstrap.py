from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from sonotype.evaluation.bootstrap import METRICS, draws, interval, resample


def slow_resample(
    true: np.ndarray, predicted: np.ndarray, groups: list[str], resamples: int, seed: int
) -> np.ndarray:
    """The obvious way: lay the clips of the drawn groups side by side and ask scikit-learn."""
    names = sorted(set(groups))
    scores = []
    for (counts,) in draws(len(names), resamples, seed, rows=1):
        clips = [
            clip
            for name, count in zip(names, counts, strict=True)
            for _ in range(count)
            for clip in range(len(groups))
            if groups[clip] == name
        ]
        present = sorted(set(true[clips]))
        macro = precision_recall_fscore_support(
            true[clips], predicted[clips], labels=present, average="macro", zero_division=0
        )
        scores.append([accuracy_score(true[clips], predicted[clips]), *macro[:3]])
    return np.array(scores)


def some_answers(
    seed: int, clips: int, classes: int, groups: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    generator = np.random.default_rng(seed)
    true = generator.integers(0, classes, clips)
    wrong = generator.random(clips) < 0.3
    predicted = np.where(wrong, generator.integers(0, classes, clips), true)
    return true, predicted, [f"g{group}" for group in generator.integers(0, groups, clips)]


@pytest.mark.parametrize(
    ("clips", "classes", "groups"), [(40, 5, 12), (30, 20, 9), (25, 2, 25), (12, 1, 4), (9, 7, 2)]
)
def test_weighted_counts_give_the_scores_of_the_resampled_clips(
    clips: int, classes: int, groups: int
) -> None:
    true, predicted, names = some_answers(clips, clips, classes, groups)
    fast = resample(true, predicted, names, resamples=30, seed=4)
    slow = slow_resample(true, predicted, names, 30, seed=4)
    assert fast.shape == (30, len(METRICS))
    np.testing.assert_allclose(fast, slow, rtol=0, atol=1e-12)


def test_a_class_predicted_but_never_true_counts_as_in_the_slow_way() -> None:
    true, predicted = np.array([0, 0, 2, 2]), np.array([3, 0, 2, 1])
    names = ["a", "b", "c", "d"]
    fast = resample(true, predicted, names, resamples=20, seed=0)
    np.testing.assert_allclose(fast, slow_resample(true, predicted, names, 20, 0), atol=1e-12)


@pytest.mark.parametrize("chunk", [1, 100, 1000, 10**6])
def test_memory_bound_does_not_change_the_draws(chunk: int) -> None:
    true, predicted, names = some_answers(0, 60, 6, 20)
    whole = resample(true, predicted, names, resamples=50, seed=1, chunk=10**9)
    part = resample(true, predicted, names, resamples=50, seed=1, chunk=chunk)
    np.testing.assert_array_equal(part, whole)


def test_each_draw_takes_as_many_groups_as_there_are() -> None:
    (counts,) = draws(7, 2000, seed=0)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.1)
    # A group is drawn with a binomial count: 7 trials at 1/7 have the variance 6/7.
    assert counts.var(axis=0) == pytest.approx(np.full(7, 6 / 7), abs=0.1)


def test_the_interval_cuts_two_and_a_half_percent_on_each_side() -> None:
    values = np.stack([np.arange(1001), 2 * np.arange(1001)], axis=1)
    np.testing.assert_allclose(interval(values), [[25, 50], [975, 1950]])


def test_intervals_by_group_cover_the_truth_and_intervals_by_clip_do_not() -> None:
    """Recordings differ: 30 of them, 6 clips each, each recording with a rate of its own."""
    generator = np.random.default_rng(7)
    worlds, held = 150, {"group": 0, "clip": 0}
    for world in range(worlds):
        rate = np.repeat(generator.beta(0.8, 0.2, size=30), 6)
        predicted = (generator.random(180) >= rate).astype(int)
        true = np.zeros(180, dtype=int)
        names = {
            "group": [str(clip // 6) for clip in range(180)],
            "clip": list(map(str, range(180))),
        }
        for unit, groups in names.items():
            low, high = interval(resample(true, predicted, groups, resamples=200, seed=world))[:, 0]
            held[unit] += low <= 0.8 <= high
    assert 0.89 <= held["group"] / worlds <= 0.99
    assert held["clip"] / worlds <= 0.85


def test_a_thousand_groups_and_fifty_classes_take_less_than_two_seconds() -> None:
    true, predicted, names = some_answers(0, 2000, 50, 1000)
    start = time.process_time()
    resample(true, predicted, names, resamples=1000, seed=0)
    assert time.process_time() - start < 2
