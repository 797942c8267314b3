"""Statistics of maps against loops over positions, and features on a common scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from sonotype.models.pooling import build_pooling
from sonotype.models.reduction import Pooling
from sonotype.models.statistics import (
    MEAN_WEIGHT,
    SPREAD_WEIGHT,
    STATISTICS,
    BandDeviationPooling,
    GlobalMaxPooling,
    GlobalMeanPooling,
    StandardisedFeatures,
    TimeDeviationPooling,
    statistic_weights,
)
from sonotype.sliding.reductions import windows_of

CHANNELS = 5

statistics = pytest.mark.parametrize("kind", STATISTICS)


def maps(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.manual_seed(seed))


def spread(values: list[float]) -> float:
    middle = sum(values) / len(values)
    return float((sum((value - middle) ** 2 for value in values) / len(values)) ** 0.5)


def row_means(x: np.ndarray) -> list[float]:
    """The mean over bands at each step in time of ``[time, bands]``."""
    return [sum(map(float, row)) / len(row) for row in x]


REFERENCES: dict[type[Pooling], Callable[[np.ndarray], float]] = {
    GlobalMeanPooling: lambda x: sum(row_means(x)) / len(x),
    GlobalMaxPooling: lambda x: max(float(value) for row in x for value in row),
    TimeDeviationPooling: lambda x: spread(row_means(x)),
    BandDeviationPooling: lambda x: spread(row_means(x.T)),
}
"""From the map ``[time, bands]`` of a channel to its statistic."""


def attention_reference(kind: type[Pooling], x: np.ndarray) -> np.ndarray:
    """The share of each position of one clip ``[channels, time, bands]``."""
    _, time, bands = x.shape
    parts = np.zeros((time, bands))
    for channel in x:
        over_bands, over_time = channel.mean(1), channel.mean(0)
        highest = np.unravel_index(channel.argmax(), channel.shape)
        for t in range(time):
            for f in range(bands):
                parts[t, f] += {
                    GlobalMeanPooling: abs(channel[t, f]),
                    GlobalMaxPooling: float((t, f) == highest),
                    TimeDeviationPooling: abs(over_bands[t] - over_bands.mean()),
                    BandDeviationPooling: abs(over_time[f] - over_time.mean()),
                }[kind]
    return parts / parts.sum()


@statistics
@pytest.mark.parametrize("shape", [(7, 4), (1, 4), (6, 1)])
@torch.no_grad()
def test_equals_a_loop_over_positions(kind: type[Pooling], shape: tuple[int, int]) -> None:
    x = 3 + maps(3, CHANNELS, *shape)
    layer = kind(CHANNELS)  # type: ignore[call-arg]
    assert layer.features == CHANNELS
    pooled, attention_map = layer(x)
    assert (pooled.shape, attention_map.shape) == ((3, CHANNELS), (3, *shape))
    for row in range(3):
        clip = x[row].double().numpy()
        expected = [REFERENCES[kind](channel) for channel in clip]
        np.testing.assert_allclose(pooled[row], expected, rtol=1e-5, atol=1e-6)
        if pooled.any():  # a single row or band has no deviation, and so no share of it
            wanted = attention_reference(kind, clip)
            np.testing.assert_allclose(attention_map[row], wanted, rtol=1e-4, atol=1e-6)


@statistics
@pytest.mark.parametrize("case", ["noise", "one row", "one band", "constant", "zero"])
@torch.no_grad()
def test_attention_maps_are_shares_and_nothing_is_nan(kind: type[Pooling], case: str) -> None:
    x = {
        "noise": maps(2, CHANNELS, 7, 4),
        "one row": maps(2, CHANNELS, 1, 4),
        "one band": maps(2, CHANNELS, 7, 1),
        "constant": torch.full((2, CHANNELS, 7, 4), 0.1),
        "zero": torch.zeros(2, CHANNELS, 7, 4),
    }[case]
    pooled, attention_map = kind(CHANNELS)(x)  # type: ignore[call-arg]
    assert torch.isfinite(pooled).all()
    assert attention_map.min() >= 0
    torch.testing.assert_close(attention_map.sum((1, 2)), torch.ones(2))
    if case in ("constant", "zero") and kind in (TimeDeviationPooling, BandDeviationPooling):
        torch.testing.assert_close(pooled, torch.zeros_like(pooled))


@statistics
@pytest.mark.parametrize("value", [0.0, 0.1, -3e4])
def test_windows_of_a_constant_map_are_finite(kind: type[Pooling], value: float) -> None:
    layer = kind(CHANNELS)  # type: ignore[call-arg]
    x = torch.full((CHANNELS, 12, 4), value)
    for count in (1, 5):
        totals = windows_of(layer.operation, layer.rows(x).numpy(), np.arange(8), count)
        vectors = layer.vector(torch.from_numpy(totals), count * 4)
        expected = layer(x[None, :, :count])[0].expand(8, -1)
        torch.testing.assert_close(vectors, expected, rtol=1e-6, atol=1e-6 * max(abs(value), 1))


@torch.no_grad()
def test_all_statistics_of_a_map_side_by_side() -> None:
    layer = build_pooling("statistics", CHANNELS, softmax_over="channels", dropout=0.2)
    assert not list(layer.parameters())
    x = maps(2, CHANNELS, 7, 4)
    pooled, attention_map = layer(x)
    parts = [kind(CHANNELS)(x) for kind in STATISTICS]  # type: ignore[call-arg]
    torch.testing.assert_close(pooled, torch.cat([vector for vector, _ in parts], dim=1))
    torch.testing.assert_close(attention_map, torch.stack([one for _, one in parts]).mean(0))
    assert [type(one) for one in layer.reductions()] == list(STATISTICS)


def test_means_weigh_more_than_the_other_statistics() -> None:
    weights = statistic_weights([kind(size) for size in (2, 3) for kind in STATISTICS])  # type: ignore[call-arg]
    expected = [
        MEAN_WEIGHT if kind is GlobalMeanPooling else SPREAD_WEIGHT
        for size in (2, 3)
        for kind in STATISTICS
        for _ in range(size)
    ]
    assert weights.tolist() == expected
    assert MEAN_WEIGHT > SPREAD_WEIGHT


def test_standardised_features_are_unit_vectors() -> None:
    layer = StandardisedFeatures(4)
    x = 5 * maps(6, 4)
    layer.mean.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    layer.scale.copy_(torch.tensor([1.0, 0.5, 0.0, 10.0]))
    for row, vector in zip(layer(x).tolist(), x.tolist(), strict=True):
        scaled = [
            (value - mean) * scale
            for value, mean, scale in zip(vector, (1, 2, 3, 4), (1, 0.5, 0, 10), strict=True)
        ]
        length = sum(value**2 for value in scaled) ** 0.5
        assert row == pytest.approx([value / length for value in scaled], abs=1e-6)


def test_standardised_features_of_the_mean_are_zero_and_nothing_is_trained() -> None:
    layer = StandardisedFeatures(4)
    layer.mean.fill_(2.0)
    assert torch.equal(layer(torch.full((2, 4), 2.0)), torch.zeros(2, 4))
    assert not list(layer.parameters())
    assert set(layer.state_dict()) == {"mean", "scale"}
