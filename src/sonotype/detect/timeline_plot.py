"""Drawing of a timeline: a row for each class, with its score as colour and its events as bars.

The layout is in inches and not left to matplotlib, so that a row has the same height in every
picture and nothing overlaps: names on the left, numbers on the right, legend below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.figures import DPI, ORANGE, save_figure
from sonotype.core.text import clock, counted, duration, probability, shorten
from sonotype.detect.maxima import Maxima

ROWS = 25
"""Classes with a row: those with most events."""

HIGHEST_ROWS = 5
"""Classes with a row if there is no event: those with the highest scores."""

LEFT, RIGHT, ACROSS = 2.1, 1.6, 7.0
TOP, BOTTOM, ROW = 0.9, 1.05, 0.3
LABEL_CELLS, NAME_CELLS, NOTE_CELLS = 24, 44, 110
LEAST_BAR = 2.5 / (ACROSS * DPI)
"""Width of the shortest event bar as a share of the row."""

DENSE_SECONDS = 2 * 3600
"""Longer recordings show the number of events in bins: single events are narrower than a pixel."""

BINS = 100
EVENT_SPAN, SCORE_SPAN, ALONE_SPAN = (0.08, 0.46), (0.5, 0.92), (0.15, 0.85)
"""Top and bottom of the bars and of the scores in a row; of the scores if there is no event."""

STEPS = (
    *(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3600 * hours for hours in (1, 2, 3, 6, 12)),
    *(86_400 * days for days in (1, 2, 5, 10, 20, 50, 100)),
)
"""Distances of ticks in seconds."""

TICKS = 12
GREY = "0.35"


def plot_timeline(
    path: Path,
    recording: DetectedRecording,
    classes: Sequence[str],
    thresholds: npt.NDArray[np.float64],
    maxima: Maxima,
) -> None:
    """Draw the scores and the events of a recording.

    Args:
        path: the PNG file.
        recording: its events are of the classes.
        classes: names of the classes.
        thresholds: ``[classes]``.
        maxima: highest scores over time.

    Raises:
        OptionsError: the file cannot be written.
    """
    edges, scores = maxima.coarse(int(ACROSS * DPI))
    highest = scores.max(axis=0) if len(scores) else np.zeros(len(classes))
    counts = Counter(event.label for event in recording.events)
    shown = _shown(classes, counts, highest)
    ends = [event.end for event in recording.events]
    seconds = max([recording.seconds, *ends, edges[-1]]) or 1.0

    rows = ROW * len(shown)
    figure = Figure(figsize=(LEFT + ACROSS + RIGHT, TOP + rows + BOTTOM))
    axes = _axes(figure, (LEFT, BOTTOM, ACROSS, rows))
    axes.set_xlim(0, seconds)
    axes.set_ylim(len(shown), 0)
    span = SCORE_SPAN if counts else ALONE_SPAN
    for row, index in enumerate(shown):
        _draw_scores(axes, row, span, edges, scores[:, index])
    labels = [classes[index] for index in shown]
    legend = _draw_events(axes, recording.events, labels, seconds) if counts else ""
    _label_rows(axes, labels)
    for row, index in enumerate(shown):
        score = probability(highest[index]) if len(scores) else "-"
        numbers = (str(counts[classes[index]]), score, probability(thresholds[index]))
        _numbers(axes, row + 0.5, numbers)
    _numbers(axes, -0.35, ["events", "highest", "threshold"], color=GREY)
    _time_axis(axes, seconds)
    _legend(figure, legend)
    others = len(classes) - len(shown) if len(scores) else 0
    note = _note(recording, counts, len(shown), others)
    title = _title(recording, counts, seconds if len(scores) else 0)
    _head(axes, note, 0.42, fontsize=9, color=GREY)
    _head(axes, title, 0.66 if note else 0.46, fontsize=11)
    save_figure(figure, path, "")


def _shown(
    classes: Sequence[str], counts: Counter[str], highest: npt.NDArray[np.floating]
) -> list[int]:
    """Indices of the classes that get a row, from the top."""
    if counts:
        found = [index for index, label in enumerate(classes) if counts[label]]
        return sorted(found, key=lambda i: (-counts[classes[i]], -highest[i]))[:ROWS]
    return [int(index) for index in np.argsort(-highest, kind="stable")[:HIGHEST_ROWS]]


def _title(recording: DetectedRecording, counts: Counter[str], seconds: float) -> str:
    name = shorten(recording.path.name, NAME_CELLS)
    if not seconds:
        return f"{name}: no scores"
    length = f"{seconds:.2g} s" if seconds < 10 else duration(seconds)
    if not counts:
        return f"{name}: no event in {length}"
    classes = "1 class" if len(counts) == 1 else f"{len(counts)} classes"
    return f"{name}: {counted(counts.total(), 'event')} of {classes} in {length}"


def _note(recording: DetectedRecording, counts: Counter[str], rows: int, others: int) -> str:
    """The line below the title; often empty."""
    notes = []
    if recording.error:
        notes.append(f"not read to its end: {recording.error}")
    if not counts and others > 0:
        notes.append(f"the {rows} of {rows + others} classes with the highest scores")
    elif len(counts) > rows:
        most = sum(count for _, count in counts.most_common(rows))
        left = counted(counts.total() - most, "event")
        notes.append(
            f"the {rows} classes with most events; "
            f"{left} of {len(counts) - rows} other classes not shown"
        )
    return shorten("; ".join(notes), NOTE_CELLS)


def _head(axes: Axes, text: str, inches: float, **style: Any) -> None:
    """A line above the rows, aligned with their left end."""
    axes.annotate(
        text,
        (0, 1),
        (0, 72 * inches),
        xycoords="axes fraction",
        textcoords="offset points",
        parse_math=False,
        **style,
    )


def _axes(figure: Figure, inches: tuple[float, float, float, float]) -> Axes:
    """Axes at left, bottom, width and height in inches."""
    width, height = figure.get_size_inches()
    left, bottom, across, up = inches
    return figure.add_axes((left / width, bottom / height, across / width, up / height))


def _norm() -> PowerNorm:
    """The root of the score, so that low scores differ from nothing."""
    return PowerNorm(0.5, vmin=0, vmax=1)


def _draw_scores(
    axes: Axes,
    row: int,
    span: tuple[float, float],
    edges: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float32],
) -> None:
    top, bottom = row + span[0], row + span[1]
    if len(scores):
        axes.pcolormesh(edges, [top, bottom], scores[None], cmap="Blues", norm=_norm())
    end = axes.get_xlim()[1]
    axes.plot([0, end, end, 0, 0], [top, top, bottom, bottom, top], color="0.75", lw=0.6)


def _draw_events(
    axes: Axes, events: Sequence[DetectedEvent], labels: Sequence[str], seconds: float
) -> str:
    """Draw bars, or in a long recording the number of events in bins; the text of the legend."""
    rows = {label: row for row, label in enumerate(labels)}
    top, bottom = EVENT_SPAN
    if seconds <= DENSE_SECONDS:
        least = LEAST_BAR * seconds
        for label, row in rows.items():
            own = [(event.start, event.end) for event in events if event.label == label]
            wide = [(min(a, (a + b - least) / 2), max(b - a, least)) for a, b in own]
            axes.broken_barh(wide, (row + top, bottom - top), color=ORANGE, lw=0)
        return "event"
    step = _step(seconds, BINS)
    bins = {label: _counted(events, label, step, seconds) for label in labels}
    most = max(int(count.max()) for count in bins.values())
    for label, row in rows.items():
        count = bins[label]
        filled = np.flatnonzero(count)
        up = (bottom - top) * (0.15 + 0.85 * count[filled] / most)
        axes.bar(
            filled * step, -up, step, bottom=row + bottom, align="edge", color=ORANGE, linewidth=0
        )
    return f"events per {_span(step)}; full height: {most}"


def _counted(
    events: Sequence[DetectedEvent], label: str, step: float, seconds: float
) -> npt.NDArray[np.int64]:
    """``[bins]`` number of events of a class that overlap each bin of ``step`` seconds."""
    change = np.zeros(int(seconds // step) + 2, dtype=np.int64)
    for event in events:
        if event.label == label:
            first = int(event.start // step)
            change[first] += 1
            change[max(first + 1, int(-(-event.end // step)))] -= 1
    return change.cumsum()


def _label_rows(axes: Axes, labels: Sequence[str]) -> None:
    names = [shorten(label, LABEL_CELLS) for label in labels]
    rows = np.arange(len(labels)) + 0.5
    axes.set_yticks(rows, names, fontsize=9, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "left", "right"]].set_visible(False)


def _numbers(axes: Axes, y: float, texts: Sequence[str], *, color: str = "black") -> None:
    """Three numbers to the right of a row, right-aligned."""
    for text, inches in zip(texts, (0.5, 1.02, 1.64), strict=True):
        axes.annotate(
            text,
            (1 + inches / ACROSS, y),
            xycoords=axes.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=8.5,
            color=color,
            annotation_clip=False,
        )


def _time_axis(axes: Axes, seconds: float) -> None:
    step = _step(seconds, TICKS)
    axes.xaxis.set_major_locator(FixedLocator(list(np.arange(0, seconds * (1 + 1e-9), step))))
    if step >= 86_400:
        unit = "days"
        texts = FuncFormatter(lambda x, _: f"{x / 86_400:.0f}")
    elif seconds > 3600:
        unit = "h:mm"
        texts = FuncFormatter(lambda x, _: clock(x + 0.5)[:-3])
    elif seconds > 90:
        unit = "mm:ss"
        texts = FuncFormatter(lambda x, _: f"{x // 60:.0f}:{x % 60:02.0f}")
    else:
        unit = "s"
        texts = FuncFormatter(lambda x, _: f"{x:.10g}")
    axes.xaxis.set_major_formatter(texts)
    axes.tick_params(axis="x", labelsize=9)
    axes.set_xlabel(f"time ({unit})", fontsize=9)
    axes.grid(axis="x", color="0.85", lw=0.6)
    axes.set_axisbelow(True)


def _step(seconds: float, parts: int) -> float:
    """The shortest distance of ticks with at most that many parts."""
    return next((step for step in STEPS if seconds / step <= parts), seconds / parts)


def _span(seconds: float) -> str:
    """A distance of ticks as text."""
    for unit, size in (("day", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _legend(figure: Figure, events: str) -> None:
    """Scale of the scores and colour of the events, in a line below the time axis."""
    bar = _axes(figure, (LEFT + ACROSS - 2.0, 0.28, 2.0, 0.13))
    shades = np.linspace(0, 1, 101)
    bar.pcolormesh(shades, [0, 1], (shades[None, :-1] + 0.005), cmap="Blues", norm=_norm())
    bar.set_xlim(0, 1)
    bar.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"], fontsize=8)
    bar.set_yticks([0.5], ["highest score"], fontsize=9)
    bar.tick_params(length=2)
    bar.tick_params(axis="y", length=0)
    bar.spines[:].set_color("0.75")
    if events:
        width, height = figure.get_size_inches()
        figure.legend(
            handles=[Patch(color=ORANGE, label=events)],
            loc="center left",
            bbox_to_anchor=((LEFT - 0.12) / width, 0.345 / height),
            frameon=False,
            fontsize=9,
            handlelength=1.2,
        )
