"""Rows side by side, against scikit-learn and loops over resampled clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from heads import coarse, predicted, two_heads, with_true
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from sonotype.core.errors import OptionsError
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.bootstrap import METRICS, draws
from sonotype.evaluation.compare import Key, Metric, RunResults, TableRow, average, compare
from sonotype.evaluation.predictions import Predictions

HEADS = two_heads(("x", "y", "z"), ("a", "b", "c", "d", "e"), (0, 0, 1, 1, 2))
HOME = np.array(HEADS[1].parent_index)
DRAWS = 25
SEED = 3

Cells = dict[Key, Predictions]


def answers(name: str, seed: int, right: float, clips: int = 24) -> Predictions:
    """Random answers; the clips and their truth follow from the name, the answers from the seed."""
    world = np.random.default_rng(list(name.encode()))
    event = world.integers(0, 5, clips)
    groups = tuple(f"{name}_{group}" for group in world.integers(0, 7, clips))
    rng = np.random.default_rng([seed, *name.encode()])
    chosen = np.where(rng.random(clips) < right, event, rng.integers(0, 5, clips))
    probability = rng.dirichlet(np.full(5, 0.4), clips) + np.eye(5)[chosen]
    head = rng.dirichlet(np.ones(3), clips) + np.eye(3)[HOME[chosen]] * rng.random((clips, 1))
    return predicted(
        HEADS,
        [HOME[event], np.where(world.random(clips) < 0.15, IGNORE_INDEX, event)],
        [head / head.sum(axis=1, keepdims=True), probability / 2],
        [f"{name}/{number}.wav" for number in range(clips)],
        groups,
    )


def cells(right: float, seeds: tuple[int, ...] = (0, 1), name: str = "fold") -> Cells:
    """Two folds of each seed; the same clips whatever the share of right answers."""
    return {
        (fold, seed): answers(f"{name}{fold}", 100 * seed + round(50 * right), right)
        for seed in seeds
        for fold in (1, 2)
    }


def judged(one: Predictions, level: str, how: str) -> list[tuple[int, int, str]]:
    """Truth, prediction and recording of each clip that can be scored."""
    rows = []
    for clip in range(len(one)):
        events = one.proba["event"][clip]
        summed = [sum(events[category == HOME]) for category in range(3)]
        head = one.proba["category"][clip]
        category = {"head": head, "events": summed, "both": head + np.array(summed)}[how]
        true, found = one.true[level][clip], events if level == "event" else category
        if true != IGNORE_INDEX:
            rows.append((int(true), int(np.argmax(found)), one.groups[clip]))
    return rows


def library(rows: list[tuple[int, int, str]]) -> list[float]:
    true, predicted = [row[0] for row in rows], [row[1] for row in rows]
    macro = precision_recall_fscore_support(
        true, predicted, labels=sorted({*true}), average="macro", zero_division=0
    )
    return [accuracy_score(true, predicted), *macro[:3]]


def pooled(
    row: Mapping[Key, Predictions], level: str, how: str
) -> dict[int, list[tuple[int, int, str]]]:
    """For each seed the clips of all folds."""
    found: dict[int, list[tuple[int, int, str]]] = {}
    for (_, seed), one in row.items():
        found.setdefault(seed, []).extend(judged(one, level, how))
    return found


def slow_value(row: Mapping[Key, Predictions], level: str, how: str = "head") -> np.ndarray:
    return np.mean([library(rows) for rows in pooled(row, level, how).values()], axis=0)


def slow_draws(
    row: Mapping[Key, Predictions], level: str, seed: int, how: str = "head"
) -> np.ndarray:
    """Lay the clips of the drawn recordings side by side and ask scikit-learn."""
    of_seeds = []
    for rows in pooled(row, level, how).values():
        names = sorted({group for _, _, group in rows})
        scores = []
        for (counts,) in draws(len(names), DRAWS, seed, rows=1):
            drawn = [
                clip
                for name, count in zip(names, counts, strict=True)
                for _ in range(count)
                for clip in rows
                if clip[2] == name
            ]
            scores.append(library(drawn))
        of_seeds.append(scores)
    return np.mean(of_seeds, axis=0)


def run(entries: list[RunResults], baseline: str = "base") -> dict[str, TableRow]:
    return {one.name: one for one in compare(entries, baseline, resamples=DRAWS, seed=SEED)}


def three(figure: Metric, of: str) -> list[float]:
    one = getattr(figure, of)
    return [one.value, one.low, one.high]


def same(line: TableRow, level: str, of: str, value: np.ndarray, drawn: np.ndarray) -> None:
    """Compare value and interval of every metric."""
    ends = np.percentile(drawn, [2.5, 97.5], axis=0)
    for index, metric in enumerate(METRICS):
        wanted = [value[index], *ends[:, index]]
        found = three(line.metrics[level, metric], of)
        assert found == pytest.approx(wanted, abs=1e-12), metric


@pytest.mark.parametrize("level", ["category", "event"])
def test_values_and_differences_are_those_of_the_slow_way(level: str) -> None:
    base, other = cells(0.5), cells(0.7)
    mixed = {key: one.take(np.arange(len(one))[::-1]) for key, one in other.items()}
    lines = run([RunResults("other", mixed), RunResults("base", base)])
    assert list(lines) == ["other", "base"]
    ours, theirs = (slow_draws(row, level, SEED) for row in (other, base))
    value, before = slow_value(other, level), slow_value(base, level)
    same(lines["base"], level, "value", before, theirs)
    same(lines["other"], level, "value", value, ours)
    same(lines["other"], level, "difference", value - before, ours - theirs)
    assert lines["base"].metrics[level, "f1"].difference is None
    assert all(figure.paired for line in lines.values() for figure in line.metrics.values())
    assert {line.clips for line in lines.values()} == {4 * 24}


@pytest.mark.parametrize("how", ["events", "both"])
def test_the_category_is_read_as_the_row_says(how: str) -> None:
    row = cells(0.6)
    lines = run([RunResults("base", row), RunResults("read", row, how)])  # type: ignore[arg-type]
    value, before = (slow_value(row, "category", one) for one in (how, "head"))
    gaps = slow_draws(row, "category", SEED, how) - slow_draws(row, "category", SEED)
    same(lines["read"], "category", "difference", value - before, gaps)
    assert value[0] != before[0], "the two readings have to differ for this to say anything"
    assert three(lines["read"].metrics["event", "f1"], "difference") == [0, 0, 0]


def test_rows_on_other_clips_are_drawn_apart() -> None:
    base, other = cells(0.5), cells(0.7, name="part")
    line = run([RunResults("base", base), RunResults("other", other)])["other"]
    value = slow_value(other, "category") - slow_value(base, "category")
    gaps = slow_draws(other, "category", SEED) - slow_draws(base, "category", SEED + 1)
    same(line, "category", "difference", value, gaps)
    assert not any(figure.paired for figure in line.metrics.values())


def test_one_source_named_in_two_ways_is_compared_clip_by_clip() -> None:
    base, other = cells(0.5), cells(0.7)
    moved = {
        key: replace(one, paths=tuple(f"/elsewhere/{path}" for path in one.paths))
        for key, one in other.items()
    }
    here, there = (
        run([RunResults("base", base), RunResults("other", one)])["other"] for one in (other, moved)
    )
    assert here == there
    assert all(figure.paired for figure in there.metrics.values())
    mean = average([base[1, 0], moved[1, 0]])
    ours, theirs = (row[1, 0].proba["category"] for row in (base, other))
    np.testing.assert_array_equal(mean.proba["category"], (ours + theirs) / 2)


def test_spreads_over_folds_and_over_seeds() -> None:
    row = cells(0.6, seeds=(0, 1, 2))
    figures = run([RunResults("base", row)])["base"].metrics
    for index, metric in enumerate(METRICS):
        folds = [
            np.mean([library(judged(row[fold, seed], "event", "head"))[index] for seed in range(3)])
            for fold in (1, 2)
        ]
        seeds = [library(rows)[index] for rows in pooled(row, "event", "head").values()]
        one = figures["event", metric]
        assert one.folds.values == pytest.approx(folds)
        assert one.seeds.values == pytest.approx(seeds)
        assert one.seeds.mean == pytest.approx(one.value.value)
        assert one.seeds.deviation == pytest.approx(np.std(seeds, ddof=1))
        assert one.folds.deviation == pytest.approx(np.std(folds, ddof=1))


def test_a_split_of_its_own_has_no_spread_over_folds() -> None:
    row: Cells = {(None, 0): answers("split", 0, 0.6)}
    one = run([RunResults("base", row)])["base"].metrics["category", "f1"]
    assert (one.folds.deviation, one.seeds.deviation) == (None, None)
    assert one.value.value == pytest.approx(slow_value(row, "category")[3])


def test_a_row_against_itself() -> None:
    row = cells(0.6)
    line = run([RunResults("base", row), RunResults("copy", dict(row))])["copy"]
    assert len(line.metrics) == 8
    for figure in line.metrics.values():
        assert three(figure, "difference") == [0, 0, 0]
        assert not figure.beyond


def test_a_difference_that_leaves_out_zero() -> None:
    wrong, right = cells(0.0), cells(1.0)
    for one in wrong.values():
        one.proba["category"][:] = np.eye(3)[(one.true["category"] + 1) % 3]
    for one in right.values():
        one.proba["category"][:] = np.eye(3)[one.true["category"]]
    entries = [RunResults("wrong", wrong), RunResults("right", right)]
    better = run(entries, "wrong")["right"].metrics["category", "accuracy"]
    worse = run(entries, "right")["wrong"].metrics["category", "accuracy"]
    assert (three(better, "difference"), better.beyond) == ([1, 1, 1], True)
    assert (three(worse, "difference"), worse.beyond) == ([-1, -1, -1], True)


def test_differences_are_taken_on_the_cells_that_both_have() -> None:
    base, other = cells(0.5, seeds=(0,)), cells(0.7)
    lines = run(
        [RunResults("base", base), RunResults("more", other), RunResults("far", cells(0.7, (5,)))]
    )
    shared = {key: other[key] for key in base}
    value = slow_value(shared, "event") - slow_value(base, "event")
    gaps = slow_draws(shared, "event", SEED) - slow_draws(base, "event", SEED)
    same(lines["more"], "event", "difference", value, gaps)
    same(
        lines["more"],
        "event",
        "value",
        slow_value(other, "event"),
        slow_draws(other, "event", SEED),
    )
    assert {figure.difference for figure in lines["far"].metrics.values()} == {None}


def test_a_row_without_events_has_no_figures_of_events() -> None:
    row = cells(0.6)
    headless = {key: coarse(one) for key, one in row.items()}
    unknown = {
        key: with_true(one, event=np.full(len(one), IGNORE_INDEX)) for key, one in row.items()
    }
    levels = {("category", metric) for metric in METRICS}
    for bare in (headless, unknown):
        entries = [RunResults("bare", bare), RunResults("whole", row)]
        lines = run(entries, "whole")
        assert lines["bare"].metrics.keys() == levels
        whole = run(entries, "bare")["whole"].metrics
        assert {whole["event", metric].difference for metric in METRICS} == {None}
        assert three(whole["category", "f1"], "difference") == [0, 0, 0]


def test_the_mean_of_answers() -> None:
    members = [answers("fold1", seed, 0.5) for seed in range(3)]
    found = average(members)
    for clip in range(len(found)):
        for name in ("category", "event"):
            wanted = sum(one.proba[name][clip] for one in members) / 3
            np.testing.assert_allclose(found.proba[name][clip], wanted, atol=1e-15)
    assert (found.paths, found.groups) == (members[0].paths, members[0].groups)
    np.testing.assert_array_equal(found.true["event"], members[0].true["event"])


def test_errors() -> None:
    one = answers("fold1", 0, 0.5)
    with pytest.raises(OptionsError) as caught:
        compare([RunResults("a", {(1, 0): one})], "b")
    assert str(caught.value) == "there is no row 'b' to compare with"
    renamed = two_heads(HEADS[0].classes, ("a", "b", "c", "d", "f"), HEADS[1].parent_index)
    for other in (answers("fold2", 0, 0.5), replace(one, heads=renamed), coarse(one)):
        with pytest.raises(OptionsError) as caught:
            average([one, other])
        assert str(caught.value) == (
            "predictions can be averaged only on the same clips with the same labels"
        )


def several(values: list[list[float]], thresholds: tuple[float, ...]) -> Predictions:
    head = Head("category", ("a", "b"), "multi", thresholds=thresholds)
    found = predicted((head,), [[[1, 0], [0, 1]]], [values])
    return replace(found, present={"category": found.decided(head)})


def test_the_mean_of_models_decides_by_its_own_probabilities() -> None:
    first = several([[0.9, 0.1], [0.1, 0.9]], (0.4, 0.4))
    second = several([[0.1, 0.1], [0.3, 0.9]], (0.6, 0.4))
    mean = average([first, second])
    assert mean.heads[0].thresholds == pytest.approx((0.5, 0.4))
    assert mean.decided(mean.heads[0]).tolist() == [[True, False], [False, True]]
    assert average([first]).present == first.present


def test_rows_of_several_labels_are_refused() -> None:
    row = RunResults("plain", {(None, 0): several([[0.9, 0.1], [0.1, 0.9]], ())})
    with pytest.raises(OptionsError, match=r"plain.*category"):
        compare([row], "plain")
