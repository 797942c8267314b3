"""Metrics of several labels of a clip against scikit-learn and against loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    label_ranking_average_precision_score,
    precision_recall_fscore_support,
)

from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.bootstrap import draws
from sonotype.evaluation.metrics import Scores, score, scores_from_json, scores_to_json
from sonotype.evaluation.multilabel import (
    MULTI_METRICS,
    average_precision,
    label_ranking,
    multi_metrics,
    resample_multi,
)
from sonotype.evaluation.predictions import Predictions

CLASSES = ("a", "b", "c", "d")
HEAD = Head("category", CLASSES, "multi", thresholds=(0.3, 0.5, 0.7, 0.5))


def some(seed: int, clips: int = 40, *, unknown: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities with ties, unknown entries, and a last class without a true clip."""
    rng = np.random.default_rng(seed)
    true = (rng.random((clips, 4)) < 0.3).astype(int)
    true[:, 3] = 0
    proba = (rng.random((clips, 4)) + 0.4 * true).clip(0, 1.4).round(1) / 1.4
    if unknown:
        true[rng.random(true.shape) < 0.2] = IGNORE_INDEX
        true[0] = IGNORE_INDEX
    return true, proba


def slow(true: np.ndarray, proba: np.ndarray, decided: np.ndarray) -> dict[str, float]:
    """All metrics of the known entries, class by class and clip by clip."""
    rows: dict[str, list[float]] = {
        name: [] for name in ("precision", "recall", "f1", "average_precision")
    }
    for index in range(true.shape[1]):
        known = true[:, index] >= 0
        present, found = true[known, index], decided[known, index]
        if not present.any():
            continue
        p, r, f, _ = precision_recall_fscore_support(
            present, found, average="binary", zero_division=0
        )
        ap = average_precision_score(present, proba[known, index])
        for name, value in zip(rows, (p, r, f, ap), strict=True):
            rows[name].append(value)
    right, counted, ranked = 0, 0, []
    for clip in range(len(true)):
        known = np.flatnonzero(true[clip] >= 0)
        if not len(known):
            continue
        counted += 1
        right += all((true[clip, c] == 1) == decided[clip, c] for c in known)
        for label in known:
            if true[clip, label] == 1:
                above = [c for c in known if proba[clip, c] >= proba[clip, label]]
                ranked.append(sum(true[clip, c] == 1 for c in above) / len(above))
    everything = true >= 0
    return {name: float(np.mean(values)) if values else 0.0 for name, values in rows.items()} | {
        "accuracy": right / counted if counted else 0.0,
        "micro_average_precision": average_precision_score(true[everything], proba[everything])
        if (true == 1).any()
        else 0.0,
        "lwlrap": float(np.mean(ranked)) if ranked else 0.0,
    }


def by_name(values: np.ndarray) -> dict[str, float]:
    return dict(zip(MULTI_METRICS, values.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unknown", [True, False])
def test_all_metrics_equal_slow_ones(seed: int, unknown: bool) -> None:
    true, proba = some(seed, unknown=unknown)
    decided = proba >= np.array(HEAD.limits)
    found = by_name(multi_metrics(true, proba, decided, np.ones((1, len(true))))[0])
    assert found == pytest.approx(slow(true, proba, decided))


def test_weights_are_repeated_clips() -> None:
    """Also where a class, or every class, is not in the resample."""
    true, proba = some(1, 12)
    decided = proba >= 0.5
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 3, (30, len(true)))
    weights[0] = (true == 1).sum(axis=1) == 0
    weights[1] = true[:, 0] != 1
    found = multi_metrics(true, proba, decided, weights)
    for row, times in zip(found, weights, strict=True):
        rows = np.repeat(np.arange(len(true)), times)
        assert by_name(row) == pytest.approx(slow(true[rows], proba[rows], decided[rows]))


def test_resamples_are_drawn_by_group() -> None:
    true, proba = some(2, 15)
    decided, groups = proba >= 0.5, [f"group {number % 6}" for number in range(15)]
    found = resample_multi(true, proba, decided, groups, resamples=20, seed=3)
    [counts] = draws(6, 20, 3)
    for row, times in zip(found, counts, strict=True):
        rows = np.repeat(np.arange(15), [times[number % 6] for number in range(15)])
        assert by_name(row) == pytest.approx(slow(true[rows], proba[rows], decided[rows]))


@pytest.mark.parametrize("seed", range(4))
def test_average_precision_with_weights_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    present, proba = rng.random(30) < 0.4, rng.random(30).round(1)
    weights = rng.integers(0, 4, (5, 30)).astype(float)
    wanted = [average_precision_score(present, proba, sample_weight=row) for row in weights]
    assert average_precision(present, proba, weights) == pytest.approx(wanted)


def test_average_precision_by_hand() -> None:
    """Two clips of one probability are one step: at it 2 of 3 are right."""
    present, proba = np.array([True, False, True, False]), np.array([0.5, 0.5, 0.9, 0.1])
    assert average_precision(present, proba, np.ones((1, 4))) == pytest.approx((1 + 2 / 3) / 2)
    nothing = average_precision(np.zeros(4, dtype=bool), proba, np.ones((2, 4)))
    assert nothing.tolist() == [0, 0]
    unweighted = average_precision(present, proba, np.array([[0.0, 1.0, 0.0, 1.0]]))
    assert unweighted.tolist() == [0]


def test_lwlrap_of_clips_with_as_many_labels_is_lrap() -> None:
    """scikit-learn averages over clips, lwlrap over labels."""
    rng = np.random.default_rng(0)
    true = np.zeros((20, 5), dtype=int)
    for row in true:
        row[rng.permutation(5)[:2]] = 1
    proba = rng.random((20, 5)).round(1)
    precision, labels = label_ranking(true, proba)
    wanted = label_ranking_average_precision_score(true, proba)
    assert precision.sum() / labels.sum() == pytest.approx(wanted)


def predictions(seed: int = 0, clips: int = 40) -> Predictions:
    true, proba = some(seed, clips)
    names = tuple(f"{number}.wav" for number in range(clips))
    groups = tuple(f"group {number % 10}" for number in range(clips))
    return Predictions(names, groups, {"category": true}, {"category": proba}, (HEAD,))


def test_scores_of_a_head() -> None:
    found = predictions()
    true, proba = found.true["category"], found.proba["category"]
    head = score(found, resamples=200).heads["category"]
    wanted = slow(true, proba, proba >= np.array(HEAD.limits))
    for name in ("accuracy", "precision", "recall", "f1"):
        assert getattr(head, name).value == pytest.approx(wanted[name])
    assert head.ranking is not None
    for name in ("average_precision", "micro_average_precision", "lwlrap"):
        metric = getattr(head.ranking, name)
        assert metric.value == pytest.approx(wanted[name])
        assert metric.low < metric.value < metric.high
    # The first clip has no known class.
    assert (head.n, head.groups, head.confusion) == (len(found) - 1, 10, ())
    assert [entry.support for entry in head.per_class] == (true == 1).sum(axis=0).tolist()
    last = head.per_class[3]
    assert (last.average_precision, last.precision, last.recall, last.f1) == (0, 0, 0, 0)
    known = true >= 0
    assert head.calibration is not None
    assert head.calibration.brier == pytest.approx(((proba - (true == 1)) ** 2)[known].mean())
    right = np.where(true == 1, proba, 1 - proba)[known]
    assert head.calibration.log_loss == pytest.approx(-np.log(right.clip(1e-30)).mean())


def test_decisions_of_other_thresholds_count() -> None:
    found = predictions()
    everything = replace(found, present={"category": np.ones((len(found), 4), dtype=bool)})
    head = score(everything, resamples=0).heads["category"]
    assert [entry.recall for entry in head.per_class] == [1, 1, 1, 0]
    assert head.recall.value == 1


def test_json_and_back() -> None:
    scores = score(predictions(), resamples=20)
    again = scores_from_json(scores_to_json(scores))
    assert again == scores
    assert isinstance(again, Scores)


def test_a_head_without_a_true_class_is_not_scored() -> None:
    found = predictions()
    none = replace(found, true={"category": np.zeros_like(found.true["category"])})
    scores = score(none)
    assert scores.heads == {}
    assert "category" in scores.notes[0]


def test_one_group_has_no_interval() -> None:
    found = predictions()
    head = score(replace(found, groups=("one",) * len(found))).heads["category"]
    assert head.ranking is not None
    assert head.ranking.lwlrap.low is None
    assert head.f1.low is None


def test_draws_without_a_true_class_do_not_count() -> None:
    true, proba = np.zeros((6, 2), dtype=np.int64), np.full((6, 2), 0.1)
    true[:2, 0], proba[:2, 0] = 1, 0.9
    groups = ["events", "events", "quiet", "quiet", "quiet", "quiet"]
    drawn = resample_multi(true, proba, proba >= 0.5, groups, resamples=50, seed=0)
    none = np.isnan(drawn[:, 1])
    assert 0 < none.sum() < 50
    assert np.isfinite(drawn[:, 0]).all() and np.isnan(drawn[none, 1:]).all()
    heads = (Head("category", ("a", "b"), "multi"),)
    names = tuple(map(str, range(6)))
    found = Predictions(names, tuple(groups), {"category": true}, {"category": proba}, heads)
    head = score(found, resamples=50).heads["category"]
    assert head.ranking is not None
    assert (head.ranking.average_precision.low, head.ranking.average_precision.high) == (1, 1)
