"""Maps of importance drawn over log-mels, as PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from sonotype.core.errors import OptionsError
from sonotype.core.figures import BLUE, save_figure
from sonotype.explain.explanation import BranchMap, Explanation

Array = npt.NDArray[np.floating]

WIDTH, HEIGHT = 8.0, 5.0
"""Inches of one branch."""
OPAQUE = 0.75
TICKS = (125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
"""Frequencies in Hz with a label."""
COLOURS_END = 99.5
"""Percentile of the importance with the brightest colour: single cells must not hide the rest."""


def plot_explanation(explanation: Explanation, path: Path, title: str = "") -> None:
    """Draw the log-mel of each branch with the importance over it, and over time below.

    Args:
        explanation: of a sound.
        path: the PNG file.
        title: before the class and its probability.

    Raises:
        OptionsError: the file cannot be written.
    """
    count = len(explanation.branches)
    figure = Figure(figsize=(WIDTH, HEIGHT * count), layout="constrained")
    parts = figure.subfigures(count, 1, squeeze=False)[:, 0]
    name = f"importance by {explanation.method} (1: even)"
    for part, branch in zip(parts, explanation.branches, strict=True):
        above = draw_map(part, branch.log_mel, branch.importance, branch.seconds, name)
        _frequencies(above, branch)
        if count > 1:
            above.set_title(branch.name, fontsize=10)
    shown = f"{explanation.label} {explanation.probability:.2f}"
    save_figure(figure, path, f"{title}: {shown}" if title else shown)


def draw_map(
    figure: Figure | SubFigure, log_mel: Array, values: Array, seconds: float, name: str
) -> Axes:
    """Draw a log-mel with a map over it, more opaque where it is larger, and the map over time.

    Args:
        figure: to draw on.
        log_mel: ``[time, bands]``.
        values: ``[time', bands']``, not negative; covers the whole log-mel.
        seconds: duration of the log-mel.
        name: of the map; its colours are multiples of an even map.

    Returns:
        the axes of the log-mel

    Raises:
        OptionsError: the map has no positive sum.
    """
    values = np.asarray(values, dtype=np.float64)
    total = values.sum()
    if not (np.isfinite(total) and total > 0):
        raise OptionsError("nothing to plot: the sum of the map is not positive")
    share = values / total * values.size
    above: Axes
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    extent = (0.0, seconds, 0.0, float(log_mel.shape[1]))
    above.imshow(log_mel.T, origin="lower", aspect="auto", extent=extent, cmap="gray_r")
    top = max(2.0, float(np.percentile(share, COLOURS_END)))
    image = above.imshow(
        share.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="viridis",
        vmin=0,
        vmax=top,
        alpha=OPAQUE * np.clip(share.T / top, 0, 1),
        interpolation="bilinear",
    )
    above.set_ylabel("mel band")
    bar = figure.colorbar(image, ax=above, pad=0.02)
    bar.set_label(name)
    over_time = share.mean(axis=1)
    edges = np.linspace(0, seconds, len(over_time) + 1)
    below.stairs(over_time, edges, color=BLUE, fill=True, alpha=0.5)
    below.axhline(1, color="0.4", linestyle="--", linewidth=0.8)
    below.set_xlim(0, seconds)
    below.set_ylim(0, None)
    below.set_ylabel("over time")
    below.set_xlabel("seconds")
    return above


def _frequencies(axes: Axes, branch: BranchMap) -> None:
    """Label the bands by their frequencies in kHz."""
    centres = branch.band_frequencies
    shown = [tick for tick in TICKS if centres[0] <= tick <= centres[-1]]
    places = np.interp(shown, centres, np.arange(len(centres)) + 0.5)
    axes.set_yticks(places, [f"{tick / 1000:g}" for tick in shown])
    axes.set_ylabel("kHz")
