"""Windows over a stream of samples: where they start, how many there are, what they still need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.audio.decode import Samples

Indices = npt.NDArray[np.int64]


class SampleBuffer:
    """The part of a stream of samples that is still needed.

    Args:
        pieces: the stream, ``[samples]`` each.
    """

    def __init__(self, pieces: Iterable[Samples]) -> None:
        self._pieces = iter(pieces)
        self._kept: Samples = np.zeros(0, dtype=np.float32)
        self._first = self._needed = 0

    @property
    def end(self) -> int:
        """Samples that have come so far."""
        return self._first + len(self._kept)

    def reaches(self, end: int) -> bool:
        """Take in so much of the stream; whether there was as much."""
        fresh = [self._kept]
        got = self.end
        while got < end:
            piece = next(self._pieces, None)
            if piece is None:
                break
            got += len(piece)
            if got <= self._needed:  # of a long way to the next window, nothing is kept
                self._first, fresh = got, []
                continue
            fresh.append(piece)
        self._kept = np.concatenate([*fresh, self._kept[:0]])
        self.forget(self._needed)
        return got >= end

    def part(self, first: int, end: int) -> Samples:
        """Samples of the stream; silence behind its end."""
        samples = self._kept[first - self._first : end - self._first]
        return np.pad(samples, (0, end - first - len(samples)))

    def forget(self, before: int) -> None:
        """Let go of the samples before one; those are not asked for again."""
        self._needed = max(before, self._needed)
        surplus = min(max(before - self._first, 0), len(self._kept))
        self._kept = self._kept[surplus:]
        self._first += surplus


def window_start(index: int | Indices, hop: float) -> Any:
    """First sample of a window, or of several."""
    return np.floor(np.asarray(index) * hop + 0.5).astype(np.int64)


def window_count(total: int, samples: int, hop: float) -> int:
    """Windows over ``total`` samples: until the end is heard, as long as one begins before it."""
    count = 1
    if total > samples:
        count = max(math.ceil((total - samples) / hop) - 1, 1)
        while window_start(count - 1, hop) + samples < total:
            count += 1
    while count > 1 and window_start(count - 1, hop) >= total:
        count -= 1
    return count
