"""The trained branch: VGGish's six convolutions, lateral adapters, two fusion convolutions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sonotype.models.adapter import LateralAdapter
from sonotype.models.backbones.vggish import CHANNELS, CONVS, conv_block, initialise, scaled


class TrainedBranch(nn.Module):
    """Branch 2 of the paper's figure 1, with random weights.

    The channels of an adapter at block ``b``, as many as those of the block, are concatenated to
    the block's map before the next convolution. Two fusion convolutions with batch norm follow the
    last block; six and two are the paper's "8 CNN layers".

    Args:
        width: multiplier of all channels.
        lateral: for each block with an adapter (1 to 4), the channels of branch 1's map.

    Shape:
        ``[batch, 1, time, 64]`` and the lateral maps by block
        ``-> [batch, channels, time / 16, 4]``

    """

    def __init__(self, *, width: float, lateral: Mapping[int, int]) -> None:
        super().__init__()
        sizes = [scaled(channels, width) for channels in CHANNELS]
        joined = [
            size * (2 if block in lateral else 1) for block, size in enumerate(sizes, start=1)
        ]
        self.blocks = nn.ModuleList(
            conv_block(convs, before, after)
            for convs, before, after in zip(CONVS, [1, *joined[:-1]], sizes, strict=True)
        )
        self.adapters = nn.ModuleDict(
            {
                str(block): LateralAdapter(channels, sizes[block - 1])
                for block, channels in sorted(lateral.items())
            }
        )
        self.channels = sizes[-1]
        self.fusion = nn.Sequential(
            *_fusion_conv(joined[-1], self.channels), *_fusion_conv(self.channels, self.channels)
        )
        initialise(self)

    def forward(self, x: Tensor, lateral: Mapping[int, Tensor]) -> Tensor:
        """The map after the fusion convolutions."""
        for number, block in enumerate(self.blocks, start=1):
            x = block(x)
            if str(number) in self.adapters:
                size = (x.shape[2], x.shape[3])
                x = torch.cat([x, self.adapters[str(number)](lateral[number], size)], dim=1)
        fused: Tensor = self.fusion(x)
        return fused


def _fusion_conv(before: int, after: int) -> list[nn.Module]:
    conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
