"""Rows of answers side by side: each with its interval, and its difference to one of them.

Two systems that answered the same clips are compared clip by clip: both are scored on the same
draws of the recordings (see :mod:`sonotype.evaluation.bootstrap`), and the interval is that of the
difference. What makes a recording hard for both then cancels out. Systems that answered different
clips, as under two ways to split, are drawn apart from each other, and the interval is wider.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.types import IGNORE_INDEX, labels_of_all
from sonotype.evaluation.bootstrap import METRICS, FloatArray, figures, interval, resample
from sonotype.evaluation.folds import Spread, spread
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.predictions import IntArray, Predictions

LEVELS = ("category", "event")
RESAMPLES = 2000

Key = tuple[int | None, int]
"""Fold (``None`` for a split of its own) and seed."""


@dataclass(frozen=True)
class Figure:
    """One figure of one row.

    Attributes:
        value: folds pooled, the mean over seeds, with its 95 % interval by recording.
        folds: over the folds, each the mean over seeds; the spread of a single fold is not known.
        seeds: over the seeds, each with its folds pooled.
        difference: to the baseline, on the cells that both have; ``None`` for the baseline itself.
        paired: whether both answered the same clips.
    """

    value: Interval
    folds: Spread
    seeds: Spread
    difference: Interval | None = None
    paired: bool = True

    @property
    def beyond(self) -> bool:
        """Whether the interval of the difference leaves out zero."""
        one = self.difference
        return one is not None and one.low is not None and (one.low > 0 or (one.high or 0) < 0)


@dataclass(frozen=True)
class Line:
    """One row of a comparison: its figures by level and metric, such as ``("event", "f1")``."""

    name: str
    clips: int
    figures: Mapping[tuple[str, str], Figure]


@dataclass(frozen=True)
class Entry:
    """What a row answered, cell by cell, and how its category is to be read."""

    name: str
    answers: Mapping[Key, Predictions]
    category_source: CategorySource = "head"


def compare(
    entries: Sequence[Entry], baseline: str, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Line]:
    """Figures of every row, and differences to the baseline.

    Args:
        entries: the rows.
        baseline: name of the row that the others are compared with.
        resamples: draws of the bootstrap.
        seed: the same seed gives the same intervals.

    Raises:
        OptionsError: no row has the baseline's name.
    """
    base = next((entry for entry in entries if entry.name == baseline), None)
    if base is None:
        raise OptionsError(f"there is no row {baseline!r} to compare with")
    return [_line(entry, base, resamples, seed) for entry in entries]


def average(members: Sequence[Predictions]) -> Predictions:
    """The mean of several models' probabilities on the same clips.

    Raises:
        OptionsError: the models answered different clips, or have different heads.
    """
    first = members[0]
    for other in members[1:]:
        if _names(other) != _names(first) or other.labels != first.labels:
            raise OptionsError("only answers to the same clips, with the same labels, have a mean")
    events = [one.event_probability for one in members if one.event_probability is not None]
    return replace(
        first,
        labels=labels_of_all([one.labels for one in members]),
        category_probability=np.mean([one.category_probability for one in members], axis=0),
        event_probability=np.mean(events, axis=0) if len(events) == len(members) else None,
    )


class _Judged(NamedTuple):
    """Truth, answer and recording of some clips."""

    true: IntArray
    predicted: IntArray
    groups: list[str]


def _line(entry: Entry, base: Entry, resamples: int, seed: int) -> Line:
    shown: dict[tuple[str, str], Figure] = {}
    shared = sorted(entry.answers.keys() & base.answers.keys(), key=str)
    paired = all(
        sorted(_names(entry.answers[key])) == sorted(_names(base.answers[key])) for key in shared
    )
    for level in LEVELS:
        if not _has(entry, entry.answers, level):
            continue
        seeds = _by_seed(entry, list(entry.answers), level)
        value = _intervals(_mean(seeds), _draws(seeds, resamples, seed))
        difference: list[Interval | None] = [None] * len(METRICS)
        if entry is not base and shared and _has(base, shared, level):
            ours, theirs = (_by_seed(one, shared, level) for one in (entry, base))
            gaps = _draws(ours, resamples, seed) - _draws(
                theirs, resamples, seed if paired else seed + 1
            )
            difference = list(_intervals(_mean(ours) - _mean(theirs), gaps))
        folds = sorted({fold for fold, _ in entry.answers}, key=str)
        by_fold = [
            _mean([_judged(entry, [key], level) for key in entry.answers if key[0] == fold])
            for fold in folds
        ]
        by_seed = [figures(one.true, one.predicted) for one in seeds]
        for index, metric in enumerate(METRICS):
            shown[level, metric] = Figure(
                value[index],
                folds=spread([float(one[index]) for one in by_fold]),
                seeds=spread([float(one[index]) for one in by_seed]),
                difference=difference[index],
                paired=paired,
            )
    return Line(entry.name, sum(len(one) for one in entry.answers.values()), shown)


def _names(answers: Predictions) -> list[tuple[str, str]]:
    """What names each clip: its path below the folder that holds all of them, and its recording.

    One source can be named in several ways, and two sources have the same file names.
    """
    paths = list(answers.paths)
    folders = [PurePath(path).parent for path in paths]
    if len({folder.is_absolute() for folder in folders}) == 1:
        root = os.path.commonpath(folders) or "."
        paths = [os.path.relpath(path, root) for path in paths]
    return list(zip(paths, answers.groups, strict=True))


def _known(answers: Predictions, level: str) -> npt.NDArray[np.bool_]:
    """Which clips can be scored on a level."""
    if level == "category":
        return np.ones(len(answers), dtype=bool)
    if answers.event_probability is None:
        return np.zeros(len(answers), dtype=bool)
    return np.asarray(answers.event_true != IGNORE_INDEX)


def _has(entry: Entry, keys: Collection[Key], level: str) -> bool:
    return all(_known(entry.answers[key], level).any() for key in keys)


def _judged(entry: Entry, keys: Sequence[Key], level: str) -> _Judged:
    """The clips of some cells together, in the order of their paths, which all rows share."""
    rows: list[tuple[str, str, int, int]] = []
    for key in keys:
        answers = entry.answers[key]
        true, probability = answers.category_true, answers.category(entry.category_source)
        if level == "event" and answers.event_probability is not None:
            true, probability = answers.event_true, answers.event_probability
        predicted = probability.argmax(axis=1)
        names = _names(answers)
        rows += [
            (*names[i], int(true[i]), int(predicted[i]))
            for i in np.flatnonzero(_known(answers, level))
        ]
    rows.sort()
    _, groups, true_list, predicted_list = zip(*rows, strict=True)
    return _Judged(np.array(true_list), np.array(predicted_list), list(groups))


def _by_seed(entry: Entry, keys: Sequence[Key], level: str) -> list[_Judged]:
    """For each seed the clips of all its folds."""
    seeds = sorted({seed for _, seed in keys})
    return [_judged(entry, [key for key in keys if key[1] == seed], level) for seed in seeds]


def _mean(parts: Sequence[_Judged]) -> FloatArray:
    """``[metrics]``, the mean over some parts."""
    return _average([figures(part.true, part.predicted) for part in parts])


def _draws(parts: Sequence[_Judged], resamples: int, seed: int) -> FloatArray:
    """``[resamples, metrics]``, the mean over some parts, all on the same draws."""
    draws = [
        resample(part.true, part.predicted, part.groups, resamples=resamples, seed=seed)
        for part in parts
    ]
    return _average(draws)


def _average(values: Sequence[FloatArray]) -> FloatArray:
    return np.asarray(np.mean(values, axis=0), dtype=np.float64)


def _intervals(values: FloatArray, draws: FloatArray) -> tuple[Interval, ...]:
    low, high = interval(draws)
    return tuple(
        Interval(float(value), float(below), float(above))
        for value, below, above in zip(values, low, high, strict=True)
    )
