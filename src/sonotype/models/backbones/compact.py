"""The small network: a residual network in place of the paper's pretrained branch.

It has VGGish's front end and halves time and frequency in each of four blocks, so that adapters and
attention get maps of the paper's strides, at a fiftieth of the cost. It uses a clip to its last
sample, where VGGish takes whole patches of 0.96 s. No layer reads a whole clip (there is no
squeeze), so the windows of a long recording can share its convolutions.

The 3x3 convolutions are not separable: depthwise convolutions are limited by memory bandwidth, and
a separable network with fewer multiply-adds was slower in training and in inference.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition" (2016).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from sonotype.frontends.vggish_logmel import VGGishLogMel

CHANNELS = (16, 32, 64, 128)
RESIDUALS = (0, 1, 1, 2)
"""Channels of each block, and how many residual pairs of convolutions follow its first one."""
FIRST_KERNEL = 5


class ResidualPair(nn.Module):
    """Two 3x3 convolutions beside the identity.

    Shape:
        ``[batch, channels, time, frequency]``, unchanged.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_conv(channels, channels, 3), nn.ReLU(), *_conv(channels, channels, 3)
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The map plus the result of both convolutions."""
        out: Tensor = self.activation(x + self.layers(x))
        return out


class Compact(nn.Module):
    """Four blocks: a convolution of stride 2, then residual pairs.

    Shape:
        :meth:`prepare` ``[batch, frames, 64] -> [batch, 1, frames, 64]``;
        block ``b`` (1 to 4) ``-> [batch, channels[b - 1], ceil(frames / 2**b), 64 / 2**b]``.
        5 s end as ``[batch, 128, 32, 4]``.
    """

    sample_rate = VGGishLogMel.sample_rate
    licence = ""  # of no one else's weights
    strides = (2, 4, 8, 16)  # frames of 10 ms to a row of each block

    def __init__(self) -> None:
        super().__init__()
        self.front_end = VGGishLogMel(pad_end=True)
        self.channels = CHANNELS
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *_conv(before, after, FIRST_KERNEL if before == 1 else 3, stride=2),
                nn.ReLU(),
                *(ResidualPair(after) for _ in range(pairs)),
            )
            for (before, after), pairs in zip(pairwise((1, *CHANNELS)), RESIDUALS, strict=True)
        )

    def prepare(self, log_mel: Tensor) -> Tensor:
        """Input of the first block: all frames, with the channel axis."""
        return log_mel.unsqueeze(-3)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Maps after every block, of waveforms ``[batch, samples]`` at 16 kHz."""
        maps = [self.prepare(self.front_end(waveform))]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps[1:]


def _conv(
    before: int, after: int, kernel: int, *, stride: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(after)
