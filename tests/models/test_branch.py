from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sonotype.models.backbones.vggish import CHANNELS, VGGish, initialise, scaled
from sonotype.models.branch import TrainedBranch


def convs_of(branch: TrainedBranch) -> list[nn.Conv2d]:
    """The branch's own convolutions, adapters left out."""
    own = (branch.blocks, branch.fusion)
    return [layer for part in own for layer in part.modules() if isinstance(layer, nn.Conv2d)]


@pytest.mark.parametrize("width", [0.05, 0.125, 0.5, 1.0])
def test_eight_convolutions(width: float) -> None:
    branch = TrainedBranch(width=width, lateral={})
    convs = convs_of(branch)
    a, b, c, d = (scaled(channels, width) for channels in CHANNELS)
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [
        (1, a), (a, b), (b, c), (c, c), (c, d), (d, d), (d, d), (d, d)
    ]  # fmt: skip
    assert all(conv.kernel_size == (3, 3) and conv.padding == (1, 1) for conv in convs)
    assert branch.channels == d
    norms = [layer for layer in branch.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == 2


def test_scaled_channels() -> None:
    assert [scaled(channels, 1.0) for channels in CHANNELS] == [64, 128, 256, 512]
    assert [scaled(channels, 0.05) for channels in CHANNELS] == [8, 8, 13, 26]


@pytest.mark.parametrize("blocks", [(), (1,), (2,), (3,), (4,), (1, 3), (1, 2, 3, 4)])
def test_adapters_double_what_the_next_convolution_sees(blocks: tuple[int, ...]) -> None:
    sizes = [8, 16, 32, 64]
    lateral = {block: 10 * block for block in blocks}
    branch = TrainedBranch(width=0.125, lateral=lateral)
    assert list(branch.adapters) == [str(block) for block in blocks]
    for block in blocks:
        weight = branch.adapters[str(block)].conv.weight
        assert tuple(weight.shape) == (sizes[block - 1], 10 * block, 1, 1)
    followers = [*branch.blocks[1:], branch.fusion]
    firsts = [part[0].in_channels for part in followers]
    expected = [size * (1 + (number in blocks)) for number, size in enumerate(sizes, start=1)]
    assert firsts == expected
    x = torch.randn(2, 1, 96, 64)
    maps = {block: torch.randn(2, 10 * block, 7, 5) for block in blocks}
    assert branch(x, maps).shape == (2, 64, 6, 4)


@torch.no_grad()
def test_each_lateral_map_matters_and_others_do_not() -> None:
    torch.manual_seed(0)
    branch = TrainedBranch(width=0.125, lateral={1: 3, 3: 3}).eval()
    x = torch.randn(1, 1, 96, 64)
    maps = {block: torch.randn(1, 3, 12, 8) for block in (1, 2, 3, 4)}
    expected = branch(x, maps)
    for block in (1, 2, 3, 4):
        changed = branch(x, {**maps, block: maps[block] + 1})
        assert torch.equal(changed, expected) == (block in (2, 4))


@torch.no_grad()
def test_he_initialisation_keeps_the_signal_alive() -> None:
    torch.manual_seed(0)
    network = VGGish(width=0.5)
    initialise(network)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            expected = math.sqrt(2 / layer.weight[0].numel())
            assert layer.weight.std() == pytest.approx(expected, rel=0.1)
            assert not layer.bias.any()
    x = torch.randn(2, 1, 96, 64)
    for block in network.blocks:
        x = block(x)
    assert 0.3 < x.square().mean() < 30
