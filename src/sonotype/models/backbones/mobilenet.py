"""The EfficientAT family mn01 to mn40: MobileNetV3-Large at other widths, trained on AudioSet.

Howard et al., "Searching for MobileNetV3" (2019); Schmid, Koutini, Widmer, "Efficient large-scale
audio tagging via transformer-to-CNN knowledge distillation" (2023).

The public weights are for spectrograms [frequency, time]; every map of this project is
[time, frequency]. Transposing the kernels once at loading (:meth:`MobileNet.rename`) gives the same
network on transposed maps.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

from sonotype.frontends.efficientat_logmel import EfficientATLogMel

AUDIOSET_CLASSES = 527


class Row(NamedTuple):
    """One inverted residual of the published table, at width 1."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    hardswish: bool
    stride: int


STEM = 16
TABLE = (
    Row(3, 16, 16, False, False, 1),
    Row(3, 64, 24, False, False, 2),
    Row(3, 72, 24, False, False, 1),
    Row(5, 72, 40, True, False, 2),
    Row(5, 120, 40, True, False, 1),
    Row(5, 120, 40, True, False, 1),
    Row(3, 240, 80, False, True, 2),
    Row(3, 200, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 184, 80, False, True, 1),
    Row(3, 480, 112, True, True, 1),
    Row(3, 672, 112, True, True, 1),
    Row(5, 672, 160, True, True, 2),
    Row(5, 960, 160, True, True, 1),
    Row(5, 960, 160, True, True, 1),
)
LAST_EXPANSION = 6
HIDDEN = 1280

# Public layer 0 is the stem, 1 to 15 the table, 16 the last convolution. Four blocks end where the
# stride has become 4, 8, 16 and 32: with twice VGGish's bands, the heights of the maps then agree.
BLOCK_STARTS = (0, 4, 7, 13, 17)


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of the divisor, never below 90 %."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _conv(
    before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(after, eps=1e-3, momentum=0.01)


def _activation(hardswish: bool) -> nn.Module:
    return nn.Hardswish() if hardswish else nn.ReLU()


class SqueezeExcitation(nn.Module):
    """Weight the channels by a function of their means over the whole map.

    Shape:
        ``[batch, channels, time, frequency]``, unchanged.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = make_divisible(channels // 4)
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        """The weighted map."""
        weight: Tensor = self.fc2(self.fc1(x.mean((2, 3))).relu()).sigmoid()
        return x * weight[:, :, None, None]


class InvertedResidual(nn.Module):
    """Expand by a 1x1 conv, filter each channel, weight the channels, project; add the input."""

    def __init__(self, row: Row, before: int, expanded: int, after: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != before:
            layers.append(nn.Sequential(*_conv(before, expanded, 1), _activation(row.hardswish)))
        depthwise = _conv(expanded, expanded, row.kernel, stride=row.stride, groups=expanded)
        layers.append(nn.Sequential(*depthwise, _activation(row.hardswish)))
        if row.squeeze:
            layers.append(SqueezeExcitation(expanded))
        layers.append(nn.Sequential(*_conv(expanded, after, 1)))
        self.layers = nn.Sequential(*layers)
        self.residual = row.stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, before, time, frequency] -> [batch, after, time / stride, ...]``."""
        out: Tensor = self.layers(x)
        return x + out if self.residual else out


class MobileNet(nn.Module):
    """An ``mnXX`` network in four blocks; with its own front end and sample rate.

    Args:
        width: 0.1 for mn01 to 4.0 for mn40.
        tagger: whether to build the 527 AudioSet outputs; the systems need only the maps.

    Shape:
        :meth:`prepare` ``[batch, 128, frames] -> [batch, 1, frames, 128]``; block ``b`` (1 to 4)
        ``-> [batch, channels[b - 1], ceil(frames / 2**(b + 1)), 128 / 2**(b + 1)]``.
        5 s end as ``[batch, 960 width, 16, 4]``.

    """

    sample_rate = EfficientATLogMel.sample_rate
    licence = "MIT"
    strides = (4, 8, 16, 32)  # frames of 10 ms to a row of each block

    def __init__(self, *, width: float, tagger: bool = False) -> None:
        super().__init__()
        self.front_end = EfficientATLogMel()
        stem = make_divisible(STEM * width)
        layers: list[nn.Module] = [nn.Sequential(*_conv(1, stem, 3, stride=2), nn.Hardswish())]
        outs = [stem]
        for row in TABLE:
            expanded, out = make_divisible(row.expanded * width), make_divisible(row.out * width)
            layers.append(InvertedResidual(row, outs[-1], expanded, out))
            outs.append(out)
        outs.append(LAST_EXPANSION * outs[-1])
        layers.append(nn.Sequential(*_conv(outs[-2], outs[-1], 1), nn.Hardswish()))
        ranges = list(pairwise(BLOCK_STARTS))
        self.blocks = nn.ModuleList(nn.Sequential(*layers[start:end]) for start, end in ranges)
        self.channels = tuple(outs[end - 1] for _, end in ranges)
        hidden = make_divisible(HIDDEN * width)
        self.tagger = nn.Sequential(
            nn.Linear(outs[-1], hidden),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(hidden, AUDIOSET_CLASSES),
        ) if tagger else None  # fmt: skip

    def prepare(self, log_mel: Tensor) -> Tensor:
        """Transpose log-mels to time by frequency and add the channel axis."""
        return log_mel.transpose(-1, -2).unsqueeze(-3)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Maps after every block, of waveforms ``[batch, samples]`` at 32 kHz."""
        maps = [self.prepare(self.front_end(waveform))]
        for block in self.blocks:
            maps.append(block(maps[-1]))
        return maps[1:]

    def tag(self, waveform: Tensor) -> Tensor:
        """AudioSet logits ``[batch, 527]``; only of a network built with ``tagger=True``."""
        if self.tagger is None:
            raise ValueError("this network was built without the tagger")
        logits: Tensor = self.tagger(self.forward(waveform)[-1].mean((2, 3)))
        return logits

    @staticmethod
    def rename(public: Mapping[str, Tensor], *, tagger: bool = False) -> dict[str, Tensor]:
        """State dict of this class from a public one, kernels transposed.

        Unknown names stay, so that a strict load refuses them.
        """
        renamed = {}
        for name, tensor in public.items():
            if name.startswith("classifier."):
                if tagger:
                    layer, kind = name.removeprefix("classifier.").split(".")
                    renamed[f"tagger.{int(layer) - 2}.{kind}"] = tensor
                continue
            name = _own_name(name)
            renamed[name] = tensor.transpose(2, 3).contiguous() if tensor.ndim == 4 else tensor
        return renamed


def _own_name(name: str) -> str:
    match = re.fullmatch(r"features\.(\d+)\.(.+)", name)
    if not match or int(match[1]) >= BLOCK_STARTS[-1]:
        return name
    layer = int(match[1])
    block = sum(layer >= start for start in BLOCK_STARTS) - 1
    rest = re.sub(r"^block\.", "layers.", match[2]).replace(".conc_se_layers.0.", ".")
    return f"blocks.{block}.{layer - BLOCK_STARTS[block]}.{rest}"
