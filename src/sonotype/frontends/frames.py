"""Fast operations on frames that both front ends share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 512
"""Frames that each thread transforms at a time: they and their spectra fit in its cache, and a clip
of 5 s is one block."""


def in_blocks(log_mel: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Apply a function of frames in blocks on a CPU, where this is faster.

    A whole batch or a long recording at once would exceed the CPU's cache in every step. Frames are
    independent, so the result is the same.

    Shape:
        ``[clips, frames, samples] -> [clips, frames, bands]``
    """
    clips, count = frames.shape[:2]
    size = BLOCK * torch.get_num_threads()
    if frames.device.type != "cpu" or clips * count <= size:
        return log_mel(frames)
    if count <= size:
        step = max(size // count, 1)
        return torch.cat([log_mel(frames[n : n + step]) for n in range(0, clips, step)])
    blocks = [
        log_mel(frames[clip, first : first + size])
        for clip in range(clips)
        for first in range(0, count, size)
    ]
    return torch.cat(blocks).view(clips, count, -1)


def squared_parts(spectrum: Tensor) -> Tensor:
    """Squares of the real and the imaginary parts, side by side; the sum of a pair is a power.

    Complex numbers are pairs in memory, so squaring reads neighbours; splitting real and imaginary
    parts would read memory with a stride.

    Shape:
        complex ``[..., bins] -> [..., 2 * bins]``
    """
    return torch.view_as_real(spectrum).flatten(-2).square_()
