"""Scores, training curves and attention as PNG files.

Figures are created without pyplot: no global state, no window, no effect on a caller's plots. The
colour maps are readable for colour-blind people.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sonotype.core.errors import OptionsError
from sonotype.core.figures import BLUE, GREEN, ORANGE, save_figure
from sonotype.core.text import shorten
from sonotype.evaluation.calibration import Bin
from sonotype.evaluation.metrics import HeadScores
from sonotype.evaluation.power_law import Curve
from sonotype.explain.plot import HEIGHT, WIDTH, draw_map

LABEL_CELLS = 24
LARGEST = 40.0
"""Longest side that grows with the number of classes, in inches (4,800 pixels)."""


def plot_confusion(head: HeadScores, path: Path, title: str) -> None:
    """Draw the confusion matrix: colour is the share of the true class, numbers are clips.

    A class without a true clip has an empty row.

    Raises:
        OptionsError: the file cannot be written.
    """
    classes = len(head.labels)
    names = [shorten(label, LABEL_CELLS) for label in head.labels]
    cell = 0.5 if classes <= 12 else 0.26
    side = min(LARGEST, cell * classes)
    points = min(9.0, 72 * side / classes * 0.62)
    figure = Figure(figsize=(max(side + 3, 5.5), max(side + 2.6, 4.5)), layout="compressed")
    axes = figure.add_subplot()
    counts = np.asarray(head.confusion, dtype=np.float64).reshape(classes, classes)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for true, other in np.argwhere(counts):
        axes.text(
            other,
            true,
            f"{counts[true, other]:.0f}",
            ha="center",
            va="center",
            fontsize=points,
            color="white" if share[true, other] > 0.55 else "black",
        )
    ticks = range(classes)
    axes.set_xticks(ticks, names, rotation=90, fontsize=points, parse_math=False)
    axes.set_yticks(ticks, names, fontsize=points, parse_math=False)
    axes.set_xticks([tick - 0.5 for tick in ticks], minor=True)
    axes.set_yticks([tick - 0.5 for tick in ticks], minor=True)
    axes.grid(which="minor", color="0.85", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 4 / side), aspect=20)
    bar.set_label("share of the true class")
    save_figure(figure, path, title)


def plot_per_class(head: HeadScores, path: Path, title: str) -> None:
    """Draw a bar of F1 for each class, worst at the top, with its number of clips.

    Where clips have any number of labels, the bars are average precisions. Classes without a true
    clip are left out; the dashed line is the macro mean.

    Raises:
        OptionsError: the file cannot be written.
    """
    present = [entry for entry in head.per_class if entry.support]
    name, mean, values = "F1", head.f1.value, {entry.label: entry.f1 for entry in present}
    if head.ranking is not None:
        name, mean = "AP", head.ranking.average_precision.value
        present = [one for one in present if one.average_precision is not None] or present
        values = {entry.label: entry.average_precision or 0.0 for entry in present}
    ranked = sorted(present, key=lambda entry: (values[entry.label], entry.label))
    height = min(LARGEST, 0.21 * len(ranked))
    points = min(9.0, 72 * height / max(1, len(ranked)) * 0.62)
    figure = Figure(figsize=(7, height + 1.6), layout="constrained")
    axes = figure.add_subplot()
    rows = range(len(ranked))
    axes.barh(rows, [values[entry.label] for entry in ranked], color=BLUE, height=0.75)
    for row, entry in zip(rows, ranked, strict=True):
        axes.text(1.02, row, f"{values[entry.label]:.2f}", va="center", fontsize=points)
        axes.text(1.13, row, f"{entry.support}", va="center", fontsize=points)
    for x, title_of in ((1.02, name), (1.13, "clips")):
        axes.text(x, -0.9, title_of, va="bottom", fontsize=9, color="0.35")
    axes.axvline(mean, color=ORANGE, linestyle="--", label=f"macro {name} {mean:.3f}")
    names = [shorten(entry.label, LABEL_CELLS) for entry in ranked]
    axes.set_yticks(rows, names, fontsize=points, parse_math=False)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xlabel("average precision" if name == "AP" else name)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower right", frameon=False, fontsize=9)
    save_figure(figure, path, title)


def plot_history(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str = "",
    losses: Mapping[str, str] | None = None,
    scores: Mapping[str, str] | None = None,
    best_epoch: int | None = None,
) -> None:
    """Draw the training curves: losses above, scores below, the best epoch marked.

    Args:
        rows: lines of a training log with ``epoch`` and some of the other columns; an epoch can
            have several lines, and cells can be empty, as in Lightning's CSV.
        path: the PNG file.
        title: shown above.
        losses: name in the plot of each loss column; default: ``train_loss`` and ``val_loss``.
        scores: name in the plot of each score column; default: ``val_f1``.
        best_epoch: the epoch that was kept; default: the first with the highest first score.

    Raises:
        OptionsError: there is no number in these columns, or the file cannot be written.
    """
    losses = {"train_loss": "training", "val_loss": "validation"} if losses is None else losses
    scores = {"val_f1": "validation F1"} if scores is None else scores
    curves = {name: _curve(rows, name) for name in (*losses, *scores)}
    if not any(len(curve) for curve in curves.values()):
        raise OptionsError(
            f"nothing to plot: the training log has no numbers in {', '.join(curves)}"
        )
    if best_epoch is None:
        best_epoch = _best(curves[name] for name in scores)
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, columns, name in ((above, losses, "loss"), (below, scores, "score")):
        for (column, label), colour in zip(columns.items(), _colours(), strict=False):
            curve = curves[column]
            if len(curve):
                axes.plot(
                    curve[:, 0], curve[:, 1], ".-", color=colour, label=shorten(label, LABEL_CELLS)
                )
        if best_epoch is not None:
            axes.axvline(best_epoch, color="0.4", linestyle="--", label=f"best epoch: {best_epoch}")
        axes.set_ylabel(name)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=9)
    epochs = np.concatenate([curve[:, 0] for curve in curves.values()])
    below.set_xlim(epochs.min() - 0.5, epochs.max() + 0.5)
    below.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    below.set_xlabel("epoch")
    save_figure(figure, path, title)


def _colours() -> tuple[str, ...]:
    return (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")


def _curve(rows: Sequence[Mapping[str, Any]], column: str) -> npt.NDArray[np.float64]:
    """``[epochs, 2]`` epoch and last number of a column; empty cells are skipped."""
    values: dict[int, float] = {}
    for row in rows:
        epoch, value = _number(row.get("epoch")), _number(row.get(column))
        if epoch is not None and value is not None:
            values[int(epoch)] = value
    return np.asarray(sorted(values.items()), dtype=np.float64).reshape(-1, 2)


def _number(cell: Any) -> float | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    number = float(cell)
    return number if math.isfinite(number) else None


def _best(curves: Iterable[npt.NDArray[np.float64]]) -> int | None:
    """The first epoch with the highest value of the first curve that is not empty."""
    for curve in curves:
        if len(curve):
            return int(curve[curve[:, 1].argmax(), 0])
    return None


def plot_attention(
    log_mel: npt.NDArray[np.floating],
    attention: npt.NDArray[np.floating],
    path: Path,
    title: str,
    seconds: float,
) -> None:
    """Draw the log-mel with the attention map over it, and the attention over time below.

    Attention is in multiples of uniform attention, and more opaque where it is larger. It is the
    same for all classes; :func:`sonotype.explain.plot.plot_explanation` draws the importance for a
    class, which removal of cells confirms better.

    Args:
        log_mel: ``[time, mel]``.
        attention: ``[time', frequency']``, not negative; covers the whole log-mel.
        path: the PNG file.
        title: shown above.
        seconds: duration of the log-mel.

    Raises:
        OptionsError: the attention has no positive sum, or the file cannot be written.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    draw_map(figure, log_mel, attention, seconds, "attention (1: even)")
    save_figure(figure, path, title)


def plot_reliability(bins: Sequence[Bin], path: Path, title: str, *, several: bool = False) -> None:
    """Draw the accuracy over the confidence of clips, and how many clips each point has.

    Args:
        bins: of the clips.
        path: the PNG file.
        title: shown above.
        several: clips have any number of labels, so the bins have pairs of clip and class.

    Raises:
        OptionsError: the file cannot be written.
    """
    figure = Figure(figsize=(4.8, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    above.plot([0, 1], [0, 1], color="0.4", linestyle="--", linewidth=1, label="perfect")
    confidence = [one.confidence for one in bins]
    accuracy = [one.accuracy for one in bins]
    above.plot(confidence, accuracy, color=BLUE, marker="o", label="measured")
    above.set_ylabel("share with the class" if several else "share of correct clips")
    above.set_ylim(0, 1.03)
    above.grid(alpha=0.3)
    above.legend(loc="upper left", frameon=False)
    below.bar(confidence, [one.clips for one in bins], width=0.04, color=BLUE, alpha=0.5)
    below.set_ylabel("pairs" if several else "clips")
    below.set_xlabel("probability of a class" if several else "largest probability")
    below.set_xlim(0, 1)
    save_figure(figure, path, title)


def plot_curve(curve: Curve, path: Path, title: str) -> None:
    """Draw measured accuracies with their intervals, and the fitted power law.

    Raises:
        OptionsError: the file cannot be written.
    """
    figure = Figure(figsize=(7.5, 4.8), layout="constrained")
    axes = figure.add_subplot()
    if curve.band:
        sizes = [point.clips_per_class for point in curve.band]
        low = [point.accuracy.low or 0 for point in curve.band]
        high = [point.accuracy.high or 0 for point in curve.band]
        axes.fill_between(sizes, low, high, color=ORANGE, alpha=0.2, lw=0, label="95 % of the law")
        values = [point.accuracy.value for point in curve.band]
        axes.plot(sizes, values, color=ORANGE, lw=1.5, ls="--", label="power law, fitted")
    sizes = [point.clips_per_class for point in curve.points]
    values = [point.accuracy.value for point in curve.points]
    below = [point.accuracy.value - (point.accuracy.low or 0) for point in curve.points]
    above = [(point.accuracy.high or 0) - point.accuracy.value for point in curve.points]
    axes.errorbar(
        sizes, values, yerr=[below, above], fmt="o", color=BLUE, capsize=3, label="measured, 95 %"
    )
    ticks = sizes + [point.clips_per_class for point in curve.forecast]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("training clips per class")
    axes.set_ylabel(f"{curve.level} accuracy")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
    save_figure(figure, path, title)
