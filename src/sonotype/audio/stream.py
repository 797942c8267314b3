"""Read a recording of any length, a block at a time: memory does not grow with it.

The pieces in a row are what :func:`sonotype.audio.decode.read` gives, to the digit: soxr's stream
carries its filter from block to block. What differs is when an error comes: a file that breaks off
gives all that is there first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sonotype.audio.decode import (
    NO_COUNT,
    NO_NUMBERS,
    Samples,
    damaged,
    is_finite,
    mono,
    opened,
    refuse_truncated,
    short_of,
    too_short,
)
from sonotype.errors import AudioError

BLOCK = 1 << 16
"""Values (frames times channels) that are decoded at once; 4 s of mono at 16 kHz. What a damaged
block held is lost with it."""


def stream(
    source: str | Path | bytes, *, sample_rate: int | None = None, block: int = BLOCK
) -> Iterator[Samples]:
    """Decode a sound file to mono at one rate, piece by piece.

    Args:
        source: a path, or the bytes of a whole file.
        sample_rate: wanted rate in Hz; ``None`` keeps the file's own.
        block: values of the file that are decoded at once.

    Yields:
        consecutive pieces, ``[samples]`` float32 each, none of them empty.

    Raises:
        AudioError: where :func:`sonotype.audio.decode.read` raises it for the whole file; after the
            samples before the fault.

    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    with opened(source, name, whole=False) as file:
        rate, given = file.samplerate, 0
        wanted = rate if sample_rate is None else sample_rate
        resample = None if wanted == rate else soxr.ResampleStream(rate, wanted, 1, dtype="float32")
        fault: AudioError | None = None
        try:
            for samples in _blocks(file, name, max(1, block // file.channels)):
                piece = samples if resample is None else resample.resample_chunk(samples)
                given += len(piece)
                if len(piece):
                    yield piece
        except AudioError as error:
            fault = error
        except soundfile.LibsndfileError as error:
            fault = damaged(error, name)
        if resample is not None:
            rest = resample.resample_chunk(np.zeros(0, dtype=np.float32), last=True)
            given += len(rest)
            if len(rest):
                yield rest
        if fault is not None:
            raise fault
        refuse_truncated(file, source, name)
        if not given:
            raise too_short(name, wanted)


def _blocks(file: soundfile.SoundFile, name: str, frames: int) -> Iterator[Samples]:
    """Mono pieces at the file's own rate, up to its end or to what is wrong with it."""
    if file.frames <= 0:
        raise AudioError(name, "holds no samples")
    first = 0
    while first < file.frames:
        wanted = min(frames, file.frames - first)
        samples = mono(file.read(wanted, dtype="float32", always_2d=True))
        if not is_finite(samples):
            yield np.ascontiguousarray(samples[: int(np.isfinite(samples).argmin())])
            raise AudioError(name, NO_NUMBERS)
        if len(samples):
            yield np.ascontiguousarray(samples)
        first += len(samples)
        if len(samples) < wanted:
            raise short_of(file, first, name)


def stated_seconds(source: str | Path | bytes) -> float:
    """How long a recording is by its header, be it whole or not; 0 where the header does not say.

    Raises:
        AudioError: it cannot be opened.

    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    with opened(source, name, whole=False) as file:
        return 0.0 if file.frames >= NO_COUNT else float(file.frames / file.samplerate)
