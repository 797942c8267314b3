"""Several systems in one table: metrics with confidence intervals, and differences to a baseline.

Two systems that predicted the same clips are compared clip by clip: both are scored on the same
draws of the recordings (see :mod:`sonotype.evaluation.bootstrap`), and the interval is that of the
difference, so recordings that are hard for both cancel out. Systems with different clips, as of two
ways to split, are drawn independently, and the interval is wider.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import NamedTuple

import numpy as np

from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.types import merged_heads
from sonotype.evaluation.bootstrap import METRICS, FloatArray, compute_metrics, resample
from sonotype.evaluation.folds import Spread, spread
from sonotype.evaluation.metrics import Interval, intervals
from sonotype.evaluation.predictions import IntArray, Predictions, combined_unknown
from sonotype.inference.postprocess import mean_proba

RESAMPLES = 2000

Key = tuple[int | None, int]
"""Fold (``None`` for a single split) and seed of a run."""


@dataclass(frozen=True)
class Metric:
    """One metric of one row.

    Attributes:
        value: folds pooled, the mean over seeds, with its 95 % interval by recording.
        folds: over the folds, each the mean over seeds; a single fold has no deviation.
        seeds: over the seeds, each with its folds pooled.
        difference: to the baseline, on the runs that both have; ``None`` for the baseline itself.
        paired: whether both predicted the same clips.
    """

    value: Interval
    folds: Spread
    seeds: Spread
    difference: Interval | None = None
    paired: bool = True

    @property
    def beyond(self) -> bool:
        """Whether the interval of the difference excludes zero."""
        gap = self.difference
        return gap is not None and gap.low is not None and (gap.low > 0 or (gap.high or 0) < 0)


@dataclass(frozen=True)
class TableRow:
    """A row of a comparison: its metrics by head and name, such as ``("event", "f1")``."""

    name: str
    clips: int
    metrics: Mapping[tuple[str, str], Metric]


@dataclass(frozen=True)
class RunResults:
    """Predictions of the runs of one row, and how to read its category."""

    name: str
    predictions: Mapping[Key, Predictions]
    category_source: CategorySource = "head"


def compare(
    results: Sequence[RunResults], baseline: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[TableRow]:
    """Metrics of every row, and differences to the baseline.

    Args:
        results: the rows.
        baseline: name of the row that the others are compared with.
        resamples: draws of the bootstrap.
        seed: the same seed gives the same intervals.

    Raises:
        OptionsError: no row has the baseline's name, or clips have any number of labels.
    """
    for row in results:
        for predictions in row.predictions.values():
            if several := [head.name for head in predictions.heads if head.problem == "multi"]:
                raise OptionsError(
                    f"the clips of {row.name} can have any number of labels "
                    f"({', '.join(several)}); only clips with one label can be compared"
                )
    base = next((row for row in results if row.name == baseline), None)
    if base is None:
        raise OptionsError(f"there is no row {baseline!r} to compare with")
    return [_table_row(row, base, resamples, seed) for row in results]


def average(members: Sequence[Predictions]) -> Predictions:
    """The mean of several models' probabilities on the same clips.

    Raises:
        OptionsError: the models predicted different clips, or have different labels.
    """
    first = members[0]
    for other in members[1:]:
        if clip_names(other) != clip_names(first) or other.heads != first.heads:
            raise OptionsError(
                "predictions can be averaged only on the same clips with the same labels"
            )
    unknown, threshold = combined_unknown(members, lambda scores: np.mean(scores, axis=0))
    return replace(
        first,
        heads=merged_heads([member.heads for member in members]),
        proba=mean_proba([member.proba for member in members]),
        unknown=unknown,
        unknown_threshold=threshold,
        # The decisions of one model are not those of the mean.
        present=first.present if len(members) == 1 else {},
    )


def clip_names(predictions: Predictions) -> list[tuple[str, str]]:
    """Identity of each clip: its path below the common folder of all clips, and its recording.

    A source can be given as different paths, and two sources can have the same file names.
    """
    paths = list(predictions.paths)
    folders = [PurePath(path).parent for path in paths]
    if len({folder.is_absolute() for folder in folders}) == 1:
        root = os.path.commonpath(folders) or "."
        paths = [os.path.relpath(path, root) for path in paths]
    return list(zip(paths, predictions.groups, strict=True))


class _Pooled(NamedTuple):
    """Decisions of several runs."""

    true: IntArray
    predicted: IntArray
    groups: list[str]


def _table_row(row: RunResults, base: RunResults, resamples: int, seed: int) -> TableRow:
    runs = list(row.predictions)
    shared = sorted(row.predictions.keys() & base.predictions.keys(), key=str)
    paired = all(
        sorted(clip_names(row.predictions[key])) == sorted(clip_names(base.predictions[key]))
        for key in shared
    )
    metrics: dict[tuple[str, str], Metric] = {}
    for level in (head.name for head in row.predictions[runs[0]].heads):
        if not _scorable(row, runs, level):
            continue
        seeds = _by_seed(row, runs, level)
        value = _intervals(_mean(seeds), _draws(seeds, resamples, seed), seeds)
        difference: list[Interval] | list[None] = [None] * len(METRICS)
        if row is not base and shared and _scorable(base, shared, level):
            ours, theirs = (_by_seed(one, shared, level) for one in (row, base))
            base_seed = seed if paired else seed + 1
            gaps = _draws(ours, resamples, seed) - _draws(theirs, resamples, base_seed)
            difference = _intervals(_mean(ours) - _mean(theirs), gaps, [*ours, *theirs])
        by_fold = [
            _mean([_pool(row, [key], level) for key in runs if key[0] == fold])
            for fold in sorted({fold for fold, _ in runs}, key=str)
        ]
        by_seed = [compute_metrics(one.true, one.predicted) for one in seeds]
        for index, name in enumerate(METRICS):
            metrics[level, name] = Metric(
                value[index],
                folds=spread([float(one[index]) for one in by_fold]),
                seeds=spread([float(one[index]) for one in by_seed]),
                difference=difference[index],
                paired=paired,
            )
    return TableRow(row.name, sum(map(len, row.predictions.values())), metrics)


def _scorable(row: RunResults, keys: Collection[Key], level: str) -> bool:
    """Whether each of the runs has a clip that can be scored."""
    runs = [row.predictions[key] for key in keys]
    return all(level in run.true and len(run.decisions(level).indices) for run in runs)


def _pool(row: RunResults, keys: Sequence[Key], level: str) -> _Pooled:
    """Decisions of some runs, sorted by clip: the same order for all rows."""
    clips: list[tuple[str, str, int, int]] = []
    for key in keys:
        predictions = row.predictions[key]
        names = clip_names(predictions)
        found = predictions.decisions(level, row.category_source)
        clips += [
            (*names[index], int(true), int(predicted))
            for index, true, predicted in zip(
                found.indices, found.true, found.predicted, strict=True
            )
        ]
    clips.sort()
    _, groups, true, predicted = zip(*clips, strict=True)
    return _Pooled(np.array(true), np.array(predicted), list(groups))


def _by_seed(row: RunResults, keys: Sequence[Key], level: str) -> list[_Pooled]:
    """For each seed the decisions of all its folds."""
    seeds = sorted({seed for _, seed in keys})
    return [_pool(row, [key for key in keys if key[1] == seed], level) for seed in seeds]


def _mean(pools: Sequence[_Pooled]) -> FloatArray:
    """``[metrics]``, the mean over some pools."""
    metrics = [compute_metrics(pool.true, pool.predicted) for pool in pools]
    return np.asarray(np.mean(metrics, axis=0))


def _intervals(values: FloatArray, draws: FloatArray, pools: Sequence[_Pooled]) -> list[Interval]:
    """Metrics with their intervals; without, if the clips of a pool are of one recording."""
    if any(len(set(pool.groups)) < 2 for pool in pools):
        return [Interval(float(value)) for value in values]
    return intervals(values, draws)


def _draws(pools: Sequence[_Pooled], resamples: int, seed: int) -> FloatArray:
    """``[resamples, metrics]``, the mean over some pools, all on the same draws."""
    draws = [resample(*pool, resamples=resamples, seed=seed) for pool in pools]
    return np.asarray(np.mean(draws, axis=0))
