"""A comparison of runs as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sonotype.core.types import plural
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.report import TITLES
from sonotype.report.compare_text import (
    dependence,
    drawn,
    ends_text,
    grouped_notes,
    p_text,
    points,
    points_range,
    seconds_text,
    size_text,
)
from sonotype.report.compared import ComparedLevel, Comparison
from sonotype.report.page import render_page

CLIPS = 200
"""Clips of each kind that the page names."""
MARGIN = 4.0
"""Space at both ends of an axis, in percent of its length."""


@dataclass(frozen=True)
class Mark:
    """A value with its interval on a horizontal axis; positions in percent of the axis."""

    at: float
    low: float
    high: float


@dataclass(frozen=True)
class Axis:
    """A linear horizontal axis.

    Attributes:
        low: value at the left end.
        high: value at the right end.
    """

    low: float
    high: float

    def place(self, value: float) -> float:
        """Position in percent."""
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + (100 - 2 * MARGIN) * share, 2)

    def mark(self, found: Interval) -> Mark:
        """A value and the ends of its interval."""
        ends = [found.value if end is None else end for end in (found.low, found.high)]
        return Mark(self.place(found.value), self.place(ends[0]), self.place(ends[1]))


def comparison_page(comparison: Comparison) -> str:
    """The page; it has no other files and needs no network."""
    return render_page(
        "compare.html",
        comparison=comparison,
        first=comparison.runs[0],
        others=comparison.runs[1:],
        notes=grouped_notes(comparison.runs),
        levels=[_level(level) for level in comparison.levels],
        titles=TITLES,
        most_clips=CLIPS,
        seconds_text=seconds_text,
        size_text=size_text,
        ends_text=ends_text,
        points=points,
        points_range=points_range,
        p_text=p_text,
        dependence=dependence,
        drawn=drawn(comparison),
    )


def _level(level: ComparedLevel) -> dict[str, Any]:
    """One level with the axes of its charts: one of values, one of differences."""
    metrics = [found[name] for found in level.metrics for name in TITLES]
    gaps = [metric.difference for metric in metrics if metric.difference is not None]
    return {
        "level": level,
        "plural": level.name if level.classes == 1 else plural(level.name),
        "value_axis": axis_of([metric.value for metric in metrics], limits=(0.0, 1.0)),
        "gap_axis": axis_of([*gaps, Interval(0.0)], limits=(-1.0, 1.0)),
        "rows": {name: [found[name] for found in level.metrics] for name in TITLES},
    }


def axis_of(found: Sequence[Interval], limits: tuple[float, float]) -> Axis:
    """An axis that holds all intervals, with ends at multiples of 0.01."""
    lows = [one.value if one.low is None else one.low for one in found]
    highs = [one.value if one.high is None else one.high for one in found]
    low = max(limits[0], math.floor(100 * min(lows) + 1e-9) / 100)
    high = min(limits[1], math.ceil(100 * max(highs) - 1e-9) / 100)
    return Axis(low, high) if high > low else Axis(low - 0.05, high + 0.05)
