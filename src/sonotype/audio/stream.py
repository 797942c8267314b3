"""Load a recording of any length in blocks; memory does not grow with its length.

The concatenated blocks equal the result of :func:`sonotype.audio.decode.load_audio` exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import gcd
from pathlib import Path

import numpy as np

from sonotype.audio.decode import LARGEST_VALUE, Samples, name_of, too_short, value_issue
from sonotype.audio.decoders.decoder import resampled
from sonotype.audio.decoders.open_sound import open_again, open_sound
from sonotype.core.errors import AudioError, TruncatedError

BLOCK = 1 << 16
"""Samples that are decoded at once; 4 s at 16 kHz. A damaged block is lost as a whole."""
FILTER_SECONDS = 0.25
"""Sound before a sample on which it depends when it is resampled; more than is needed."""


def stream(
    source: str | Path | bytes, *, sample_rate: int | None = None, block: int = BLOCK
) -> Iterator[Samples]:
    """Load a sound file as mono samples at one rate, block by block.

    Args:
        source: a path, or the bytes of a whole file.
        sample_rate: of the result in Hz; ``None`` keeps the file's own.
        block: samples of the file that are decoded at once.

    Yields:
        consecutive blocks, ``[samples]`` float32, none of them empty.

    Raises:
        AudioError: if :func:`sonotype.audio.decode.load_audio` raises it for the whole file; after
            the samples before the damage.

    """
    name = name_of(source)
    with open_sound(source, name) as file:
        new_rate = sample_rate or file.rate
        block = max(1, min(block, block * file.rate // new_rate))  # limits the resampled block too
        issue, count = "", 0

        def valid() -> Iterator[Samples]:
            nonlocal issue
            for samples in file.blocks(block):
                issue = value_issue(samples)
                if issue:
                    with np.errstate(invalid="ignore"):  # index of the first invalid sample
                        yield samples[: int((np.abs(samples) <= LARGEST_VALUE).argmin())]
                    return
                yield np.ascontiguousarray(samples)

        for samples in resampled(valid(), file.rate, new_rate):
            count += len(samples)
            if len(samples):
                yield samples
        if issue:
            raise AudioError(name, issue)
        if file.damage:
            raise TruncatedError(name, file.damage)
        if not count:
            raise too_short(name, new_rate)


def stream_from(
    read: Callable[[int], Iterator[Samples]], start: int, rates: tuple[int, int], name: str
) -> Iterator[Samples]:
    """Load a recording that can be read from any sample on; up to rounding as :func:`stream` does.

    The filter of the resampler needs sound before the start. The resampled samples lie where those
    of the whole recording do if a whole number of them precedes the first one.

    Args:
        read: gives the mono samples of the recording in blocks, from a sample of the file on.
        start: first sample, at the new rate.
        rates: of the file, and of the result, in Hz.
        name: of the recording in messages.

    Yields:
        consecutive blocks, ``[samples]`` float32, none of them empty.

    Raises:
        AudioError: invalid values, or an error of ``read``; after the samples before it.
    """
    rate, new_rate = rates
    divisor = gcd(rate, new_rate)
    before = 0 if rate == new_rate else round(FILTER_SECONDS * new_rate)
    cycles = max(start - before, 0) // (new_rate // divisor)
    surplus = start - cycles * (new_rate // divisor)
    issue = ""

    def valid() -> Iterator[Samples]:
        nonlocal issue
        for samples in read(cycles * (rate // divisor)):
            issue = value_issue(samples)
            if issue:
                return
            yield np.ascontiguousarray(samples)

    for samples in resampled(valid(), rate, new_rate):
        dropped = min(surplus, len(samples))
        surplus -= dropped
        if len(samples) > dropped:
            yield samples[dropped:]
    if issue:
        raise AudioError(name, issue)


def file_blocks(path: str | Path, start: int, block: int = BLOCK) -> Iterator[Samples]:
    """The mono samples of a file at its own rate, from a sample on.

    Args:
        path: of a file that was opened before, see :func:`open_again`.
        start: first sample.
        block: samples that are decoded at once.

    Raises:
        AudioError: it cannot be read.
        TruncatedError: it is damaged; after the samples before the damage.
    """
    name = name_of(path)
    with open_again(path, name) as file:
        if file.skip(start) == start:
            yield from file.blocks(block)
        if file.damage:
            raise TruncatedError(name, file.damage)


def stated_seconds(source: str | Path | bytes) -> float:
    """Length of a recording by its header, correct or not; 0 if the header does not say.

    Raises:
        AudioError: it cannot be opened.

    """
    with open_sound(source, name_of(source)) as file:
        return file.stated_seconds


def seconds_for_progress(path: Path) -> float:
    """:func:`stated_seconds` for a progress bar: 0 if the recording cannot be opened."""
    try:
        return stated_seconds(path)
    except Exception:  # the result of the recording says why
        return 0.0
