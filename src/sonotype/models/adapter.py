"""Lateral adapters: 1x1 convolutions from the maps of a frozen branch to another branch.

Rusu et al., "Progressive neural networks" (2016), the paper's reference [7].
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def align(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a map: average pooling along an axis that shrinks, interpolation along one that grows.

    Shape:
        ``[batch, channels, time, frequency] -> [batch, channels, *size]``
    """
    shrunk = (min(x.shape[2], size[0]), min(x.shape[3], size[1]))
    if shrunk != tuple(x.shape[2:]):
        x = F.adaptive_avg_pool2d(x, shrunk)
    if shrunk != size:
        x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
    return x


class LateralAdapter(nn.Module):
    """1x1 convolution with ReLU, then :func:`align` to the block that the map joins.

    Shape:
        ``[batch, channels_in, time, frequency], (time', frequency')
        -> [batch, channels, time', frequency']``
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """The map with the channels and the size of the other branch."""
        return align(self.conv(x).relu(), size)
