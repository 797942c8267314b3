"""Squeeze-and-excitation on a long recording: a sliding mean in place of the mean of the clip.

Squeeze-and-excitation weights the channels by their mean over the whole clip. The mean over an hour
differs from the means of clips that the network was trained on, and the mean over a chunk would
make every position depend on where the chunk ends. Here each row has the mean over as many rows as
a clip has, centred on it; at the ends of the recording, over the first or last of them, as in the
window there. A map as long as a clip has one mean, that of all its rows, and this layer is then
exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sonotype.models.backbones.mobilenet import SqueezeExcitation


class SlidingSqueeze(nn.Module):
    """Weight the channels of each row by their mean around the row.

    Args:
        exact: the layer whose weights are used.
        count: number of rows of the mean.

    Shape:
        ``[batch, channels, time, frequency]``, unchanged; ``time`` is at least ``count``.
    """

    def __init__(self, exact: SqueezeExcitation, count: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = exact.fc1, exact.fc2
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """The weighted map."""
        mean = sliding_mean(x.mean(3), self.count)
        weight: Tensor = self.fc2(self.fc1(mean.transpose(1, 2)).relu()).sigmoid()
        return x * weight.transpose(1, 2).unsqueeze(3)


def sliding_mean(x: Tensor, count: int) -> Tensor:
    """Mean over ``count`` neighbours along the last axis; at the ends, over the outermost.

    Shape:
        ``[batch, channels, time] -> [batch, channels, time]``
    """
    time = x.shape[2]
    means = nn.functional.avg_pool1d(x, count, stride=1)  # of the rows from each row on
    centred = torch.arange(time, device=x.device) - count // 2
    return means[:, :, centred.clamp(0, time - count)]
