"""The power law through accuracies, what it says of more clips, and how that is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from heads import coarse, predicted, two_heads, with_proba, with_true
from matplotlib.image import imread
from scipy.optimize import lsq_linear, minimize_scalar

from sonotype.core.errors import OptionsError
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.bootstrap import draws
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.plots import plot_curve
from sonotype.evaluation.power_law import Advice, Curve, Point, learning_curve, render_curve
from sonotype.evaluation.predictions import Predictions

HEADS = two_heads(("x", "y"), ("a", "b", "c", "d"), (0, 0, 1, 1))
CLIPS, RECORDINGS = 400, 100


def answers(error: float, seed: int = 0) -> Predictions:
    """Predictions with this share of errors; four clips of a recording, one of each event.

    The same seed makes the same clips wrong first, so that larger sizes are right where smaller
    ones were.
    """
    true = np.arange(CLIPS) % 4
    wrong = np.random.default_rng(seed).permutation(CLIPS) < round(error * CLIPS)
    found = np.where(wrong, (true + 1) % 4, true)
    return predicted(
        HEADS,
        [true // 2, true],
        [np.eye(2)[found // 2], np.eye(4)[found]],
        groups=[f"r{number // 4}" for number in range(CLIPS)],
    )


def law(
    floor: float, scale: float, rate: float, sizes: Sequence[float]
) -> dict[float, Predictions]:
    return {size: answers(floor + scale * size**-rate) for size in sizes}


COUNTS = dict.fromkeys("abcd", 8.0)
INVERSE = law(0.1, 0.8, 1.0, (1, 2, 4, 8))
NAMES = sorted({*INVERSE[1].groups})


def right(one: Predictions) -> np.ndarray:
    return np.asarray(one.proba["event"].argmax(axis=1) == one.true["event"])


@pytest.fixture(scope="module")
def curve() -> Curve:
    return learning_curve(INVERSE, COUNTS, resamples=60)


@pytest.mark.parametrize(
    ("floor", "scale", "rate", "sizes"),
    [
        (0.1, 0.8, 1.0, (1, 2, 4, 8)),
        (0.0, 0.8, 0.5, (1, 4, 16, 64)),
        (0.05, 1.6, 1.0, (2, 4, 8, 16, 32)),
        (0.0, 0.25, 0.0, (1, 2, 4, 8)),  # nothing is learnt: all of it is floor
    ],
)
def test_an_exact_law_goes_on_as_it_began(
    floor: float, scale: float, rate: float, sizes: tuple[int, ...]
) -> None:
    found = learning_curve(law(floor, scale, rate, sizes), COUNTS, resamples=3)
    assert [point.clips_per_class for point in found.forecast] == [2 * sizes[-1], 4 * sizes[-1]]
    for point in (*found.forecast, found.band[0], found.band[-1]):
        wanted = 1 - floor - scale * point.clips_per_class**-rate
        assert point.accuracy.value == pytest.approx(wanted, abs=1e-3)
    grid = [point.clips_per_class for point in found.band]
    assert (grid[0], grid[-1]) == (pytest.approx(sizes[0]), pytest.approx(4 * sizes[-1]))


def test_measured_points_have_the_interval_of_resampled_clips(curve: Curve) -> None:
    assert curve.level == "event"
    for point in curve.points:
        one = INVERSE[point.clips_per_class]
        scores = []
        for (counts,) in draws(RECORDINGS, 60, 0, rows=1):
            often = dict(zip(NAMES, counts, strict=True))
            drawn = [
                hit
                for hit, group in zip(right(one), one.groups, strict=True)
                for _ in range(often[group])
            ]
            scores.append(sum(drawn) / len(drawn))
        wanted = [np.mean(right(one)), *np.percentile(scores, [2.5, 97.5])]
        found = [point.accuracy.value, point.accuracy.low, point.accuracy.high]
        assert found == pytest.approx(wanted, abs=1e-12)


def slow_fit(sizes: np.ndarray, errors: np.ndarray) -> tuple[float, float, float]:
    """For every rate the best floor and scale by linear least squares, then the best rate."""

    def at(rate: float) -> tuple[float, np.ndarray]:
        columns = np.stack([np.ones(len(sizes)), (sizes / sizes[0]) ** -rate], axis=1)
        best = lsq_linear(columns, errors, bounds=([0, 0], [0.5, 1.5]))
        return float(best.cost), best.x

    coarse = np.linspace(0.05, 2, 40)
    near = coarse[int(np.argmin([at(rate)[0] for rate in coarse]))]
    bounds = (max(0.05, near - 0.05), min(2.0, near + 0.05))
    rate = minimize_scalar(lambda one: at(one)[0], bounds=bounds, method="bounded").x
    floor, scale = at(rate)[1]
    return floor, scale * sizes[0] ** rate, rate


def test_the_forecast_is_that_of_laws_fitted_to_the_same_draws() -> None:
    sizes, found = np.array(sorted(INVERSE)), []
    for (counts,) in draws(RECORDINGS, 12, 5, rows=1):
        often = dict(zip(NAMES, counts, strict=True))
        weights = [often[group] for group in INVERSE[1].groups]
        errors = [np.average(~right(one), weights=weights) for _, one in sorted(INVERSE.items())]
        floor, scale, rate = slow_fit(sizes, np.array(errors))
        found.append([1 - floor - scale * size**-rate for size in (16, 32)])
    low, high = np.percentile(found, [2.5, 97.5], axis=0)
    forecast = learning_curve(INVERSE, COUNTS, resamples=12, seed=5).forecast
    assert [point.accuracy.low for point in forecast] == pytest.approx(low, abs=2e-3)
    assert [point.accuracy.high for point in forecast] == pytest.approx(high, abs=2e-3)


def test_the_forecast_holds_what_the_law_says(curve: Curve) -> None:
    for point in (*curve.forecast, *curve.band):
        low, high = point.accuracy.low or 0, point.accuracy.high or 0
        assert low < 0.9 - 0.8 / point.clips_per_class < high
        assert 0 <= low < high <= 1
    first, second = (point.accuracy for point in curve.forecast)
    assert (second.value, first.value) == (pytest.approx(0.875), pytest.approx(0.85))


def test_the_same_seed_gives_the_same_curve() -> None:
    curve, same, other = (learning_curve(INVERSE, COUNTS, resamples=9, seed=n) for n in (0, 0, 1))
    assert curve == same
    assert [one.accuracy.value for one in other.points] == [
        one.accuracy.value for one in curve.points
    ]
    assert [one.accuracy.low for one in other.points] != [one.accuracy.low for one in curve.points]


def errors_of(wrong: dict[str, int], true: np.ndarray) -> Predictions:
    """So many wrong clips of each event, told to be of the next one."""
    base = answers(0.0)
    found = true.copy()
    for name, number in wrong.items():
        index = HEADS[1].index[name]
        found[np.flatnonzero(true == index)[:number]] = (index + 1) % 4
    return with_true(with_proba(base, event=np.eye(4)[found]), event=true)


@pytest.mark.parametrize(
    ("wrong", "counts", "order"),
    [
        ({"a": 10, "b": 40, "c": 20, "d": 10}, COUNTS, "bcad"),
        ({"a": 20, "b": 20, "c": 20, "d": 20}, {"a": 9, "b": 4, "c": 9, "d": 2}, "dbac"),
        ({"b": 20, "c": 20}, {"a": 4, "b": 8, "c": 4}, "cba"),  # no clip of d to learn from
    ],
)
def test_advice(wrong: dict[str, int], counts: Mapping[str, float], order: str) -> None:
    """By hand: 100 test clips a class, so its error is drawn half way to that of all."""
    last = errors_of(wrong, np.arange(CLIPS) % 4)
    found = learning_curve({**INVERSE, 8: last}, counts, more=5, resamples=3)
    # The fitted law is shown by the band alone; two of its points and the floor give the rate.
    one, two, three = (1 - point.accuracy.value for point in found.band[::20][:3])
    step = found.band[20].clips_per_class / found.band[0].clips_per_class
    rate = -math.log((two - three) / (one - two)) / math.log(step)
    overall = sum(wrong.values()) / CLIPS
    assert [entry.label for entry in found.advice] == list(order)
    for entry in found.advice:
        error = (wrong.get(entry.label, 0) / 100 + overall) / 2
        left = (counts[entry.label] / (counts[entry.label] + 5)) ** rate
        assert entry.clips == counts[entry.label]
        assert entry.error == pytest.approx(error)
        assert entry.gain == pytest.approx(100 * error * (1 - left) / 4, rel=1e-3)


def test_a_class_without_test_clips_gets_no_advice() -> None:
    few = np.minimum(np.arange(CLIPS) % 4, 2)
    found = learning_curve(
        {size: with_true(one, event=few) for size, one in INVERSE.items()}, COUNTS, resamples=3
    )
    assert {entry.label for entry in found.advice} == {"a", "b", "c"}


@pytest.mark.parametrize("sizes", [(1,), (1, 2)])
def test_too_few_sizes_for_a_law(sizes: tuple[int, ...], tmp_path: Path) -> None:
    found = learning_curve({size: INVERSE[size] for size in sizes}, COUNTS, resamples=20)
    assert [point.clips_per_class for point in found.points] == list(sizes)
    assert (found.forecast, found.band, found.advice) == ((), (), ())
    lines = render_curve(found).splitlines()
    assert len(lines) == 2 + len(sizes)
    assert lines[-1] == "  a forecast needs at least 3 sizes"
    plot_curve(found, tmp_path / "few.png", "")
    assert imread(tmp_path / "few.png").std() > 0.01


def test_no_sizes() -> None:
    with pytest.raises(OptionsError) as caught:
        learning_curve({}, {})
    assert str(caught.value) == "a learning curve needs at least one size"


def test_categories_where_there_is_no_event_head() -> None:
    bare = {size: coarse(one) for size, one in INVERSE.items()}
    found = learning_curve(bare, {"x": 16.0, "y": 16.0}, resamples=3)
    assert found.level == "category"
    for point in found.points:
        one = INVERSE[point.clips_per_class]
        hits = one.proba["category"].argmax(axis=1) == one.true["category"]
        assert point.accuracy.value == pytest.approx(hits.mean())
    assert {entry.label for entry in found.advice} == {"x", "y"}


def test_clips_without_an_event_are_passed_over() -> None:
    known = np.arange(CLIPS) % 3 > 0
    some = {
        size: with_true(one, event=np.where(known, one.true["event"], IGNORE_INDEX))
        for size, one in INVERSE.items()
    }
    whole = {size: one.take(known) for size, one in INVERSE.items()}
    assert learning_curve(some, COUNTS, resamples=5) == learning_curve(whole, COUNTS, resamples=5)


SHOWN = Curve(
    level="event",
    points=(
        Point(1.0, Interval(0.25, 0.2, 0.3)),
        Point(2.0, Interval(0.5, 0.4, 0.6)),
        Point(4.0, Interval(0.625, 0.5, 0.75)),
        Point(21.333, Interval(0.8, 0.7, 0.9)),
    ),
    forecast=(Point(42.667, Interval(0.85, 0.75, 1.0)), Point(85.333, Interval(0.875, 0.8, 1.0))),
    band=(Point(1.0, Interval(0.25, 0.2, 0.3)), Point(85.333, Interval(0.875, 0.8, 1.0))),
    more=20,
    advice=(
        Advice("glass", 21.333, 0.4, 1.234),
        Advice("a name that is longer than there is room for", 100.0, 0.25, 0.5),
        *(Advice(f"class {number}", 8.0, 0.1, 0.004) for number in range(4)),
    ),
)


def test_the_text() -> None:
    wanted = """\
event accuracy by clips per class; brackets: 95 % interval by recording
       1  0.250  [0.200, 0.300]
       2  0.500  [0.400, 0.600]
       4  0.625  [0.500, 0.750]
    21.3  0.800  [0.700, 0.900]
    42.7  0.850  [0.750, 1.000]  expected
    85.3  0.875  [0.800, 1.000]  expected

20 more clips of one class would help most for:
  glass                         21.3 clips, error 0.40, +1.23 points
  a name that i... is room for   100 clips, error 0.25, +0.50 points
  class 0                          8 clips, error 0.10, +0.00 points
  if each class improves at the rate of all classes together"""
    assert render_curve(SHOWN, most=3) == wanted


@pytest.mark.parametrize("level", ["event", "category"])
def test_no_line_is_too_long(level: str) -> None:
    long = (Advice("w" * 90, 12345.678, 1.0, -100.0),)
    lines = render_curve(replace(SHOWN, level=level, advice=long)).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(render_curve(SHOWN).splitlines()) == 9 + 5 + 1, "five classes where none are asked"


def test_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "new" / "curve.png"
    plot_curve(SHOWN, path, "how many clips are needed")
    image = imread(path)
    assert image.shape[0] > 500
    assert image.shape[1] > 800
    # The law is orange, the measured points are blue.
    colours = {tuple(pixel) for pixel in np.round(image.reshape(-1, image.shape[2])[:, :3], 1)}
    assert any(red > 0.8 and blue < 0.3 for red, _, blue in colours)
    assert any(blue > 0.6 and red < 0.3 for red, _, blue in colours)


def test_three_sizes_are_enough_for_a_law() -> None:
    """An exact law is found, and nothing warns that three points tell no covariance."""
    measured = {n: answers(0.1 + 0.8 / n) for n in (1, 2, 4)}
    found = learning_curve(measured, {}, resamples=5)
    assert found.forecast[0].accuracy.value == pytest.approx(0.8, abs=5e-3)
