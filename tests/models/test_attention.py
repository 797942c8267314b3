from __future__ import annotations

import numpy as np
import pytest
import torch
from references import attention
from torch import nn

from sonotype.models.attention import ATTENTIONS, SOFTMAX_OVER, AttentionPooling


def pooling(softmax_over: str, channels: int = 6, features: int = 5) -> AttentionPooling:
    torch.manual_seed(0)
    return ATTENTIONS[softmax_over](channels, features).eval()


def maps(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.manual_seed(seed))


@pytest.mark.parametrize("softmax_over", SOFTMAX_OVER)
@pytest.mark.parametrize("scale", [1.0, 30.0])  # at 30 the authors' form clips its weights
@torch.no_grad()
def test_equals_the_reference(softmax_over: str, scale: float) -> None:
    layer = pooling(softmax_over)
    layer.finish = nn.Identity()
    layer.score.weight *= scale
    x = maps(3, 6, 4, 2)
    pooled, attention_map = layer(x)
    assert (pooled.shape, attention_map.shape) == ((3, 5), (3, 4, 2))
    linear = [(part.weight.numpy(), part.bias.numpy()) for part in (layer.value, layer.score)]
    for row in range(3):
        expected_pooled, expected_map = attention(x[row].numpy(), *linear, softmax_over)
        np.testing.assert_allclose(pooled[row], expected_pooled, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(attention_map[row], expected_map, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_the_two_forms_differ() -> None:
    x = maps(1, 6, 4, 2)
    channels, positions = (pooling(form)(x)[1] for form in ("channels", "positions"))
    assert (channels - positions).abs().max() > 0.01


@pytest.mark.parametrize("softmax_over", SOFTMAX_OVER)
@torch.no_grad()
def test_weights_and_attention_maps_sum_to_one(softmax_over: str) -> None:
    layer = pooling(softmax_over)
    for scale in (0.0, 1.0, 1_000.0):
        weight = layer.weights(scale * maps(2, 240, 5))
        assert weight.min() >= 0
        if softmax_over == "positions":
            torch.testing.assert_close(weight.sum(1), torch.ones(2, 5))
    _, attention_map = layer(maps(2, 6, 60, 4))
    torch.testing.assert_close(attention_map.sum((1, 2)), torch.ones(2))


@torch.no_grad()
def test_equal_scores_give_the_plain_mean() -> None:
    for form in SOFTMAX_OVER:
        layer = pooling(form)
        layer.finish = nn.Identity()
        layer.score.weight.zero_()
        x = maps(2, 6, 4, 3)
        torch.testing.assert_close(layer(x)[0], layer.value(x.mean((2, 3))))


@torch.no_grad()
def test_a_position_with_a_large_score_dominates() -> None:
    layer = pooling("positions")
    layer.finish = nn.Identity()
    layer.score.weight.fill_(10.0)
    x = torch.zeros(1, 6, 4, 3)
    x[0, :, 2, 1] = 1.0
    pooled, attention_map = layer(x)
    assert attention_map[0, 2, 1] > 0.999
    torch.testing.assert_close(pooled[0], layer.value(x[0, :, 2, 1]), rtol=0, atol=1e-4)


@torch.no_grad()
def test_batch_norm_relu_and_dropout_follow_the_pooling() -> None:
    layer = pooling("channels", features=64)
    bare = pooling("channels", features=64)
    bare.load_state_dict(layer.state_dict())
    bare.eval().finish = nn.Identity()
    x = maps(8, 6, 4, 3)
    expected = torch.relu(bare(x)[0] / (1 + layer.finish[0].eps) ** 0.5)
    torch.testing.assert_close(layer(x)[0], expected)
    dropped = layer.train()(x)[0]
    assert (dropped == 0).float().mean() > (expected == 0).float().mean()


@pytest.mark.parametrize("softmax_over", SOFTMAX_OVER)
def test_gradients_reach_everything(softmax_over: str) -> None:
    layer = pooling(softmax_over).train()
    x = maps(4, 6, 4, 2).requires_grad_()
    (layer(x)[0] * maps(4, 5, seed=2)).sum().backward()
    for name, tensor in (*layer.named_parameters(), ("x", x)):
        if name == "score.bias" and softmax_over == "positions":
            continue  # a softmax does not see what all its arguments share
        if name == "value.bias":
            continue  # nor does a batch norm see an offset
        assert tensor.grad is not None, name
        assert tensor.grad.abs().max() > 1e-6, name


@pytest.mark.parametrize("softmax_over", SOFTMAX_OVER)
def test_features_are_256_by_default(softmax_over: str) -> None:
    layer = ATTENTIONS[softmax_over](512)
    assert (layer.features, layer.value.out_features, layer.score.out_features) == (256,) * 3
    assert layer.softmax_over == softmax_over
    assert layer.finish[2].p == 0.2
