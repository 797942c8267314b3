"""The report of ``sonotype tune``, as text and for the model file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sonotype.config import to_dict
from sonotype.core.text import align, counted, duration, wrap
from sonotype.detect.tuning import Rates, TuningReport

COLUMNS = (22, -10, -12, -10, -22)
CLASS_COLUMNS = (30, -10, -12, -10, -14)
SHOWN = 20
"""Classes in the table."""


def report_json(report: TuningReport) -> dict[str, Any]:
    """The scores of a report as JSON values, for the model file."""
    return {**asdict(report), "common": to_dict(report.common)}


def report_text(report: TuningReport, facts: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The report in lines of at most 80 columns."""
    limit = facts["false_alarms_limit"]
    lines = wrap(f"{_recordings(facts)}; scores: {_scores(facts)}")
    lines += ["", align(("odds of thresholds", "missed", "precision", "F1", "false alarms an hour"),
                        *COLUMNS)]  # fmt: skip
    for point in report.operating_points:
        name = "as chosen" if point.scale == 1 else f"x {point.scale:.2g}"
        lines.append(
            align((name, *_rates(point.rates), _number(point.rates.false_alarms)), *COLUMNS)
        )
    lines += ["", *wrap(f"method {report.common.method}; {_limit(report, limit)}")]
    lines += [*wrap(_rated_on(report, facts)), ""]
    lines.append(
        align(("class, worst first", "events", "threshold", "missed", "F1"), *CLASS_COLUMNS)
    )
    order = sorted(report.per_class, key=lambda one: (_low(one.rates.f1), one.label))
    for one in order[:SHOWN]:
        cells = (one.label, str(one.events), f"{one.threshold:.2f}", _percent(one.rates.missed),
                 _number(one.rates.f1, 3))  # fmt: skip
        lines.append(align(cells, *CLASS_COLUMNS))
    if len(order) > SHOWN:
        lines.append(f"  ... and {len(order) - SHOWN} more, none of them worse")
    for note in notes:
        lines += ["", *wrap(f"note: {note}", " " * 6)]
    return "\n".join(lines)


def _recordings(facts: Mapping[str, Any]) -> str:
    kind = "simulated recording" if facts["simulated"] else "annotated recording"
    number = counted(facts["recordings"], kind)
    return f"{number}, {duration(facts['seconds'])}, {counted(facts['events'], 'event')}"


def _rated_on(report: TuningReport, facts: Mapping[str, Any]) -> str:
    if report.held_out:
        return f"rates: each recording with thresholds of {_others(facts)}"
    return "rates: on the recordings that the thresholds were chosen on; on others they are worse"


def _others(facts: Mapping[str, Any]) -> str:
    return counted(facts["folds"] - 1, "other fold")


def _scores(facts: Mapping[str, Any]) -> str:
    if facts["scores"] == "new frame head":
        return f"new frame head, each recording by a head of {_others(facts)}"
    hop = f" every {facts['hop']:g} s" if "hop" in facts else ""
    return f"{facts['scores']}{hop} of the model"


def _limit(report: TuningReport, limit: float) -> str:
    hours = f"{duration(report.background * 3600)} of background"
    if report.limit_met is None:
        return "no background, so false alarms are not limited"
    verdict = "at most" if report.limit_met else "the thresholds do not meet the limit of"
    return f"{verdict} {limit:g} false alarms an hour in the choice, in {hours}"


def _rates(rates: Rates) -> tuple[str, str, str]:
    return _percent(rates.missed), _percent(rates.precision), _number(rates.f1, 3)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"


def _number(value: float, decimals: int = 1) -> str:
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def _low(value: float) -> float:
    return 2.0 if math.isnan(value) else value
