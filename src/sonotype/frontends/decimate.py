"""Decimation inside a network: from one sample rate to a whole fraction of it.

A network whose branches have different sample rates takes one waveform at the higher rate and
decimates it, so that an exported network needs no resampler. Everything outside a network resamples
with soxr.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

ATTENUATION_DB = 90.0
TRANSITION = 0.06
"""Width of the transition band as a fraction of the lower rate, half of it on each side of the new
Nyquist frequency: at 16 kHz, aliases are above 7,520 Hz, above the highest VGGish band."""

BLOCK = 64
"""Output samples computed together: one matrix product of overlapping blocks is several times
faster than a long single-channel convolution."""


class Decimate(nn.Module):
    """Low-pass (Kaiser-windowed sinc, linear phase, no delay) and keep every ``factor``-th sample.

    Shape:
        ``[..., samples] -> [..., ceil(samples / factor)]``
    """

    kernel: Tensor

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        # Kaiser's estimate of the length; the transition is TRANSITION / factor of the input rate.
        width = 2 * np.pi * TRANSITION / factor
        reach = int(np.ceil((ATTENUATION_DB - 8.0) / (2.285 * width) / 2))
        time = np.arange(-reach, reach + 1)
        taps = np.sinc(time / factor) * np.kaiser(2 * reach + 1, 0.1102 * (ATTENUATION_DB - 8.7))
        taps /= taps.sum()
        # Row j of the kernel is the filter delayed by j output samples. Output y[B m + j] reads the
        # input from B m factor on for every j, so a convolution with stride B factor and B (BLOCK)
        # output channels gives B neighbouring outputs at once.
        kernel = np.zeros((BLOCK, 1, (BLOCK - 1) * factor + len(taps)))
        for row in range(BLOCK):
            kernel[row, 0, row * factor : row * factor + len(taps)] = taps
        self.reach = reach
        self.register_buffer("kernel", torch.from_numpy(kernel).float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Waveforms at the lower rate."""
        if self.factor == 1:
            return waveform
        lead, samples = waveform.shape[:-1], waveform.shape[-1]
        wanted = -(-samples // self.factor)
        if waveform.numel() == 0:
            return waveform.new_zeros(*lead, wanted)
        blocks = -(-wanted // BLOCK)
        needed = (blocks - 1) * BLOCK * self.factor + self.kernel.shape[-1]
        rows = waveform.reshape(-1, 1, samples)
        rows = F.pad(rows, (self.reach, max(needed - samples - self.reach, 0)))
        out = F.conv1d(rows, self.kernel, stride=BLOCK * self.factor)
        return out.transpose(1, 2).reshape(*lead, -1)[..., :wanted]
