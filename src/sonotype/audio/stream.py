"""Read a recording of any length, a block at a time: memory does not grow with it.

The pieces in a row are what :func:`sonotype.audio.decode.read` gives, to the digit: soxr's stream
carries its filter from block to block. What differs is when an error comes: a file that breaks off
gives all that is there first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from sonotype.audio.decode import LARGEST_VALUE, Samples, too_short, value_fault
from sonotype.audio.readers import name_of, open_sound, pieces_of
from sonotype.core.errors import AudioError, TruncatedError

BLOCK = 1 << 16
"""Samples that are decoded at once; 4 s at 16 kHz. What a damaged block held is lost with it."""


def stream(
    source: str | Path | bytes, *, sample_rate: int | None = None, block: int = BLOCK
) -> Iterator[Samples]:
    """Decode a sound file to mono at one rate, piece by piece.

    Args:
        source: a path, or the bytes of a whole file.
        sample_rate: wanted rate in Hz; ``None`` keeps the file's own.
        block: samples of the file that are decoded at once.

    Yields:
        consecutive pieces, ``[samples]`` float32 each, none of them empty.

    Raises:
        AudioError: where :func:`sonotype.audio.decode.read` raises it for the whole file; after the
            samples before the fault.

    """
    name = name_of(source)
    with open_sound(source, name) as file:
        wanted = file.rate if sample_rate is None else sample_rate
        resample = (
            None if wanted == file.rate
            else soxr.ResampleStream(file.rate, wanted, 1, dtype="float32")
        )  # fmt: skip
        block = max(1, min(block, block * file.rate // wanted))  # what comes out is kept small
        wrong, given = "", 0
        for samples in pieces_of(file, block):
            wrong = value_fault(samples)
            if wrong:
                samples = samples[: _sound_until(samples)]
            piece = np.ascontiguousarray(samples)
            if resample is not None and len(samples):
                piece = resample.resample_chunk(piece)
            given += len(piece)
            if len(piece):
                yield piece
            if wrong:
                break
        if resample is not None:
            rest = resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
            given += len(rest)
            if len(rest):
                yield rest
        if wrong:
            raise AudioError(name, wrong)
        if file.fault:
            raise TruncatedError(name, file.fault)
        if not given:
            raise too_short(name, wanted)


def _sound_until(samples: Samples) -> int:
    """How many samples there are before the first one that is none."""
    with np.errstate(invalid="ignore"):
        return int((np.abs(samples) <= LARGEST_VALUE).argmin())


def stated_seconds(source: str | Path | bytes) -> float:
    """How long a recording is by its header, be that true or not; 0 where the header does not say.

    Raises:
        AudioError: it cannot be opened.

    """
    with open_sound(source, name_of(source)) as file:
        return file.stated_seconds
