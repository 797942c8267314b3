"""Sliding windows over a stream of samples: their number, their starts, and a buffer."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.audio.decode import Samples

Indices = npt.NDArray[np.int64]


class SampleBuffer:
    """The samples of a stream of blocks ``[samples]`` that are still needed.

    Args:
        blocks: of the stream.
        first: index of the first sample of the stream in its recording.
    """

    def __init__(self, blocks: Iterable[Samples], first: int = 0) -> None:
        self._blocks = iter(blocks)
        self._kept: Samples = np.zeros(0, dtype=np.float32)
        self._first = self._needed = first

    @property
    def end(self) -> int:
        """Index of the sample after those that have been read from the stream."""
        return self._first + len(self._kept)

    def reaches(self, end: int) -> bool:
        """Read the stream up to sample ``end``; return whether it is that long."""
        blocks = [self._kept]
        position = self.end
        while position < end:
            block = next(self._blocks, None)
            if block is None:
                break
            position += len(block)
            if position <= self._needed:  # before the next window: nothing is kept
                self._first, blocks = position, []
                continue
            blocks.append(block)
        self._kept = np.concatenate([*blocks, self._kept[:0]])
        self.forget(self._needed)
        return position >= end

    def part(self, first: int, end: int) -> Samples:
        """Samples ``first`` to ``end``; zeros after the end of the stream."""
        samples = self._kept[first - self._first : end - self._first]
        return np.pad(samples, (0, end - first - len(samples)))

    def forget(self, before: int) -> None:
        """Drop the samples before ``before``; they cannot be read again."""
        self._needed = max(before, self._needed)
        surplus = min(max(before - self._first, 0), len(self._kept))
        self._kept = self._kept[surplus:]
        self._first += surplus


def window_start(index: int | Indices, hop: float) -> Any:
    """First sample of the window with this index; works on arrays too."""
    return np.floor(np.asarray(index) * hop + 0.5).astype(np.int64)


def window_count(total: int, samples: int, hop: float) -> int:
    """Number of windows over ``total`` samples.

    The last window reaches the end or exceeds it, and begins before the end.

    Args:
        total: samples of the recording.
        samples: of a window.
        hop: samples from one start to the next.
    """
    count = max(math.ceil((total - samples) / hop) - 1, 1)
    while window_start(count - 1, hop) + samples < total:
        count += 1
    while count > 1 and window_start(count - 1, hop) >= total:
        count -= 1
    return count
