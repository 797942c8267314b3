"""Scores of sound event detection: how well events with a start and an end were found.

:mod:`sonotype.evaluation.event_counts` defines the three kinds of score. Only the spans that were
listened to count: reference and detected events are cut to them before they are scored, and a
detected event that reaches from one span into the next gives an event in each. A piece that is
shorter than the onset collar and less than half of its event is dropped.

Macro F1 is the mean over the classes with a reference event. Micro F1 is that of the counts of all
classes, those without a reference event among them: their detected events are errors. The intervals
come from the bootstrap over groups of recordings, see :mod:`sonotype.evaluation.bootstrap`; a class
without a reference event in a resample is not in the macro mean of that resample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sonotype.config import check
from sonotype.core.errors import OptionsError
from sonotype.core.event_matching import MICROSECONDS, IntArray, cut, merge, microseconds
from sonotype.core.json_text import json_text, json_value
from sonotype.core.text import counted, listed
from sonotype.evaluation.bootstrap import CHUNK, draws
from sonotype.evaluation.event_counts import (
    SCORES,
    EventCounts,
    EventScoreOptions,
    FloatArray,
    count_events,
)
from sonotype.evaluation.event_records import (
    RecordingDetections,
    events_of,
    require_valid,
)
from sonotype.evaluation.metrics import Interval, intervals
from sonotype.evaluation.psds import psds as psds_of
from sonotype.evaluation.psds import require_sed

__all__ = [
    "AverageF1",
    "ClassEventScores",
    "EventScoreOptions",
    "EventScores",
    "Rates",
    "RecordingDetections",
    "event_scores_to_json",
    "score_events",
]

HOUR = 3600 * MICROSECONDS


@dataclass(frozen=True)
class Rates:
    """Scores of one class; ``None`` where the denominator is 0.

    F1 is ``None`` without a reference event, like the recall, and 0 without a detected event.
    """

    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class AverageF1:
    """F1 over all classes; the value is NaN without a reference event."""

    macro: Interval
    micro: Interval


@dataclass(frozen=True)
class ClassEventScores:
    """Scores of one class.

    Attributes:
        label: the class.
        reference: number of reference events.
        detected: number of detected events.
        event_based: onset and offset within their collars.
        segment_based: activity in segments.
        intersection_based: sufficient overlap.
        false_alarms_per_hour: detected events that overlap no reference event of the class, per
            hour of the spans; NaN without spans.
        cross_triggers: false detected events where other classes are active.
    """

    label: str
    reference: int
    detected: int
    event_based: Rates
    segment_based: Rates
    intersection_based: Rates
    false_alarms_per_hour: float
    cross_triggers: int


@dataclass(frozen=True)
class EventScores:
    """Scores of a set of recordings.

    Attributes:
        hours: length of the spans.
        recordings: number of recordings.
        groups: number of their groups.
        event_based: onset and offset within their collars.
        segment_based: activity in segments.
        intersection_based: sufficient overlap.
        false_alarms_per_hour: of all classes; NaN without spans.
        psds: threshold-independent scores by name, see :mod:`sonotype.evaluation.psds`; ``None``
            if they were not requested, or cannot be computed, which a note explains.
        per_class: in the order of the classes.
        options: of the scores.
        notes: sentences that must be shown with the scores.
    """

    hours: float
    recordings: int
    groups: int
    event_based: AverageF1
    segment_based: AverageF1
    intersection_based: AverageF1
    false_alarms_per_hour: Interval
    psds: Mapping[str, float] | None
    per_class: tuple[ClassEventScores, ...]
    options: EventScoreOptions
    notes: tuple[str, ...] = ()


DEFAULTS = EventScoreOptions()


def score_events(
    recordings: Sequence[RecordingDetections],
    classes: Sequence[str],
    options: EventScoreOptions = DEFAULTS,
    *,
    resamples: int = 1000,
    seed: int = 0,
    psds: bool = False,
) -> EventScores:
    """Score detected events.

    Args:
        recordings: with reference and detected events. Reference events of labels that are not
            among the classes are not scored; a note counts them.
        classes: of the model, in the order of the frame scores.
        options: of the scores.
        resamples: draws of the bootstrap. There are no intervals with 0 draws, or if all recordings
            are of one group.
        seed: the same seed gives the same intervals.
        psds: compute PSDS as well, whose time grows with the square of the frames of a span.

    Raises:
        DataError: lists all invalid spans, events and frame scores.
        MissingExtraError: ``psds``, and sed_scores_eval is not installed.
        OptionsError: no recordings, no or repeated classes, or an invalid option.
    """
    check(options)
    if psds:
        require_sed()
    if resamples < 0:
        raise OptionsError(f"resamples is {resamples}: give 0 for no intervals, or about 1000")
    require_valid(recordings, classes)
    spans = [merge(microseconds(recording.spans)) for recording in recordings]
    counts = [
        _count(recording, classes, parts, options)
        for recording, parts in zip(recordings, spans, strict=True)
    ]
    length = np.array([(parts[:, 1] - parts[:, 0]).sum() for parts in spans], dtype=np.int64)
    group = _group_indices(recordings)
    averages, alarms = _averages(counts, length, group, resamples, seed)
    areas, psds_notes = _psds(recordings, classes) if psds else (None, [])
    return EventScores(
        hours=float(length.sum() / HOUR),
        recordings=len(recordings),
        groups=int(group.max()) + 1,
        **averages,
        false_alarms_per_hour=alarms,
        psds=areas,
        per_class=_per_class(classes, counts, int(length.sum())),
        options=options,
        notes=(*_notes(recordings, classes, spans), *psds_notes),
    )


def _count(
    recording: RecordingDetections,
    classes: Sequence[str],
    spans: IntArray,
    options: EventScoreOptions,
) -> EventCounts:
    shortest = round(options.onset_collar * MICROSECONDS)
    reference, detected = events_of(recording, classes, spans, shortest)
    return count_events(reference, detected, spans, options)


def _group_indices(recordings: Sequence[RecordingDetections]) -> IntArray:
    """``[recordings]`` index of the group of each recording."""
    known: dict[str | int, int] = {}
    keys = (recording.group or index for index, recording in enumerate(recordings))
    return np.array([known.setdefault(key, len(known)) for key in keys], dtype=np.int64)


def _averages(
    counts: Sequence[EventCounts], length: IntArray, group: IntArray, resamples: int, seed: int
) -> tuple[dict[str, AverageF1], Interval]:
    """Average F1 of each score, and the rate of false alarms, with their intervals."""
    groups = int(group.max()) + 1
    table = np.stack(
        [
            np.concatenate(
                [one.scores.ravel(), one.reference, [one.false_alarms.sum(), seconds]], dtype=float
            )
            for one, seconds in zip(counts, length, strict=True)
        ]
    )
    sums = np.zeros((groups, table.shape[1]))
    np.add.at(sums, group, table)
    classes = len(counts[0].reference)
    values = _summaries(sums.sum(axis=0, keepdims=True), classes)[0]
    found = [Interval(float(value)) for value in values]
    if resamples and groups > 1:
        rows = max(1, CHUNK // max(groups, table.shape[1]))
        drawn = np.concatenate(
            [_summaries(times @ sums, classes) for times in draws(groups, resamples, seed, rows)]
        )
        found = [_interval(value, drawn[:, at]) for at, value in enumerate(values)]
    averages = {
        name: AverageF1(macro, micro)
        for name, macro, micro in zip(SCORES, found[:3], found[3:6], strict=True)
    }
    return averages, found[6]


def _interval(value: float, drawn: FloatArray) -> Interval:
    """Value and interval; draws without a reference event, or of zero length, do not count."""
    drawn = drawn[np.isfinite(drawn)]
    if not (np.isfinite(value) and len(drawn)):
        return Interval(float(value))
    return intervals(np.array([value]), drawn[:, None])[0]


def _summaries(sums: FloatArray, classes: int) -> FloatArray:
    """``[rows, 7]``: macro F1 and micro F1 of the three scores, and false alarms per hour.

    Args:
        sums: ``[rows, classes * 9 + classes + 2]``: tp, fp, fn of the scores of each class, its
            number of reference events; false alarms and microseconds.
        classes: number of classes.
    """
    scores, references, (alarms, length) = (
        sums[:, : classes * 9].reshape(-1, classes, 3, 3),
        sums[:, classes * 9 : -2, None],
        sums[:, -2:].T,
    )
    present = references > 0  # [rows, classes, 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        macro = np.where(present, _f1(scores), 0).sum(axis=1) / present.sum(axis=1)
        micro = np.where(present.any(axis=1), _f1(scores.sum(axis=1)), np.nan)
        rate = alarms * HOUR / length
    return np.concatenate([macro, micro, rate[:, None]], axis=1)


def _f1(counts: FloatArray) -> FloatArray:
    """F1 of tp, fp and fn on the last axis; NaN without any."""
    hit, extra, missed = np.moveaxis(counts, -1, 0)
    f1: FloatArray = 2 * hit / (2 * hit + extra + missed)
    return f1


def _per_class(
    classes: Sequence[str], counts: Sequence[EventCounts], length: int
) -> tuple[ClassEventScores, ...]:
    total: dict[str, Any] = {
        name: np.sum([getattr(one, name) for one in counts], axis=0).tolist()
        for name in ("scores", "reference", "detected", "false_alarms", "cross_triggers")
    }
    found = []
    for index, label in enumerate(classes):
        rates = [_rates(three, total["reference"][index]) for three in total["scores"][index]]
        alarms = total["false_alarms"][index]
        found.append(
            ClassEventScores(
                label,
                total["reference"][index],
                total["detected"][index],
                **dict(zip(SCORES, rates, strict=True)),
                false_alarms_per_hour=alarms * HOUR / length if length else float("nan"),
                cross_triggers=total["cross_triggers"][index],
            )
        )
    return tuple(found)


def _rates(counts: Sequence[int], references: int) -> Rates:
    """Scores of tp, fp and fn."""
    hit, extra, missed = counts
    return Rates(
        hit / (hit + extra) if hit + extra else None,
        hit / (hit + missed) if references else None,
        2 * hit / (2 * hit + extra + missed) if references else None,
    )


def _psds(
    recordings: Sequence[RecordingDetections], classes: Sequence[str]
) -> tuple[dict[str, float] | None, list[str]]:
    """PSDS, or a note that says why there is none."""
    try:
        return psds_of(recordings, classes), []
    except OptionsError as error:
        return None, [f"no PSDS: {error}"]


def _notes(
    recordings: Sequence[RecordingDetections], classes: Sequence[str], spans: Sequence[IntArray]
) -> list[str]:
    known, notes = set(classes), []
    events = [event for one in recordings for event in one.reference]
    foreign = [event.label for event in events if event.label not in known]
    if foreign:
        notes.append(
            f"{counted(len(foreign), 'reference event')} of classes that the model does not know "
            f"({listed(sorted(set(foreign)))}): not scored"
        )
    inside = [
        cut(microseconds([(event.start, event.end) for event in one.reference]), parts, 0)[1]
        for one, parts in zip(recordings, spans, strict=True)
    ]
    if outside := len(events) - sum(len(np.unique(indices)) for indices in inside):
        notes.append(
            f"{counted(outside, 'reference event')} outside of the parts that were listened to: "
            "not scored"
        )
    return notes


def event_scores_to_json(scores: EventScores) -> dict[str, Any]:
    """The scores as dicts, lists, numbers and strings; undefined values are ``None``."""
    plain: dict[str, Any] = json_value(json_text(asdict(scores)))
    return plain
