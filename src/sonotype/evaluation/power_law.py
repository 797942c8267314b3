"""Accuracy as a function of the number of labelled clips, extrapolated by a power law.

The error of a classifier falls with the number of training clips roughly as a power law
(Hestness et al., "Deep learning scaling is predictable, empirically", 2017),

    error(n) = floor + scale * n ** -rate        with floor >= 0, scale >= 0, rate > 0,

which is fitted to the measured sizes. The uncertainty comes from a bootstrap over recordings: on
each draw all sizes are scored on the same recordings, and the law is fitted again. The intervals
therefore include the uncertainty of the test set, but not that of the law itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from sonotype.core.errors import OptionsError
from sonotype.core.text import pad, shorten
from sonotype.evaluation.bootstrap import METRICS, compute_metrics, resample
from sonotype.evaluation.metrics import Interval, intervals
from sonotype.evaluation.predictions import FloatArray, Predictions

RESAMPLES = 400
MIN_SIZES = 3
BOUNDS = ([0.0, 0.0, 0.05], [0.5, 1.5, 2.0])
"""Lower and upper bounds of floor, scale and rate."""


@dataclass(frozen=True)
class Point:
    """Accuracy at one size: the mean number of training clips of a class."""

    clips_per_class: float
    accuracy: Interval


@dataclass(frozen=True)
class Advice:
    """Expected gain of more clips of one class.

    Attributes:
        label: the class.
        clips: of the class in the largest training set.
        error: error rate on its test clips, shrunk towards the rate of all classes.
        gain: of the accuracy over all classes, in percentage points.
    """

    label: str
    clips: float
    error: float
    gain: float


@dataclass(frozen=True)
class Curve:
    """A learning curve.

    Attributes:
        level: name of the finest head.
        points: the measured sizes, smallest first.
        forecast: at two and four times the largest size; empty with too few sizes.
        band: the fitted law on a fine grid of sizes, for plots; empty with too few sizes.
        more: number of additional clips that :attr:`advice` assumes.
        advice: the classes, largest gain first; empty with too few sizes.
    """

    level: str
    points: tuple[Point, ...]
    forecast: tuple[Point, ...]
    band: tuple[Point, ...]
    more: int
    advice: tuple[Advice, ...]


def learning_curve(
    predictions: Mapping[float, Predictions],
    counts: Mapping[str, float],
    *,
    more: int = 20,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """The curve of models that were trained on different numbers of clips.

    Args:
        predictions: of the models, by number of clips per class, all on the same test clips.
        counts: clips of each class in the largest training set.
        more: number of additional clips of a class that the advice assumes.
        resamples: draws of the bootstrap.
        seed: the same seed gives the same intervals.

    Raises:
        OptionsError: no sizes.
    """
    if not predictions:
        raise OptionsError("a learning curve needs at least one size")
    sizes = sorted(predictions)
    head = predictions[sizes[0]].heads[-1]
    scored = [predictions[size].decisions(head.name)[1:] for size in sizes]
    column = METRICS.index("accuracy")
    measured = np.array([compute_metrics(*decisions[:2])[column] for decisions in scored])
    draws = np.stack(
        [resample(*decisions, resamples=resamples, seed=seed)[:, column] for decisions in scored],
        axis=1,
    )  # [resamples, sizes]
    points = _points(sizes, measured, draws)
    if len(sizes) < MIN_SIZES:
        return Curve(head.name, points, (), (), more, ())
    laws = np.array([_fit(sizes, 1 - row) for row in draws])
    law = _fit(sizes, 1 - measured)
    ahead = [2 * sizes[-1], 4 * sizes[-1]]
    grid = list(np.geomspace(sizes[0], ahead[-1], 60))
    return Curve(
        head.name,
        points,
        _points(ahead, _accuracy(law, ahead)[0], _accuracy(laws, ahead)),
        _points(grid, _accuracy(law, grid)[0], _accuracy(laws, grid)),
        more,
        _advice(head.classes, counts, *scored[-1][:2], rate=float(law[2]), more=more),
    )


def _points(sizes: Sequence[float], values: FloatArray, draws: FloatArray) -> tuple[Point, ...]:
    accuracies = zip(sizes, intervals(values, draws), strict=True)
    return tuple(Point(float(size), accuracy) for size, accuracy in accuracies)


def _fit(sizes: Sequence[float], errors: FloatArray) -> FloatArray:
    """Floor, scale and rate of the power law through the errors, by least squares."""
    start = (0.0, min(float(errors[0]), 1.0), 0.5)
    with warnings.catch_warnings():
        # With three sizes the covariance cannot be estimated; it is not used.
        warnings.simplefilter("ignore", OptimizeWarning)
        law, _ = curve_fit(
            lambda n, floor, scale, rate: floor + scale * (n / sizes[0]) ** -rate,
            np.asarray(sizes, dtype=np.float64),
            errors,
            p0=start,
            bounds=BOUNDS,
            maxfev=5000,
        )
    return np.array([law[0], law[1] * sizes[0] ** law[2], law[2]])


def _accuracy(laws: FloatArray, sizes: Sequence[float]) -> FloatArray:
    """``[laws, sizes]`` accuracies."""
    floor, scale, rate = np.atleast_2d(laws).T[:, :, None]
    values = 1 - floor - scale * np.asarray(sizes, dtype=np.float64) ** -rate
    return np.asarray(np.clip(values, 0, 1), dtype=np.float64)


def _advice(
    names: Sequence[str],
    counts: Mapping[str, float],
    true: np.ndarray,
    predicted: np.ndarray,
    *,
    rate: float,
    more: int,
) -> tuple[Advice, ...]:
    """Each class, as if its error followed the law of all classes.

    A class has few test clips, so its error rate is shrunk towards that of all classes, with the
    mean number of clips of a class as the weight.
    """
    overall = float((true != predicted).mean())
    prior = len(true) / max(len(set(true.tolist())), 1)
    advice = []
    for index, name in enumerate(names):
        here = true == index
        clips = counts.get(name, 0.0)
        if not here.any() or not clips:
            continue
        error = (float((predicted[here] != index).sum()) + prior * overall) / (here.sum() + prior)
        left = ((clips + more) / clips) ** -rate
        advice.append(Advice(name, clips, float(error), 100 * error * (1 - left) / len(names)))
    return tuple(sorted(advice, key=lambda entry: (-entry.gain, entry.label)))


def render_curve(curve: Curve, most: int = 5) -> str:
    """The curve as text of at most 80 columns."""
    lines = [f"{curve.level} accuracy by clips per class; brackets: 95 % interval by recording"]
    for kind, points in (("", curve.points), ("expected", curve.forecast)):
        for point in points:
            accuracy = point.accuracy
            lines.append(
                f"  {point.clips_per_class:>6.3g}  {accuracy.value:.3f}  "
                f"[{accuracy.low:.3f}, {accuracy.high:.3f}]  {kind}".rstrip()
            )
    if not curve.forecast:
        lines.append(f"  a forecast needs at least {MIN_SIZES} sizes")
        return "\n".join(lines)
    lines += ["", f"{curve.more} more clips of one class would help most for:"]
    lines += [
        f"  {pad(shorten(entry.label, 28), 28)} {entry.clips:>5.3g} clips, "
        f"error {entry.error:.2f}, {entry.gain:+.2f} points"
        for entry in curve.advice[:most]
    ]
    lines.append("  if each class improves at the rate of all classes together")
    return "\n".join(lines)
