"""Metrics over the folds of a cross-validation: mean, standard deviation, and each fold."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sonotype.core.errors import OptionsError
from sonotype.core.json_text import json_text, json_value
from sonotype.evaluation.bootstrap import METRICS
from sonotype.evaluation.metrics import HeadScores, Scores


@dataclass(frozen=True)
class Spread:
    """A metric over the folds.

    Attributes:
        mean: unweighted mean of the folds.
        deviation: sample standard deviation (n - 1); ``None`` for one fold. It is not the standard
            error of the mean, because folds share training clips.
        values: of each fold.
    """

    mean: float
    deviation: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class HeadSpread:
    """Metrics of one head over the folds; macro means except for the accuracy."""

    accuracy: Spread
    precision: Spread
    recall: Spread
    f1: Spread


@dataclass(frozen=True)
class FoldSummary:
    """Metrics over all folds.

    Attributes:
        names: of the folds.
        clips: number of clips of each fold.
        heads: by name, of the heads for which every fold has scores.
        category_source: how coarse levels were read.
        notes: all notes of the folds, without duplicates.
    """

    names: tuple[str, ...]
    clips: tuple[int, ...]
    heads: Mapping[str, HeadSpread]
    category_source: str
    notes: tuple[str, ...]


def summarise_folds(folds: Sequence[Scores], names: Sequence[str] = ()) -> FoldSummary:
    """Summarise the scores of the folds.

    Args:
        folds: scores of each fold.
        names: of the folds; default: 1, 2, ...

    Raises:
        OptionsError: no folds, another number of names, or different category sources.
    """
    if not folds:
        raise OptionsError("there are no folds to summarise: give at least one")
    names = tuple(names) or tuple(str(number) for number in range(1, len(folds) + 1))
    if len(names) != len(folds):
        raise OptionsError(
            f"there are {len(names)} fold names for {len(folds)} folds: give a name for each"
        )
    sources = sorted({fold.category_source for fold in folds})
    if len(sources) > 1:
        raise OptionsError(
            f"the folds have different category sources ({', '.join(sources)}): score all of them "
            "with the same category_source"
        )
    names_of_heads = [name for name in folds[0].heads if all(name in fold.heads for fold in folds)]
    return FoldSummary(
        names=names,
        clips=tuple(fold.clips for fold in folds),
        heads={name: _spread_head([fold.heads[name] for fold in folds]) for name in names_of_heads},
        category_source=folds[0].category_source,
        notes=tuple(dict.fromkeys(note for fold in folds for note in fold.notes)),
    )


def _spread_head(heads: Sequence[HeadScores]) -> HeadSpread:
    return HeadSpread(
        **{name: spread([getattr(head, name).value for head in heads]) for name in METRICS}
    )


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of some values."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, tuple(values))


def folds_to_json(summary: FoldSummary) -> dict[str, Any]:
    """The summary as dicts, lists, numbers and strings for :func:`json.dumps`."""
    plain: dict[str, Any] = json_value(json_text(asdict(summary)))
    return plain
