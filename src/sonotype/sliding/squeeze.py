"""MobileNet on a long recording: each moment weighed by the sound around it, not by all of it.

Squeeze-and-excitation weighs the channels by the mean of the whole clip. On a recording of an hour
that mean would be another thing than on the clips that the network knows, and where a chunk ends
would matter to every position in it. Here each row has the mean over as many rows as a clip has,
centred on it; at the ends of the recording over the first or last so many, as in the window there.
A map as long as a clip has one such mean, that of all its rows: then this layer is the exact one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sonotype.models.backbones.mobilenet import SqueezeExcitation


class SlidingSqueeze(nn.Module):
    """Weigh the channels by what each row's surroundings hold of them.

    Args:
        exact: the layer whose weights this one uses.
        count: rows of the mean.

    Shape:
        ``[batch, channels, time, frequency]``, unchanged; ``time`` is at least ``count``.
    """

    def __init__(self, exact: SqueezeExcitation, count: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = exact.fc1, exact.fc2
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """The weighed map."""
        mean = sliding_mean(x.mean(3), self.count)
        weight: Tensor = self.fc2(self.fc1(mean.transpose(1, 2)).relu()).sigmoid()
        return x * weight.transpose(1, 2).unsqueeze(3)


def sliding_mean(x: Tensor, count: int) -> Tensor:
    """Mean over ``count`` neighbours along the last axis, those at the ends over the outermost.

    Shape:
        ``[batch, channels, time] -> [batch, channels, time]``
    """
    time = x.shape[2]
    means = nn.functional.avg_pool1d(x, count, stride=1)  # of the rows from each row on
    centred = torch.arange(time, device=x.device) - count // 2
    return means[:, :, centred.clamp(0, time - count)]


def shared_copy(module: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """The same network with some layers replaced; all parameters are those of the original."""
    if module in replaced:
        return replaced[module]
    twin = copy.copy(module)
    children = {
        name: None if child is None else shared_copy(child, replaced)
        for name, child in module._modules.items()
    }
    twin.__dict__["_modules"] = children
    return twin
