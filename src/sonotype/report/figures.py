"""Charts as coordinates; ``charts.html`` draws them as SVG, so that all texts are escaped there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sonotype.core.text import counted
from sonotype.evaluation.calibration import Bin
from sonotype.evaluation.power_law import Curve, Point

WIDTH, HEIGHT = 360, 260
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 44
"""Margins of a chart in its own units, which are pixels on a phone."""
HISTOGRAM_BINS = 20


@dataclass(frozen=True)
class Dot:
    """A circle with a text that is shown on hover."""

    x: float
    y: float
    radius: float
    tip: str
    style: str = "dot"


@dataclass(frozen=True)
class Column:
    """A rectangle with a text that is shown on hover."""

    x: float
    y: float
    width: float
    height: float
    tip: str
    style: str = "column"


@dataclass(frozen=True)
class Line:
    """A line, or a closed area, through points as SVG writes them."""

    points: str
    style: str = "line"


@dataclass(frozen=True)
class Chart:
    """One chart in units of its view box.

    Attributes:
        name: what it shows, for screen readers.
        x_title: of the horizontal axis.
        y_title: of the vertical axis.
        x_ticks: position and text of each.
        y_ticks: likewise.
        areas: closed areas, drawn first.
        columns: rectangles.
        lines: open lines.
        dots: circles, drawn last.
    """

    name: str
    x_title: str
    y_title: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    areas: tuple[Line, ...] = ()
    columns: tuple[Column, ...] = ()
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def reliability_chart(bins: Sequence[Bin], *, unit: str, several: bool) -> Chart:
    """Probability against the share that is right; the area of a dot is its number of clips."""
    largest = max((one.clips for one in bins), default=1)
    pairs = "pair" if several else unit
    dots = tuple(
        Dot(
            _x(one.confidence),
            _y(one.accuracy),
            3 + 5 * math.sqrt(one.clips / largest),
            f"{counted(one.clips, pairs)}: predicted {_whole(one.confidence)}, "
            f"{'present' if several else 'right'} {_whole(one.accuracy)}",
        )
        for one in bins
    )
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    return Chart(
        "Reliability diagram",
        "predicted probability",
        "share present" if several else "share right",
        tuple((_x(tick), _whole(tick)) for tick in ticks),
        tuple((_y(tick), _whole(tick)) for tick in ticks),
        lines=(
            Line(_points([(0.0, 0.0), (1.0, 1.0)]), "ideal"),
            Line(_points([(one.confidence, one.accuracy) for one in bins])),
        ),
        dots=dots,
    )


def curve_chart(curve: Curve) -> Chart:
    """Accuracy against clips per class on a logarithmic axis, with the forecast."""
    every = [*curve.points, *curve.forecast, *curve.band]
    sizes = [max(point.clips_per_class, 0.1) for point in every]
    first, last = math.log(min(sizes)), math.log(max(max(sizes), min(sizes) * 1.01))
    lowest = min(_low(point) for point in every)
    step = next(step for step in (0.05, 0.1, 0.25) if step == 0.25 or 1 - lowest <= 4 * step)
    bottom = max(0.0, math.floor(lowest / step - 1e-9) * step)

    def place(point: Point, value: float) -> tuple[float, float]:
        x = (math.log(max(point.clips_per_class, 0.1)) - first) / (last - first)
        return x, (value - bottom) / (1 - bottom)

    def dot(point: Point, style: str, what: str) -> Dot:
        x, y = place(point, point.accuracy.value)
        tip = f"{point.clips_per_class:.3g} clips per class: {what} {_share(point)}"
        return Dot(_x(x), _y(y), 5, tip, style)

    band = [place(p, _high(p)) for p in curve.band]
    band += [place(p, _low(p)) for p in reversed(curve.band)]
    known = [*curve.points, *curve.forecast]
    ticks = _spread_out([place(p, bottom)[0] for p in known])
    return Chart(
        "Learning curve",
        "training clips per class",
        "accuracy",
        tuple((_x(place(known[n], 0)[0]), f"{known[n].clips_per_class:.3g}") for n in ticks),
        tuple(
            (_y((value - bottom) / (1 - bottom)), _whole(value))
            for value in np.arange(bottom, 1 + step / 2, step).tolist()
        ),
        areas=(Line(_points(band), "band"),) if band else (),
        lines=(
            Line(_points([place(p, p.accuracy.value) for p in curve.band]), "ideal"),
            *(
                Line(_points([place(p, _low(p)), place(p, _high(p))]), "range")
                for p in curve.points
            ),
        ),
        dots=(
            *(dot(p, "dot", "measured") for p in curve.points),
            *(dot(p, "open", "expected") for p in curve.forecast),
        ),
    )


def unknown_chart(
    known: npt.NDArray[np.floating], others: npt.NDArray[np.floating], threshold: float
) -> Chart:
    """Histogram of unknown scores of known clips, and of clips of no class, with the threshold."""
    limits = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    columns: list[Column] = []
    shares = [
        (np.histogram(np.clip(values, 0, 1), limits)[0], style, what)
        for values, style, what in ((known, "column", "known"), (others, "other", "of no class"))
        if len(values)
    ]
    tallest = max((counts.max() / counts.sum() for counts, _, _ in shares), default=1.0)
    slot = (WIDTH - LEFT - RIGHT) / HISTOGRAM_BINS
    for number, (counts, style, what) in enumerate(shares):
        width = slot / len(shares) - 1
        for n, count in enumerate(counts.tolist()):
            if count:
                top = _y(count / counts.sum() / tallest)
                tip = (
                    f"{counted(count, 'clip')} {what}: score {limits[n]:.2f} to {limits[n + 1]:.2f}"
                )
                x = LEFT + n * slot + number * (width + 1) + 0.5
                columns.append(Column(x, top, width, HEIGHT - BOTTOM - top, tip, style))
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    return Chart(
        "Histogram of unknown scores",
        "unknown score; rejected right of the line",
        "share of clips",
        tuple((_x(tick), f"{tick:g}") for tick in ticks),
        tuple((_y(tick), _whole(tick * tallest)) for tick in (0.0, 0.5, 1.0)),
        columns=tuple(columns),
        lines=(Line(_points([(threshold, 0.0), (threshold, 1.0)]), "second"),),
    )


def _x(share: float) -> float:
    return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)


def _y(share: float) -> float:
    return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _points(shares: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{_x(x)},{_y(min(max(y, 0.0), 1.0))}" for x, y in shares)


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"


def _share(point: Point) -> str:
    return f"{_whole(point.accuracy.value)} [{_whole(_low(point))} to {_whole(_high(point))}]"


def _low(point: Point) -> float:
    return point.accuracy.value if point.accuracy.low is None else point.accuracy.low


def _high(point: Point) -> float:
    return point.accuracy.value if point.accuracy.high is None else point.accuracy.high


def _spread_out(places: Sequence[float]) -> list[int]:
    """Indices of ticks whose labels do not overlap, the last ones first."""
    kept: list[int] = []
    for index in sorted(range(len(places)), key=lambda n: -places[n]):
        if all(abs(places[index] - places[other]) > 0.09 for other in kept):
            kept.append(index)
    return sorted(kept)
