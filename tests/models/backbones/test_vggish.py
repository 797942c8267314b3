from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvggish.torchvggish import make_layers

from sonotype.models.backbones.vggish import VGGish, stack_patches

POOLS = (2, 5, 10, 15)  # where the public layers pool


@pytest.fixture(scope="module")
def public() -> nn.Sequential:
    torch.manual_seed(0)
    return make_layers()


def public_state(layers: nn.Sequential) -> dict[str, Tensor]:
    return {f"features.{name}": tensor for name, tensor in layers.state_dict().items()}


@torch.no_grad()
def test_equals_torchvggish_block_by_block(public: nn.Sequential) -> None:
    ours = VGGish()
    ours.load_state_dict(VGGish.rename(public_state(public)))
    x = torch.randn(2, 1, 96, 64)
    theirs = x
    maps = [x]
    for block in ours.blocks:
        maps.append(block(maps[-1]))
    expected = []
    for index, layer in enumerate(public):
        theirs = layer(theirs)
        if index in POOLS:
            expected.append(theirs)
    assert len(expected) == len(maps[1:]) == 4
    for actual, wanted in zip(maps[1:], expected, strict=True):
        torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-7)


@torch.no_grad()
def test_maps_of_a_waveform() -> None:
    torch.manual_seed(0)
    network = VGGish(width=0.125)
    waveform = torch.randn(2, 80_000)
    maps = network(waveform)
    shapes = [(2, 8, 240, 32), (2, 16, 120, 16), (2, 32, 60, 8), (2, 64, 30, 4)]
    assert [tuple(x.shape) for x in maps] == shapes
    x = network.prepare(network.front_end(waveform))
    for block, expected in zip(network.blocks, maps, strict=True):
        x = block(x)
        assert torch.equal(x, expected)


def test_the_published_network_has_these_shapes() -> None:
    with torch.device("meta"):
        network = VGGish()
    assert network.channels == (64, 128, 256, 512)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_499_712
    assert (network.sample_rate, network.licence) == (16_000, "Apache-2.0")


@pytest.mark.parametrize(("frames", "kept"), [(95, 0), (96, 96), (191, 96), (498, 480)])
def test_clips_are_cut_to_whole_patches(frames: int, kept: int) -> None:
    log_mel = torch.randn(2, frames, 64)
    stacked = stack_patches(log_mel)
    assert stacked.shape == (2, 1, kept, 64)
    assert torch.equal(stacked[:, 0], log_mel[:, :kept])


def test_renaming_leaves_out_the_dense_layers_and_nothing_else(public: nn.Sequential) -> None:
    state = public_state(public)
    extra = {"embeddings.0.weight": torch.zeros(1), "features.7.weight": torch.zeros(1)}
    renamed = VGGish.rename({**state, **extra})
    assert "features.7.weight" in renamed
    assert len(renamed) == len(state) + 1
    assert set(renamed) - {"features.7.weight"} == set(VGGish().state_dict())
    assert torch.equal(renamed["blocks.3.2.bias"], state["features.13.bias"])


def test_a_strict_load_refuses_other_names(public: nn.Sequential) -> None:
    state = public_state(public)
    network = VGGish()
    missing = {name: tensor for name, tensor in state.items() if name != "features.8.bias"}
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "blocks\.2\.2\.bias"'):
        network.load_state_dict(VGGish.rename(missing))
    extra = {**state, "features.14.bias": torch.zeros(1)}
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) .*"features\.14\.bias"'):
        network.load_state_dict(VGGish.rename(extra))
