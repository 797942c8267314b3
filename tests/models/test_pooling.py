"""The poolings beside attention, against slow reference implementations and attention itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from references import Array, global_maximum, mean_of_values, values_at
from torch import nn

from sonotype.models.attention import ChannelAttention, PositionAttention
from sonotype.models.pooling import (
    POOLINGS,
    MaxPooling,
    MeanPooling,
    PooledTogether,
    build_pooling,
)
from sonotype.models.statistics import GlobalMaxPooling

REFERENCES: dict[type, Callable[..., tuple[Array, Array]]] = {
    MeanPooling: mean_of_values,
    MaxPooling: lambda x, value: global_maximum(values_at(x, value)),
}


def pooling(kind: type, features: int = 5, *, bare: bool = True) -> nn.Module:
    """A pooling of maps of 6 channels; bare, what comes before batch norm, ReLU and dropout."""
    torch.manual_seed(0)
    layer = kind(6, features).eval()
    if bare:
        layer.finish = nn.Identity()
    return layer


def maps(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("kind", REFERENCES)
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_equals_the_reference(kind: type, training: bool) -> None:
    layer = pooling(kind).train(training)
    x = maps(3, 6, 4, 2)
    pooled, attention_map = layer(x)
    assert (pooled.shape, attention_map.shape) == ((3, 5), (3, 4, 2))
    for row in range(3):
        linear = (layer.value.weight.numpy(), layer.value.bias.numpy())
        expected_pooled, expected_map = REFERENCES[kind](x[row].numpy(), linear)
        if training and kind is MeanPooling:  # not computed in training
            expected_map = np.full((4, 2), 1 / 8)
        np.testing.assert_allclose(pooled[row], expected_pooled, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(attention_map[row], expected_map, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_the_mean_is_attention_with_one_score_for_all_positions() -> None:
    mean = pooling(MeanPooling, bare=False)
    attention = PositionAttention(6, 5).eval()
    attention.load_state_dict(mean.state_dict() | attention.score.state_dict(prefix="score."))
    attention.score.weight.zero_()
    x = maps(3, 6, 7, 4)
    for one, other in zip(mean(x), attention(x), strict=True):
        torch.testing.assert_close(one, other)


@torch.no_grad()
def test_vectors_of_poolings_together_are_concatenated() -> None:
    torch.manual_seed(0)
    parts = [ChannelAttention(6, 5), MeanPooling(6, 3)]
    together = PooledTogether(parts).eval()
    assert together.features == 8
    x = maps(2, 6, 4, 3)
    pooled, attention_map = together(x)
    pairs = [part(x) for part in parts]
    assert torch.equal(pooled[:, :5], pairs[0][0])
    assert torch.equal(pooled[:, 5:], pairs[1][0])
    torch.testing.assert_close(attention_map, (pairs[0][1] + pairs[1][1]) / 2)


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_attention_maps_sum_to_one(name: str, training: bool) -> None:
    torch.manual_seed(0)
    layer = build_pooling(name, 6, softmax_over="channels", dropout=0.2)  # type: ignore[arg-type]
    for scale in (1e-3, 1.0, 1e3):
        pooled, attention_map = layer.train(training)(scale * maps(2, 6, 60, 4))
        assert pooled.shape == (2, layer.features)
        torch.testing.assert_close(attention_map.sum((1, 2)), torch.ones(2))
        assert attention_map.min() >= 0


@pytest.mark.parametrize("kind", REFERENCES)
@torch.no_grad()
def test_batch_norm_relu_and_dropout_follow_the_pooling(kind: type) -> None:
    layer = pooling(kind, 64, bare=False)
    x = maps(8, 6, 4, 3)
    expected = torch.relu(pooling(kind, 64)(x)[0] / (1 + layer.finish[0].eps) ** 0.5)
    torch.testing.assert_close(layer(x)[0], expected)
    dropped = layer.train()(x)[0]
    assert (dropped == 0).float().mean() > (expected == 0).float().mean()


@pytest.mark.parametrize("kind", REFERENCES)
def test_gradients_reach_everything(kind: type) -> None:
    layer = pooling(kind, bare=False).train()
    x = maps(4, 6, 4, 2).requires_grad_()
    (layer(x)[0] * maps(4, 5, seed=2)).sum().backward()
    for name, tensor in (*layer.named_parameters(), ("x", x)):
        if name == "value.bias":
            continue  # a batch norm does not see it
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 1e-6, name


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("attention", [PositionAttention]),
        ("mean", [MeanPooling]),
        ("max", [MaxPooling]),
        ("attention_mean", [PositionAttention, MeanPooling]),
    ],
)
def test_poolings_by_their_names(name: str, kinds: list[type]) -> None:
    layer = build_pooling(name, 96, softmax_over="positions", dropout=0.5)  # type: ignore[arg-type]
    parts = list(layer.parts) if isinstance(layer, PooledTogether) else [layer]
    assert [type(part) for part in parts] == kinds
    assert layer.features == 256 * len(kinds)
    for part in parts:
        assert (part.value.in_features, part.value.out_features) == (96, 256)
        assert part.finish[2].p == 0.5


@pytest.mark.parametrize(
    ("name", "form", "texts"),
    [
        ("median", "channels", ("pooling", "'median'", "attention_mean")),
        ("attention", "time", ("softmax_over", "'time'", "positions")),
    ],
)
def test_unknown_names_are_refused(name: str, form: str, texts: tuple[str, ...]) -> None:
    with pytest.raises(ValueError) as caught:
        build_pooling(name, 6, softmax_over=form, dropout=0.2)  # type: ignore[arg-type]
    assert all(text in str(caught.value) for text in texts)


def test_global_maxima_equal_the_reference() -> None:
    x = maps(3, 7, 5, 4)
    pooled, attention_map = GlobalMaxPooling(7)(x)
    for row in range(3):
        expected_pooled, expected_map = global_maximum(x[row].numpy())
        np.testing.assert_allclose(pooled[row], expected_pooled)
        np.testing.assert_allclose(attention_map[row], expected_map, atol=1e-6)
    torch.testing.assert_close(attention_map.sum((1, 2)), torch.ones(3))


def test_gradients_of_maxima_reach_one_position_a_channel() -> None:
    x = maps(2, 7, 5, 4).requires_grad_()
    GlobalMaxPooling(7)(x)[0].sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad.sum((2, 3)), torch.ones(2, 7))
    assert torch.count_nonzero(x.grad) == 14
