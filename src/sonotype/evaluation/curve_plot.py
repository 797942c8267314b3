"""The learning curve as a picture."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from sonotype.evaluation.curve import Curve
from sonotype.evaluation.plots import BLUE, ORANGE, save_figure


def plot_curve(curve: Curve, path: Path, title: str) -> None:
    """Draw measured accuracies with their intervals, and the fitted law beyond them.

    Raises:
        OptionsError: the file cannot be written there.
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
