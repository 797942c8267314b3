"""How accuracy grows with the number of labelled clips, and what more of them would bring.

The error of a classifier falls with the number of training clips roughly as a power law
(Hestness et al., "Deep learning scaling is predictable, empirically", 2017),

    error(n) = floor + scale * n ** -rate        with floor >= 0, scale >= 0, rate > 0,

which is fitted to the measured sizes. Its uncertainty comes from a bootstrap over recordings: on
each draw all sizes are scored on the same recordings and the law is fitted anew, so that the spread
of the extrapolation holds what the test clips leave open. It does not hold what no bootstrap can
know: that the law goes on as it did.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit

from sonotype.core.errors import OptionsError
from sonotype.core.text import pad, shorten
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.bootstrap import METRICS, figures, interval, resample
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.predictions import FloatArray, Predictions

RESAMPLES = 400
LEAST_SIZES = 3
BOUNDS = ([0.0, 0.0, 0.05], [0.5, 1.5, 2.0])
"""Of floor, scale and rate."""


@dataclass(frozen=True)
class Point:
    """One size: how many clips a class had on average, and how often the answer was right."""

    clips_per_class: float
    accuracy: Interval


@dataclass(frozen=True)
class Advice:
    """What more clips of one class would bring.

    Attributes:
        label: the class.
        clips: it has in the largest training part.
        error: share of its test clips that are answered wrongly, drawn towards that of all classes.
        gain: of the accuracy over all classes, in points, from so many more clips of this one.
    """

    label: str
    clips: float
    error: float
    gain: float


@dataclass(frozen=True)
class Curve:
    """A learning curve.

    Attributes:
        level: ``"event"`` or ``"category"``, what is told apart.
        points: the measured sizes, smallest first.
        forecast: at two and four times the largest size; empty with too few sizes.
        band: the fitted law on a fine grid of sizes, for plots; empty with too few sizes.
        more: clips that :attr:`advice` asks about.
        advice: the classes, those first where more clips help most; empty with too few sizes.
    """

    level: str
    points: tuple[Point, ...]
    forecast: tuple[Point, ...]
    band: tuple[Point, ...]
    more: int
    advice: tuple[Advice, ...]


def learning_curve(
    answers: Mapping[float, Predictions],
    counts: Mapping[str, float],
    *,
    more: int = 20,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Curve:
    """The curve through the answers of models that were trained on fewer or more clips.

    Args:
        answers: for each number of clips per class those of its models, all on the same clips.
        counts: clips of each class in the largest training part.
        more: how many more clips of one class the advice asks about.
        resamples: draws of the bootstrap.
        seed: the same seed gives the same intervals.

    Raises:
        OptionsError: no sizes.
    """
    if not answers:
        raise OptionsError("there are no sizes to draw a learning curve through")
    sizes = sorted(answers)
    judged = [_judged(answers[size]) for size in sizes]
    column = METRICS.index("accuracy")
    measured = np.array([figures(true, predicted)[column] for true, predicted, _ in judged])
    draws = np.stack(
        [
            resample(true, predicted, groups, resamples=resamples, seed=seed)[:, column]
            for true, predicted, groups in judged
        ],
        axis=1,
    )  # [resamples, sizes]
    level = "event" if answers[sizes[0]].event_probability is not None else "category"
    points = _points(sizes, measured, draws)
    if len(sizes) < LEAST_SIZES:
        return Curve(level, points, (), (), more, ())
    laws = np.array([_fit(sizes, 1 - row) for row in draws])
    law = _fit(sizes, 1 - measured)
    prefetch = [2 * sizes[-1], 4 * sizes[-1]]
    grid = list(np.geomspace(sizes[0], prefetch[-1], 60))
    labels = answers[sizes[-1]].labels
    names = labels.events if level == "event" else labels.categories
    return Curve(
        level,
        points,
        _points(prefetch, _accuracy(law, prefetch)[0], _accuracy(laws, prefetch)),
        _points(grid, _accuracy(law, grid)[0], _accuracy(laws, grid)),
        more,
        _advice(names, counts, *judged[-1][:2], rate=float(law[2]), more=more),
    )


def _judged(answers: Predictions) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Truth, answer and recording, of events where the models have them."""
    if answers.event_probability is None:
        return answers.category_true, answers.category().argmax(axis=1), list(answers.groups)
    known = answers.event_true != IGNORE_INDEX
    groups = [group for group, here in zip(answers.groups, known, strict=True) if here]
    return answers.event_true[known], answers.event_probability[known].argmax(axis=1), groups


def _points(sizes: Sequence[float], values: FloatArray, draws: FloatArray) -> tuple[Point, ...]:
    low, high = interval(np.asarray(draws, dtype=np.float64))
    return tuple(
        Point(float(size), Interval(float(value), float(below), float(above)))
        for size, value, below, above in zip(sizes, values, low, high, strict=True)
    )


def _fit(sizes: Sequence[float], errors: FloatArray) -> FloatArray:
    """Floor, scale and rate of the power law through the errors, by least squares."""
    start = (0.0, min(float(errors[0]), 1.0), 0.5)
    with warnings.catch_warnings():
        # Three sizes leave nothing to tell the covariance from; it is not looked at.
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
    """Every class as if it learnt at the pace of all: its error times what the law leaves of it.

    A class has few test clips, so its error is drawn towards that of all classes by as many
    clips as a class has on average.
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
    return tuple(sorted(advice, key=lambda one: (-one.gain, one.label)))


def render_curve(curve: Curve, most: int = 5) -> str:
    """The curve as text of at most 80 columns."""
    lines = [f"{curve.level} accuracy by clips per class; brackets: 95 % interval by recording"]
    for kind, points in (("", curve.points), ("expected", curve.forecast)):
        for point in points:
            one = point.accuracy
            lines.append(
                f"  {point.clips_per_class:>6.3g}  {one.value:.3f}  "
                f"[{one.low:.3f}, {one.high:.3f}]  {kind}".rstrip()
            )
    if not curve.forecast:
        lines.append(f"  with at least {LEAST_SIZES} sizes there is a forecast")
        return "\n".join(lines)
    lines += ["", f"{curve.more} more clips of one class would help most for:"]
    lines += [
        f"  {pad(shorten(entry.label, 28), 28)} {entry.clips:>5.3g} clips, "
        f"error {entry.error:.2f}, {entry.gain:+.2f} points"
        for entry in curve.advice[:most]
    ]
    lines.append("  as far as each class learns at the pace of all together")
    return "\n".join(lines)
