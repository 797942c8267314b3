"""What both front ends do with frames, in the way that processors do it fastest."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 512
"""Frames that each processor transforms at a time: they and their spectra stay in its cache, and a
clip of 5 s is one block."""


def in_blocks(log_mel: Callable[[Tensor], Tensor], frames: Tensor) -> Tensor:
    """Apply a function of frames to some of them at a time where that is faster: on a processor.

    A batch, or a long recording, at once would wait for memory in every step. Nothing is shared
    between frames, so the result is the same.

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
    """Squares of the real and of the imaginary parts, side by side; two of them make a power.

    Complex numbers lie in memory as pairs, so squaring is one pass over neighbours, where taking
    their parts asunder would skip through memory.

    Shape:
        complex ``[..., bins] -> [..., 2 * bins]``
    """
    return torch.view_as_real(spectrum).flatten(-2).square_()
