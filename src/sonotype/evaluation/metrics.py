"""Scores of a model: macro metrics with confidence intervals, per class, and confusions.

Macro precision, recall and F1 are means over the classes that have a true clip among those scored.
A class without clips has no recall; a recall of 0, as in scikit-learn, would only show that the set
is small. Predictions of such a class still count as errors of the true class. A class that is never
predicted has a precision of 0.

Heads whose clips have any number of labels are scored by class, see
:mod:`sonotype.evaluation.multilabel`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, precision_recall_fscore_support, roc_auc_score

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.field_types import checked
from sonotype.core.hierarchy import CategorySource
from sonotype.core.json_text import json_text, json_value
from sonotype.core.text import listed
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.evaluation.bootstrap import METRICS, interval, resample
from sonotype.evaluation.calibration import (
    TINY,
    binary_calibration_error,
    brier_score,
    calibration_error,
    log_loss,
)
from sonotype.evaluation.multilabel import (
    MULTI_METRICS,
    multi_metrics,
    resample_multi,
)
from sonotype.evaluation.predictions import Decisions, FloatArray, IntArray, Predictions

if TYPE_CHECKING:
    from sonotype.evaluation.held_out import HeadChange
    from sonotype.evaluation.sound_events import EventScores


@dataclass(frozen=True)
class Interval:
    """A metric and its 95 % interval, whose ends are ``None`` if it cannot be computed."""

    value: float
    low: float | None = None
    high: float | None = None


def intervals(values: FloatArray, draws: FloatArray) -> list[Interval]:
    """Metrics ``[n]`` with the percentile intervals of their draws ``[resamples, n]``."""
    low, high = interval(np.asarray(draws, dtype=np.float64))
    return [
        Interval(float(value), float(below), float(above))
        for value, below, above in zip(values, low, high, strict=True)
    ]


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities of one head can be trusted.

    Attributes:
        error: expected calibration error, see :mod:`sonotype.evaluation.calibration`.
        brier: Brier score, from 0 to 2.
        log_loss: mean negative logarithm of the probability of the true class.
    """

    error: float
    brier: float
    log_loss: float


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class; all 0 if ``support``, its number of true clips, is 0.

    Only classes of ``"multi"`` heads have the last two: the average precision, if the class is
    absent in some clip, and the expected calibration error of the probability that it is present.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    average_precision: float | None = None
    calibration_error: float | None = None


@dataclass(frozen=True)
class Ranking:
    """Scores of the probabilities of a ``"multi"`` head, without thresholds.

    Attributes:
        average_precision: mean average precision over the classes with a true clip (macro mAP).
        micro_average_precision: average precision over all pairs of clip and class.
        lwlrap: label-weighted label-ranking average precision.
    """

    average_precision: Interval
    micro_average_precision: Interval
    lwlrap: Interval


@dataclass(frozen=True)
class HeadScores:
    """Scores of one head.

    Attributes:
        labels: class names, in the order of the confusion matrix.
        n: clips with a label of this head.
        groups: recordings of these clips.
        accuracy: share of correct predictions.
        precision: macro mean over the classes with a true clip, like ``recall`` and ``f1``.
        recall: see ``precision``; also called balanced accuracy.
        f1: see ``precision``; the mean of the classes' F1, not the F1 of the means.
        per_class: in the order of the labels.
        confusion: ``confusion[true][predicted]`` clips.
        calibration: of the probabilities; ``None`` in files of earlier versions.
        ranking: of a ``"multi"`` head; ``None`` for other heads. Such a head has no confusion
            matrix; its accuracy is the share of clips whose classes are all right.
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
    calibration: Calibration | None = None
    ranking: Ranking | None = None


@dataclass(frozen=True)
class UnknownScores:
    """How well a model tells known sounds from others.

    Attributes:
        known: clips with a label.
        kept: share of these that do not count as unknown.
        negatives: clips of no class.
        false_alarms: share of these that do not count as unknown; ``None`` without such clips.
        foreign: clips of classes that the model does not have.
        recognised: share of these that count as unknown; ``None`` without such clips.
        auroc: probability that the unknown score of a foreign clip is above that of a known clip;
            ``None`` likewise.
    """

    known: int
    kept: float
    negatives: int = 0
    false_alarms: float | None = None
    foreign: int = 0
    recognised: float | None = None
    auroc: float | None = None


@dataclass(frozen=True)
class Scores:
    """Scores of a model on a set of clips.

    Attributes:
        heads: by name, from coarse to fine, of the heads for which some clips have a label.
        category_source: how coarse levels were read, see :mod:`sonotype.core.hierarchy`; ``"head"``
            for a model with one head.
        clips: number of clips.
        groups: number of their recordings.
        notes: sentences that must be shown with the scores.
        unknown: of the unknown score; ``None`` if the model has none.
        events: of the detected events; ``None`` for clips.
        foreign: labels of the data that the model does not have, with their number of clips.
        held_out: by head the change against the held-out scores of training, where these are known.
    """

    heads: Mapping[str, HeadScores]
    category_source: str
    clips: int
    groups: int
    notes: tuple[str, ...] = ()
    unknown: UnknownScores | None = None
    events: EventScores | None = None
    foreign: Mapping[str, int] = field(default_factory=dict)
    held_out: Mapping[str, HeadChange] = field(default_factory=dict)


def score(
    predictions: Predictions,
    *,
    category_source: CategorySource = "head",
    resamples: int = 1000,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Scores:
    """Score predictions.

    Args:
        predictions: each head is scored on the clips that have a label of it.
        category_source: how to read coarse levels.
        resamples: draws of the bootstrap (see :mod:`sonotype.evaluation.bootstrap`). There are no
            intervals with 0 draws, or if all clips are of one recording.
        seed: the same seed gives the same intervals.
        notes: stored in the scores.

    Raises:
        OptionsError: no clips, an unknown ``category_source``, or a negative number of resamples.
        SonotypeError: a probability is not finite.
    """
    if resamples < 0:
        raise OptionsError(f"resamples is {resamples}: give 0 for no intervals, or about 1000")
    predictions.require_finite()
    heads, unscored = {}, []
    for head in predictions.heads:
        if head.problem == "multi":
            if (predictions.true[head.name] == 1).any():
                heads[head.name] = _score_multi(predictions, head, resamples, seed)
                always = [
                    one.label
                    for one in heads[head.name].per_class
                    if one.support and one.average_precision is None
                ]
                if always:
                    unscored.append(
                        f"no scored clip is known to lack {listed(always)}: no average precision"
                    )
            else:
                unscored.append(f"none of these clips has a {head.name}: it is not scored")
            continue
        decisions = predictions.decisions(head.name, category_source)
        if len(decisions.true):
            proba = predictions.read(category_source)[head.name][decisions.indices]
            scores = _score_head(head.classes, decisions, resamples, seed)
            heads[head.name] = replace(scores, calibration=_calibration(proba, decisions.true))
        else:
            unscored.append(
                f"none of these clips has a label of the level {head.name}: it is not scored"
            )
    return Scores(
        heads=heads,
        category_source=category_source if len(predictions.heads) > 1 else "head",
        clips=len(predictions),
        groups=len(set(predictions.groups)),
        notes=(*notes, *unscored),
        unknown=_unknown(predictions),
    )


def _unknown(predictions: Predictions) -> UnknownScores | None:
    scores, threshold = predictions.unknown, predictions.unknown_threshold
    if scores is None or threshold is None:
        return None
    measured, negative = np.isfinite(scores), predictions.negative
    is_foreign = np.array([*map(bool, predictions.foreign)] or [False] * len(scores))
    known = scores[measured & ~negative & ~is_foreign]
    negatives, foreign = scores[measured & negative & ~is_foreign], scores[measured & is_foreign]
    if not len(known):
        return None
    is_known = [True] * len(known) + [False] * len(foreign)
    return UnknownScores(
        len(known),
        float((known <= threshold).mean()),
        len(negatives),
        float((negatives <= threshold).mean()) if len(negatives) else None,
        len(foreign),
        float((foreign > threshold).mean()) if len(foreign) else None,
        float(roc_auc_score(is_known, -np.concatenate([known, foreign]))) if len(foreign) else None,
    )


def _score_multi(predictions: Predictions, head: Head, resamples: int, seed: int) -> HeadScores:
    """Scores of a head whose clips have any number of labels."""
    true, proba = predictions.true[head.name], predictions.proba[head.name]
    decided = predictions.decided(head)
    counted = (true != IGNORE_INDEX).any(axis=1)
    true, proba, decided = true[counted], proba[counted], decided[counted]
    groups = [group for group, use in zip(predictions.groups, counted, strict=True) if use]
    values = multi_metrics(true, proba, decided, np.ones((1, len(true))))[0]
    found = [Interval(float(value)) for value in values]
    if resamples and len(set(groups)) > 1:
        draws = resample_multi(true, proba, decided, groups, resamples=resamples, seed=seed)
        draws = draws[np.isfinite(draws).all(axis=1)]
        found = intervals(values, draws) if len(draws) else found
    by_name = dict(zip(MULTI_METRICS, found, strict=True))
    classes = []
    for index, label in enumerate(head.classes):
        known = true[:, index] != IGNORE_INDEX
        one = (slice(None), slice(index, index + 1))
        _, precision, recall, f1, average, _, _ = multi_metrics(
            true[known][one], proba[known][one], decided[known][one], np.ones((1, known.sum()))
        )[0].tolist()
        present = true[known, index] == 1
        error = binary_calibration_error(proba[known, index], present) if known.any() else None
        support = int(present.sum())
        scored = average if (true[known, index] == 0).any() else None
        classes.append(ClassScore(label, precision, recall, f1, support, scored, error))
    known, present = true != IGNORE_INDEX, true == 1
    return HeadScores(
        labels=head.classes,
        n=len(true),
        groups=len(set(groups)),
        **{name: by_name[name] for name in METRICS},
        per_class=tuple(classes),
        confusion=(),
        calibration=_binary_calibration(present[known], proba[known]),
        ranking=Ranking(*(by_name[name] for name in MULTI_METRICS[4:])),
    )


def _binary_calibration(present: npt.NDArray[np.bool_], proba: FloatArray) -> Calibration:
    """Of all pairs of clip and class: whether the class is present."""
    right = np.where(present, proba, 1 - proba)
    return Calibration(
        binary_calibration_error(proba, present),
        float(np.square(proba - present).mean()),
        float(-np.log(np.maximum(right, TINY)).mean()),
    )


def _calibration(proba: FloatArray, true: IntArray) -> Calibration:
    return Calibration(
        calibration_error(proba, true), brier_score(proba, true), log_loss(proba, true)
    )


def _score_head(
    labels: tuple[str, ...], decisions: Decisions, resamples: int, seed: int
) -> HeadScores:
    _, true, predicted, groups = decisions
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=list(range(len(labels))), average=None, zero_division=0
    )
    present = support > 0
    values = {
        "accuracy": accuracy_score(true, predicted),
        "precision": precision[present].mean(),
        "recall": recall[present].mean(),
        "f1": f1[present].mean(),
    }
    metrics = {name: Interval(float(value)) for name, value in values.items()}
    n_groups = len(set(groups))
    if resamples and n_groups > 1:
        draws = resample(true, predicted, groups, resamples=resamples, seed=seed)
        ordered = np.array([values[name] for name in METRICS])
        metrics = dict(zip(METRICS, intervals(ordered, draws), strict=True))
    # Not scikit-learn's confusion_matrix, which warns if there is a single class.
    confusion = np.zeros((len(labels), len(labels)), dtype=np.int64)
    np.add.at(confusion, (true, predicted), 1)
    return HeadScores(
        labels=labels,
        n=len(true),
        groups=n_groups,
        accuracy=metrics["accuracy"],
        precision=metrics["precision"],
        recall=metrics["recall"],
        f1=metrics["f1"],
        per_class=tuple(
            ClassScore(name, float(p), float(r), float(f), int(count))
            for name, p, r, f, count in zip(labels, precision, recall, f1, support, strict=True)
        ),
        confusion=tuple(map(tuple, confusion.tolist())),
    )


def scores_to_json(scores: Scores) -> dict[str, Any]:
    """The scores as dicts, lists, numbers and strings for :func:`json.dumps`."""
    plain: dict[str, Any] = json_value(json_text(asdict(scores)))
    return plain


def scores_from_json(value: Mapping[str, Any]) -> Scores:
    """The inverse of :func:`scores_to_json`, exactly; without ``events`` and ``held_out``.

    Raises:
        SonotypeError: the value is something else; names the missing or wrong field.
    """
    try:
        heads = {name: _head_from_json(head) for name, head in value["heads"].items()}
        total = checked(
            _Totals(
                value["category_source"], value["clips"], value["groups"], tuple(value["notes"])
            )
        )
        return Scores(
            heads=heads,
            **total.__dict__,
            unknown=_unknown_from_json(found) if (found := value.get("unknown")) else None,
            foreign=dict(value.get("foreign", {})),
        )
    except KeyError as error:
        raise SonotypeError(f"not scores of sonotype: {error} is missing") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise SonotypeError(f"not scores of sonotype: {error}") from error


@dataclass(frozen=True)
class _Totals:
    """The entries of scores that are texts and numbers."""

    category_source: str
    clips: int
    groups: int
    notes: tuple[str, ...]


def _head_from_json(value: Mapping[str, Any]) -> HeadScores:
    found = checked(
        HeadScores(
            labels=tuple(value["labels"]),
            n=value["n"],
            groups=value["groups"],
            **{name: checked(Interval(**value[name])) for name in METRICS},
            per_class=tuple(checked(ClassScore(**entry)) for entry in value["per_class"]),
            confusion=tuple(tuple(row) for row in value["confusion"]),
            calibration=checked(Calibration(**known))
            if (known := value.get("calibration"))
            else None,
            ranking=_ranking_from_json(ranking) if (ranking := value.get("ranking")) else None,
        )
    )
    size = len(found.labels)
    if len(found.per_class) != size:
        raise ValueError(f"{len(found.per_class)} classes for {size} labels")
    if found.confusion and [len(row) for row in found.confusion] != [size] * size:
        raise ValueError(f"confusion must be a square of {size} labels")
    return found


def _ranking_from_json(value: Mapping[str, Any]) -> Ranking:
    return Ranking(**{name: checked(Interval(**value[name])) for name in MULTI_METRICS[4:]})


def _unknown_from_json(value: Mapping[str, Any]) -> UnknownScores:
    found = checked(UnknownScores(**value))
    if found.recognised is not None and found.auroc is None:
        raise ValueError("auroc is missing")
    return found
