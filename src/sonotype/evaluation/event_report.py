"""Scores of sound event detection as text for a terminal, and as CSV."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

from sonotype.core.io import replacing
from sonotype.core.text import align, counted, listed, wrap
from sonotype.evaluation.event_counts import SCORES
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.report import CLASSES, join_blocks, note_lines
from sonotype.evaluation.sound_events import ClassEventScores, EventScores

TITLES = ("event-based F1", "segment-based F1", "intersection-based F1")
AVERAGE_COLUMNS = (24, 28, 28)
HEAD_COLUMNS = (37, -21, -7, -7, -8)
CLASS_COLUMNS = (21, -7, -9, -7, -7, -7, -7, -7, -8)


def event_report(scores: EventScores, *, classes: int = CLASSES) -> str:
    """Notes, the averages over all classes, and the worst classes, in at most 80 columns.

    Args:
        scores: of a model.
        classes: largest number of classes to show, worst F1 first.
    """
    blocks = [note_lines(scores.notes), _averages(scores), _classes(scores, classes)]
    return join_blocks([list(block) for block in blocks])


def _averages(scores: EventScores) -> Iterator[str]:
    reference = sum(one.reference for one in scores.per_class)
    detected = sum(one.detected for one in scores.per_class)
    yield from wrap(
        f"{scores.hours:.3g} h of {counted(scores.recordings, 'recording')} in "
        f"{counted(scores.groups, 'group')}; {counted(reference, 'event')}, "
        f"{detected} detected; brackets: 95 % interval by group"
    )
    present = sum(one.reference > 0 for one in scores.per_class)
    title = "macro (1 class)" if present == 1 else f"macro ({present} classes)"
    yield ""
    yield align(["", title, "micro"], *AVERAGE_COLUMNS)
    for name, row in zip(SCORES, TITLES, strict=True):
        average = getattr(scores, name)
        yield align([row, _interval(average.macro), _interval(average.micro)], *AVERAGE_COLUMNS)
    yield align(
        ["false alarms an hour", _interval(scores.false_alarms_per_hour, 2)], *AVERAGE_COLUMNS[:2]
    )
    for name, value in (scores.psds or {}).items():
        yield align([name, _number(value)], *AVERAGE_COLUMNS[:2])
    options = scores.options
    yield from wrap(
        f"event-based: onset within {options.onset_collar:g} s, offset within "
        f"{options.offset_collar:g} s or {100 * options.offset_collar_rate:g} % of the length; "
        f"segments of {options.segment:g} s; intersection of {100 * options.dtc:g} % of the "
        f"detection and {100 * options.gtc:g} % of the event; false alarms: detections that meet "
        "no event of their class"
    )
    if scores.groups == 1:
        yield "all recordings are of one group, so there is no interval"


def _classes(scores: EventScores, limit: int) -> Iterator[str]:
    ranked = sorted((one for one in scores.per_class if one.reference), key=_rank)
    if ranked and limit:
        yield align(["", "event-based", "segm.", "inter.", "false"], *HEAD_COLUMNS)
        heads = ["events", "detected", "prec", "recall", "F1", "F1", "F1", "per h"]
        yield align(["classes, worst first", *heads], *CLASS_COLUMNS)
        for one in ranked[:limit]:
            rates = (
                one.event_based.precision,
                one.event_based.recall,
                one.event_based.f1,
                one.segment_based.f1,
                one.intersection_based.f1,
            )
            cells = [one.label, str(one.reference), str(one.detected), *map(_number, rates)]
            yield align([*cells, _number(one.false_alarms_per_hour, 2)], *CLASS_COLUMNS)
        if len(ranked) > limit:
            yield f"  ... and {len(ranked) - limit} more, none of them worse"
    if absent := [one for one in scores.per_class if not one.reference]:
        text = (
            f"{len(absent)} of {len(scores.per_class)} classes without an event: not in the means"
        )
        wrong = sorted((one for one in absent if one.detected), key=lambda one: -one.detected)
        if wrong:
            text += f"; false detections: {listed(f'{one.label} {one.detected}' for one in wrong)}"
        yield from wrap(text, indent="  ")


def _rank(one: ClassEventScores) -> tuple[float | int | str, ...]:
    rates = (one.event_based, one.intersection_based, one.segment_based)
    return (*(rate.f1 or 0.0 for rate in rates), -one.reference, one.label)


def _interval(metric: Interval, digits: int = 3) -> str:
    value = _number(metric.value, digits)
    if metric.low is None or metric.high is None:
        return f"{value}  -"
    return f"{value}  [{metric.low:.{digits}f}, {metric.high:.{digits}f}]"


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def write_event_csv(path: Path, scores: EventScores) -> None:
    """Write a line for each class: counts, and precision, recall and F1 of the three scores.

    Undefined values are empty.

    Raises:
        OptionsError: the file cannot be written.
    """
    rates = ("precision", "recall", "f1")
    names = [f"{score}_{rate}" for score in SCORES for rate in rates]
    with (
        replacing(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ["label", "reference", "detected", *names, "false_alarms_per_hour", "cross_triggers"]
        )
        for one in scores.per_class:
            values = [getattr(getattr(one, score), rate) for score in SCORES for rate in rates]
            cells = [_cell(value) for value in (*values, one.false_alarms_per_hour)]
            writer.writerow([one.label, one.reference, one.detected, *cells, one.cross_triggers])


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.4f}"
