"""The base class of the decoders, and helpers for blocks of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import soxr

from sonotype.core.errors import AudioError

Samples = npt.NDArray[np.float32]
"""Mono samples, ``[samples]``."""

DAMAGED = "is damaged or truncated"
END_MISSING = "is truncated (its end is missing)"
NO_SAMPLES = "holds no samples"
READABLE = "wav, flac, ogg, opus, mp3, m4a and other formats of libsndfile and FFmpeg are read"

_BLOCK = 1 << 16
"""Samples that are decoded at once to skip or to join sounds."""

_LARGE_RATIO = 1000
"""Sounds whose sample rates have a larger ratio are not joined: one of the rates is wrong, and the
joined sound would be this much longer."""

_LEAST_BLOCK, _MOST_RESULT = 64, 1 << 20
"""For larger ratios soxr gets blocks of at least so many samples: it never returns from a block of
one sample at 1 Hz. It gets at most as many as make so many samples of the result."""


class NotReadableError(AudioError):
    """FFmpeg's libraries cannot open the file; libsndfile may."""


def not_readable(reason: str) -> str:
    """The cause for a file that no decoder can read."""
    return f"is not a readable sound ({reason}); {READABLE}"


class Decoder:
    """A sound that is decoded from its start to its end.

    Args:
        blocks: consecutive samples.

    Attributes:
        rate: sample rate in Hz.
        frames: number of samples; ``None`` while unknown.
        damage: what is missing or damaged, in a few words; empty if nothing is. It is final when
            :meth:`read` has returned fewer samples than requested, or after :meth:`total`.
        stated_seconds: length by the header, which may be wrong; 0 if the header does not say.
        seeks: whether :meth:`skip` is fast and exact.
    """

    def __init__(self, blocks: Iterator[Samples]) -> None:
        self.rate = 0
        self.frames: int | None = None
        self.damage = ""
        self.stated_seconds = 0.0
        self.seeks = False
        self._blocks = blocks
        self._rest: Samples = np.zeros(0, dtype=np.float32)
        self._position = 0

    def read(self, count: int) -> Samples:
        """Decode the next samples, ``[at most count]``; fewer only at the end."""
        blocks, size = [self._rest], len(self._rest)
        while size < count and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            size += len(block)
        samples = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
        self._rest = samples[count:]
        self._position += min(size, count)
        if size < count and self.frames is None:
            self.frames = self._position
        return samples[:count]

    def skip(self, count: int) -> int:
        """Skip samples; return how many there were."""
        skipped = 0
        while skipped < count and len(samples := self.read(min(count - skipped, _BLOCK))):
            skipped += len(samples)
        return skipped

    def skip_about(self, count: int) -> int:
        """Skip samples, fast rather than exactly; return about how many there were.

        In damaged files the samples that follow may be others than after :meth:`skip`. Afterwards
        :attr:`damage` and :meth:`total` may be wrong.
        """
        return self.skip(count)

    def total(self) -> int:
        """Count the samples of the file; may read the rest of it."""
        while self.frames is None:
            self.skip(_BLOCK)
        return self.frames

    def blocks(self, count: int) -> Iterator[Samples]:
        """Decode the file to its end in blocks of ``count`` samples; no block is empty."""
        while len(samples := self.read(count)):
            yield samples


class JoinedDecoder(Decoder):
    """Several sounds one after the other, at the rate of the first: concatenated WAV files."""

    def __init__(self, decoders: Sequence[Decoder]) -> None:
        super().__init__(self._join(decoders))
        self.rate = decoders[0].rate
        self.damage = next((decoder.damage for decoder in decoders if decoder.damage), "")
        self.stated_seconds = sum(decoder.stated_seconds for decoder in decoders)

    def _join(self, decoders: Sequence[Decoder]) -> Iterator[Samples]:
        for decoder in decoders:
            if self.rate > _LARGE_RATIO * decoder.rate:
                rates = f"{self.rate} and {decoder.rate} Hz"
                self.damage = self.damage or f"{DAMAGED} (its parts have rates of {rates})"
                return
            yield from resampled(decoder.blocks(_BLOCK), decoder.rate, self.rate)
            self.damage = self.damage or decoder.damage


def resampled(blocks: Iterator[Samples], rate: int, new_rate: int) -> Iterator[Samples]:
    """Resample a sound block by block.

    soxr carries the state of its filter from block to block, so the concatenated blocks equal the
    whole sound resampled at once.
    """
    if rate == new_rate:
        yield from blocks
        return
    resampler = soxr.ResampleStream(rate, new_rate, 1, dtype="float32")
    if new_rate > _LARGE_RATIO * rate:
        blocks = _joined(blocks, _LEAST_BLOCK)
    most = max(_LEAST_BLOCK, _MOST_RESULT * rate // new_rate)
    for block in blocks:
        for start in range(0, len(block), most):
            yield resampler.resample_chunk(np.ascontiguousarray(block[start : start + most]))
    yield resampler.resample_chunk(np.zeros(0, dtype=np.float32), last=True)


def _joined(blocks: Iterator[Samples], count: int) -> Iterator[Samples]:
    """Blocks of at least so many samples, except for the last one."""
    waiting: list[Samples] = []
    for block in blocks:
        waiting.append(block)
        if sum(map(len, waiting)) >= count:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def mono(frames: npt.NDArray[np.float32]) -> Samples:
    """Average the channels: ``[samples, channels] -> [samples]``."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean: Samples = frames.mean(axis=1)
    return mean
