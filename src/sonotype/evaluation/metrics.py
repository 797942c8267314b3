"""Scores of a model: the paper's macro figures with intervals, per class, and the confusions.

Macro precision, recall and F1 are means over the classes that have at least one true clip among
those scored. A class that the part does not contain has no recall, and scikit-learn's 0 for it
would only say that the part is small; answers that name such a class still count as mistakes of
the class they belong to. A class that is never predicted has a precision of 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.json_text import json_text
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.bootstrap import METRICS, interval, resample
from sonotype.evaluation.predictions import FloatArray, IntArray, Predictions, refuse_unusable


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval.

    Attributes:
        value: the figure on the clips as they are.
        low: lower end; ``None`` where no interval can be told.
        high: upper end; ``None`` where no interval can be told.

    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class; all 0 where ``support``, its number of true clips, is 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class HeadScores:
    """Scores of one level of labels.

    Attributes:
        labels: class names, in the order of the confusion matrix.
        n: clips with a label on this level.
        groups: recordings that these clips come from.
        accuracy: share of right answers.
        precision: macro mean over the classes with a true clip, as are ``recall`` and ``f1``.
        recall: see ``precision``; also called balanced accuracy.
        f1: see ``precision``; the mean of the classes' F1, not the F1 of the means.
        per_class: one for each label, in their order.
        confusion: ``confusion[true][predicted]`` clips.

    """

    labels: tuple[str, ...]
    n: int
    groups: int
    accuracy: Interval
    precision: Interval
    recall: Interval
    f1: Interval
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Scores:
    """Scores of a model on a set of clips.

    Attributes:
        category: scores of the coarse level.
        event: scores of the fine level; ``None`` without an event head or a clip with an event.
        category_source: how the category was read, see :mod:`sonotype.core.hierarchy`; ``"head"`` for
            a model without an event head, whatever was asked.
        clips: number of clips.
        groups: number of recordings they come from.
        notes: what has to be said wherever these figures are shown.

    """

    category: HeadScores
    event: HeadScores | None
    category_source: str
    clips: int
    groups: int
    notes: tuple[str, ...] = ()


def score(
    answers: Predictions,
    *,
    category_source: CategorySource = "head",
    resamples: int = 1000,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Scores:
    """Score the answers.

    Args:
        answers: truth and probabilities; the events are scored on the clips that have one.
        category_source: how to read the category.
        resamples: draws of the bootstrap (see :mod:`sonotype.evaluation.bootstrap`); with 0 of
            them, or where all clips come from one recording, there are no intervals.
        seed: the same seed gives the same intervals.
        notes: kept with the scores and shown above them.

    Raises:
        OptionsError: no clips, an unknown ``category_source``, or a negative number of resamples.
        SonotypeError: a probability is not a finite number.

    """
    if resamples < 0:
        raise OptionsError(f"resamples is {resamples}: give 0 for no intervals, or about 1000")
    refuse_unusable(answers)
    category = answers.category(category_source)
    event = answers.event_probability
    known = answers.event_true != IGNORE_INDEX
    notes = tuple(notes)
    if event is not None and not known.any():
        notes = (*notes, "none of these clips has an event label: events are not scored")
    return Scores(
        category=_score_head(
            answers.labels.categories,
            answers.category_true,
            category,
            answers.groups,
            resamples,
            seed,
        ),
        event=_score_head(
            answers.labels.events,
            answers.event_true[known],
            event[known],
            tuple(np.asarray(answers.groups, dtype=object)[known]),
            resamples,
            seed,
        )
        if event is not None and known.any()
        else None,
        category_source="head" if event is None else category_source,
        clips=len(answers),
        groups=len(set(answers.groups)),
        notes=notes,
    )


def _score_head(
    labels: tuple[str, ...],
    true: IntArray,
    probability: FloatArray,
    groups: Sequence[str],
    resamples: int,
    seed: int,
) -> HeadScores:
    predicted = probability.argmax(axis=1)
    everything = list(range(len(labels)))
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=everything, average=None, zero_division=0
    )
    present = support > 0
    values = {
        "accuracy": accuracy_score(true, predicted),
        "precision": precision[present].mean(),
        "recall": recall[present].mean(),
        "f1": f1[present].mean(),
    }
    figures = {name: Interval(float(value)) for name, value in values.items()}
    recordings = len(set(groups))
    if resamples and recordings > 1:
        draws = resample(true, predicted, groups, resamples=resamples, seed=seed)
        for name, (low, high) in zip(METRICS, interval(draws).T.tolist(), strict=True):
            figures[name] = Interval(figures[name].value, low, high)
    # Not scikit-learn's confusion_matrix: it warns of a single class, which is no fault here.
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(confusion, (true, predicted), 1)
    rows = zip(labels, precision, recall, f1, support, strict=True)
    return HeadScores(
        labels=labels,
        n=len(true),
        groups=recordings,
        **figures,
        per_class=tuple(
            ClassScore(name, float(p), float(r), float(f), int(count))
            for name, p, r, f, count in rows
        ),
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def scores_to_json(scores: Scores) -> dict[str, Any]:
    """The scores as plain dicts, lists, numbers and texts, ready for :func:`json.dumps`."""
    plain: dict[str, Any] = json.loads(json_text(asdict(scores)))
    return plain


def scores_from_json(value: Mapping[str, Any]) -> Scores:
    """The scores that :func:`scores_to_json` was given, exactly.

    Raises:
        SonotypeError: the value is something else; says what is missing or wrong.

    """
    try:
        return Scores(
            category=_head_from_json(value["category"]),
            event=None if value["event"] is None else _head_from_json(value["event"]),
            category_source=value["category_source"],
            clips=value["clips"],
            groups=value["groups"],
            notes=tuple(value["notes"]),
        )
    except KeyError as error:
        raise SonotypeError(f"these are no scores of sonotype: {error} is missing") from error
    except (TypeError, AttributeError) as error:
        raise SonotypeError(f"these are no scores of sonotype: {error}") from error


def _head_from_json(value: Mapping[str, Any]) -> HeadScores:
    return HeadScores(
        labels=tuple(value["labels"]),
        n=value["n"],
        groups=value["groups"],
        **{name: Interval(**value[name]) for name in METRICS},
        per_class=tuple(ClassScore(**one) for one in value["per_class"]),
        confusion=tuple(tuple(row) for row in value["confusion"]),
    )
