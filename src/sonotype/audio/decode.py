"""Decode a sound, or a part of one, to mono samples at a wanted rate."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from sonotype.audio.readers import Samples, mono, name_of, open_sound, pieces_of
from sonotype.core.errors import AudioError, TruncatedError

__all__ = [
    "Audio",
    "Samples",
    "from_array",
    "read",
    "seconds_of",
    "value_fault",
    "verify",
]  # fmt: skip

NO_NUMBERS = "holds values that are no numbers (NaN or infinite)"

LARGEST_VALUE = 1e4
"""Times full scale. Louder samples are not sound: a wrong type, or integers kept as floats."""

# Samples of a file that is decoded only to see whether it can be.
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Audio:
    """Mono samples and where they come from.

    Attributes:
        samples: ``[samples]`` float32, nominally within [-1, 1].
        sample_rate: of ``samples``, in Hz.
        file_seconds: length of the whole recording in seconds, of which ``samples`` may be a part.
        truncated: what is missing of the recording, in a few words; empty where nothing is.
        trimmed: whether ``samples`` are cut out of the recording without its silent ends.

    """

    samples: Samples
    sample_rate: int
    file_seconds: float
    truncated: str = ""
    trimmed: bool = False


def read(
    source: str | Path | bytes,
    *,
    sample_rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    partial: bool = False,
) -> Audio:
    """Decode a file, or a part of it, to mono at one rate.

    WAV, FLAC and Ogg files with true headers are not read before the part; others are decoded from
    their start.

    Args:
        source: a path, or the bytes of a whole file.
        sample_rate: wanted rate in Hz; ``None`` keeps the file's own.
        start: where the part begins, in seconds.
        duration: how long the part is, in seconds; ``None`` for all that follows. A part that
            reaches past the end is as long as the file allows.
        partial: of a file that is cut off, or damaged from a place on, give what is there, and say
            in :attr:`Audio.truncated` what is missing.

    Raises:
        AudioError: missing, empty, not a sound, no samples, or values that are no numbers or far
            beyond full scale; names the file and the cause.
        TruncatedError: samples of the part are missing, and ``partial`` is not set.

    """
    name = name_of(source)
    if duration is not None and not duration > 0:
        raise AudioError(name, f"a part of {duration:g} s was asked for")
    with open_sound(source, name) as file:
        rate = file.rate
        first = round(start * rate) if 0 <= start < math.inf else 0
        if not 0 <= start < math.inf or file.skip(first) < first:
            raise _no_such_part(name, start, file.total() / rate)
        wanted = _ALL if duration is None else round(min(duration * rate, _ALL))
        samples = file.read(wanted)
        length = file.total()
        if not len(samples) and not file.fault:
            raise _no_such_part(name, start, length / rate)
        if file.fault and len(samples) < wanted and not partial:
            raise TruncatedError(name, file.fault)
        if not len(samples):
            raise AudioError(name, file.fault)
        finished = _finished(samples, rate, sample_rate, name)
        return Audio(finished, sample_rate or rate, length / rate, file.fault)


_ALL = 1 << 62


def _no_such_part(name: str, start: float, seconds: float) -> AudioError:
    return AudioError(name, f"a part starting at {start:g} s was asked for, it has {seconds:.3f} s")


def verify(
    source: str | Path | bytes,
    on_block: Callable[[int, Samples], None] | None = None,
    *,
    partial: bool = False,
) -> str:
    """Decode a whole file, a block at a time, and give the digest of its sound.

    Memory does not grow with the file's length.

    Args:
        source: a path, or the bytes of a whole file.
        on_block: gets the sample rate and the mono samples of each block, in order.
        partial: as for :func:`read`.

    Returns:
        SHA-256 of the sound: of its sample rate as decimal digits and a line feed, and of its mono
        samples at that rate as 32-bit little-endian floats. Two files with the same samples have
        the same one, whatever they are called and however they are packed.

    Raises:
        AudioError: where :func:`read` raises it for the whole file at its own rate.

    """
    name = name_of(source)
    wrong = ""
    with open_sound(source, name) as file:
        digest = hashlib.sha256(f"{file.rate}\n".encode())
        for samples in pieces_of(file, _BLOCK):
            wrong = wrong or value_fault(samples)
            if on_block is not None:
                on_block(file.rate, samples)
            digest.update(np.ascontiguousarray(samples, dtype="<f4").data)
        if file.fault and not partial:
            raise TruncatedError(name, file.fault)
    if wrong:  # said last, as in read: of a truncated file it is the lesser fault
        raise AudioError(name, wrong)
    return digest.hexdigest()


def from_array(samples: npt.ArrayLike, rate: int, *, sample_rate: int | None = None) -> Audio:
    """Take samples that are already in memory through the same steps as a file.

    Args:
        samples: ``[samples]`` or ``[samples, channels]`` (as soundfile gives them); floats within
            [-1, 1], or integers, which are scaled by their type's range.
        rate: of the samples, in Hz.
        sample_rate: wanted rate in Hz; ``None`` keeps ``rate``.

    Raises:
        AudioError: no samples, wrong shape, or values that are no numbers or far beyond full scale.

    """
    try:
        array = np.asarray(samples)
    except ValueError:
        raise AudioError("<array>", "holds rows of different lengths") from None
    if not (rate > 0 and math.isfinite(rate)):
        raise AudioError("<array>", f"a sample rate of {rate} Hz is none")
    if array.ndim not in (1, 2):
        raise AudioError(
            "<array>", f"has shape {array.shape}, not [samples] or [samples, channels]"
        )
    if array.size == 0:
        raise AudioError("<array>", "holds no samples")
    if array.ndim == 2 and array.shape[1] > array.shape[0]:
        raise AudioError(
            "<array>", f"has shape {array.shape}: [samples, channels] is wanted, transpose it"
        )
    if array.dtype.kind == "i" and array.dtype.itemsize > 4:
        # Nobody records 64 bits: these are narrower samples in a default integer type.
        raise AudioError(
            "<array>", f"has {array.dtype} values of unknown range; give int16 or floats"
        )
    if array.dtype.kind == "u":
        # Silence may be at zero or at half the range: nothing in the array tells.
        raise AudioError(
            "<array>",
            f"has {array.dtype} values, unsigned integers of unknown offset; give int16 or floats",
        )
    if array.dtype.kind == "i":
        array = array / np.float32(-float(np.iinfo(array.dtype).min))
    elif array.dtype.kind != "f":
        raise AudioError("<array>", f"has values of type {array.dtype}, not floats or integers")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused below
        array = array.astype(np.float32, copy=False)
    samples = mono(array) if array.ndim == 2 else array
    finished = _finished(samples, rate, sample_rate, "<array>")
    return Audio(finished, sample_rate or rate, len(samples) / rate)


def seconds_of(source: str | Path | bytes) -> float:
    """Length of a sound file, or of the bytes of one, in seconds; of a cut one, of what is there.

    Raises:
        AudioError: it cannot be opened.

    """
    with open_sound(source, name_of(source)) as file:
        return float(file.total() / file.rate)


def value_fault(samples: Samples) -> str:
    """What is wrong with the values of samples, in a few words; empty where nothing is."""
    if not len(samples):
        return ""
    peak = max(float(samples.max()), -float(samples.min()))
    if not math.isfinite(peak) or not np.isfinite(samples).all():
        return NO_NUMBERS
    if peak > LARGEST_VALUE:
        return (
            f"holds values of up to {peak:.1e} times full scale; scale the samples to lie within "
            "-1 and 1"
        )
    return ""


def _finished(samples: Samples, rate: int, wanted_rate: int | None, name: str) -> Samples:
    """Refuse what is no sound, resample; the one way of files and arrays alike."""
    if wrong := value_fault(samples):
        raise AudioError(name, wrong)
    if wanted_rate is not None and wanted_rate != rate:
        resampled = soxr.resample(samples, rate, wanted_rate)
        if len(samples) and not len(resampled):
            raise too_short(name, wanted_rate)
        samples = resampled
    return np.ascontiguousarray(samples, dtype=np.float32)


def too_short(name: str, sample_rate: int) -> AudioError:
    """The error of a sound of which resampling leaves nothing."""
    return AudioError(name, f"is too short for a sample rate of {sample_rate} Hz")
