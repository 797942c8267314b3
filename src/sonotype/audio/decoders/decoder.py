"""The interface of a decoder, and generators over its samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import soxr

Samples = npt.NDArray[np.float32]
"""Mono samples, ``[samples]``."""

DAMAGED = "is damaged or truncated"
END_MISSING = "is truncated (its end is missing)"
NO_SAMPLES = "holds no samples"
READABLE = "wav, flac, ogg, opus, mp3, m4a and other formats of libsndfile and FFmpeg are read"


class NotReadableError(Exception):
    """FFmpeg's libraries cannot open the file; the text says why."""


def not_readable(cause: object) -> str:
    """The message for a file that no decoder can read."""
    return f"is not a readable sound ({cause}); {READABLE}"


class Decoder(Protocol):
    """A sound that is decoded from its start to its end.

    Attributes:
        rate: sample rate in Hz.
        frames: number of samples; ``None`` while unknown.
        damage: what is missing or damaged, in a few words; empty if nothing is. It is final when
            :meth:`read` has returned fewer samples than requested, or after :meth:`total`.
        stated_seconds: length by the header, which may be wrong; 0 if the header does not say.
    """

    @property
    def rate(self) -> int:
        """See the class."""
        ...

    @property
    def frames(self) -> int | None:
        """See the class."""
        ...

    @property
    def damage(self) -> str:
        """See the class."""
        ...

    @property
    def stated_seconds(self) -> float:
        """See the class."""
        ...

    def read(self, count: int) -> Samples:
        """Decode the next samples, ``[at most count]``; fewer only at the end."""
        ...

    def skip(self, count: int) -> int:
        """Skip samples; return how many there were."""
        ...

    def total(self) -> int:
        """Count the samples of the file; reads the rest of it."""
        ...


def blocks_of(decoder: Decoder, count: int) -> Iterator[Samples]:
    """Decode a file to its end in blocks of ``count`` samples; no block is empty."""
    while len(samples := decoder.read(count)):
        yield samples


def resampled(blocks: Iterator[Samples], rate: int, new_rate: int) -> Iterator[Samples]:
    """Resample a sound block by block.

    soxr carries the state of its filter from block to block, so the concatenated blocks equal the
    whole sound resampled at once.
    """
    if rate == new_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, new_rate, 1, dtype="float32")
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block))
    yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


class BlockBuffer:
    """Blocks of any size, read in other sizes."""

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self._blocks = blocks
        self._rest: Samples = np.zeros(0, dtype=np.float32)
        self.position = 0

    def read(self, count: int) -> Samples:
        """Return the next samples, ``[at most count]``; fewer only at the end."""
        blocks, size = [self._rest], len(self._rest)
        while size < count and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            size += len(block)
        samples = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
        self._rest = samples[count:]
        self.position += min(size, count)
        return samples[:count]

    def skip(self, count: int) -> int:
        """Drop samples; return how many there were."""
        skipped = min(len(self._rest), count)
        self._rest = self._rest[skipped:]
        while skipped < count and (block := next(self._blocks, None)) is not None:
            dropped = min(len(block), count - skipped)
            self._rest = block[dropped:]
            skipped += dropped
        self.position += skipped
        return skipped

    def skip_all(self) -> None:
        """Drop all samples to the end."""
        self.position += len(self._rest)
        self._rest = self._rest[:0]
        for block in self._blocks:
            self.position += len(block)


def mono(frames: npt.NDArray[np.float32]) -> Samples:
    """Average the channels: ``[samples, channels] -> [samples]``."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean: Samples = frames.mean(axis=1)
    return mean
