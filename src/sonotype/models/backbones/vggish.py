"""VGGish up to its last convolution, with the map after every block.

Hershey et al., "CNN architectures for large-scale audio classification" (2017). The dense layers
behind the convolutions belong to the original's 128-d embedding and are not used by the paper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sonotype.frontends.vggish_logmel import VGGishLogMel

CHANNELS = (64, 128, 256, 512)
CONVS = (1, 1, 2, 2)
PATCH = 96
"""Frames of a patch (0.96 s). The paper stacks patches, so a clip is cut to whole ones."""

_PUBLIC_CONVS = {0: "0.0", 3: "1.0", 6: "2.0", 8: "2.2", 11: "3.0", 13: "3.2"}


def scaled(channels: int, width: float) -> int:
    """Channels at a width multiplier, at least 8."""
    return max(8, round(channels * width))


def conv_block(convs: int, channels_in: int, channels: int) -> nn.Sequential:
    """Some 3x3 convolutions with ReLU, and 2x2 max pooling at the end.

    The last ReLU comes after the pooling: the same values, of a quarter of the map.
    """
    layers: list[nn.Module] = []
    for _ in range(convs):
        layers += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(inplace=True)]
        channels_in = channels
    layers.insert(-1, nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def stack_patches(log_mel: Tensor) -> Tensor:
    """Crop log-mels to whole patches of 0.96 s, stacked in time, and add the channel axis.

    Shape:
        ``[..., frames, 64] -> [..., 1, 96 * (frames // 96), 64]``
    """
    frames = log_mel.shape[-2] // PATCH * PATCH
    return log_mel[..., :frames, :].unsqueeze(-3)


class VGGish(nn.Module):
    """Six convolutions in four blocks; with its own front end and sample rate.

    Args:
        width: multiplier of every block's channels; the pretrained network has 1.

    Shape:
        :meth:`prepare` ``[batch, frames, 64] -> [batch, 1, time, 64]``;
        block ``b`` (1 to 4) ``-> [batch, channels[b - 1], time / 2**b, 64 / 2**b]``.
        5 s end as ``[batch, 512, 30, 4]``.

    """

    sample_rate = VGGishLogMel.sample_rate
    licence = "Apache-2.0"
    strides = (2, 4, 8, 16)  # frames of 10 ms to a row of each block

    def __init__(self, *, width: float = 1.0) -> None:
        super().__init__()
        self.front_end = VGGishLogMel()
        self.channels = tuple(scaled(channels, width) for channels in CHANNELS)
        inputs = (1, *self.channels[:-1])
        self.blocks = nn.ModuleList(
            conv_block(convs, before, after)
            for convs, before, after in zip(CONVS, inputs, self.channels, strict=True)
        )

    def prepare(self, log_mel: Tensor) -> Tensor:
        """Input of the first block, see :func:`stack_patches`."""
        return stack_patches(log_mel)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Maps after every block, of waveforms ``[batch, samples]`` at 16 kHz."""
        maps = [self.prepare(self.front_end(waveform))]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps[1:]

    @staticmethod
    def rename(public: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """State dict of this class from a public one, with names ``features.N.*``.

        The dense layers (``embeddings.*``) are left out; unknown names stay, so that a strict load
        refuses them.
        """
        renamed = {}
        for name, tensor in public.items():
            if name.startswith("embeddings."):
                continue
            match = re.fullmatch(r"features\.(\d+)\.(weight|bias)", name)
            if match and int(match[1]) in _PUBLIC_CONVS:
                name = f"blocks.{_PUBLIC_CONVS[int(match[1])]}.{match[2]}"
            renamed[name] = tensor
        return renamed


def initialise(module: nn.Module) -> None:
    """He's normal initialisation of every convolution under ``module``, biases zero.

    ReLU convolutions without batch norm need it: with PyTorch's default, the signal shrinks by
    about a factor of two in each layer.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                torch.nn.init.zeros_(layer.bias)
