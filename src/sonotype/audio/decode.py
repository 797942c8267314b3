"""Load a sound, or an interval of it: decode, mix to mono, resample."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from sonotype.audio.decoders.decoder import Samples, mono
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.core.errors import AudioError, TruncatedError

__all__ = [
    "Audio",
    "Samples",
    "digest_of",
    "from_array",
    "load_audio",
    "name_of",
    "seconds_of",
    "verify",
]

LARGEST_VALUE = 1e4
"""Times full scale. Louder samples have a wrong type, or are integers stored as floats."""

_BLOCK = 1 << 20
"""Samples that :func:`verify` decodes at once."""

_ALL = 1 << 62

_ARRAY = "<array>"


@dataclass(frozen=True)
class Audio:
    """Mono samples and their origin.

    Attributes:
        samples: ``[samples]`` float32, nominally within [-1, 1].
        sample_rate: of ``samples``, in Hz.
        file_seconds: length of the whole recording in seconds; ``samples`` may be an interval.
        truncated: what is missing of the recording, in a few words; empty if nothing is.
        trimmed: whether leading and trailing silence of the recording has been removed.

    """

    samples: Samples
    sample_rate: int
    file_seconds: float
    truncated: str = ""
    trimmed: bool = False


def load_audio(
    source: str | Path | bytes,
    *,
    sample_rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    partial: bool = False,
) -> Audio:
    """Load a file, or an interval of it, as mono samples at one rate.

    Channels are averaged before resampling. WAV, FLAC and Ogg files with correct headers are
    decoded from ``start`` on, other files from their beginning.

    Args:
        source: a path, or the bytes of a whole file.
        sample_rate: of the result in Hz; ``None`` keeps the file's own.
        start: of the interval, in seconds.
        duration: of the interval, in seconds; ``None`` for the rest of the file. An interval that
            exceeds the file ends with the file.
        partial: of a truncated or damaged file, return the samples that are present and describe
            in :attr:`Audio.truncated` what is missing.

    Raises:
        AudioError: missing, empty, not a sound, no samples, or values that are NaN, infinite or far
            beyond full scale; names the file and the cause.
        TruncatedError: samples of the interval are missing, and ``partial`` is not set.

    """
    name = name_of(source)
    if duration is not None and not duration > 0:
        raise AudioError(name, f"a duration must be positive, got {duration:g} s")
    with open_sound(source, name) as file:
        rate = file.rate
        wanted = _ALL if duration is None else round(min(duration * rate, _ALL))
        inside = 0 <= start < math.inf and file.skip(round(start * rate)) == round(start * rate)
        samples = file.read(wanted if inside else 0)
        seconds = file.total() / rate
        if not inside or not (len(samples) or file.damage):
            cause = f"the start is at {start:g} s, but the sound has {seconds:.3f} s"
            raise AudioError(name, cause)
        if file.damage and len(samples) < wanted and not partial:
            raise TruncatedError(name, file.damage)
        if not len(samples):
            raise AudioError(name, file.damage)
        samples = _check_and_resample(samples, rate, sample_rate or rate, name)
        return Audio(samples, sample_rate or rate, seconds, file.damage)


def from_array(samples: npt.ArrayLike, rate: int, *, sample_rate: int | None = None) -> Audio:
    """Mix samples in memory to mono and resample them, like those of a file.

    Args:
        samples: ``[samples]`` or ``[samples, channels]`` (as soundfile gives them); floats within
            [-1, 1], or integers, which are scaled by their type's range.
        rate: of ``samples``, in Hz.
        sample_rate: of the result in Hz; ``None`` keeps ``rate``.

    Raises:
        AudioError: no samples, wrong shape or type, or values that are NaN, infinite or far beyond
            full scale.

    """
    try:
        array = np.asarray(samples)
    except ValueError:
        raise AudioError(_ARRAY, "holds rows of different lengths") from None
    if cause := _array_issue(array, rate):
        raise AudioError(_ARRAY, cause)
    if array.dtype.kind == "i":
        array = array.astype(np.float32) / np.float32(-float(np.iinfo(array.dtype.name).min))
    with np.errstate(over="ignore"):  # too large values become infinite: an error, see value_issue
        array = array.astype(np.float32, copy=False)
    mixed = mono(array) if array.ndim == 2 else array
    resampled = _check_and_resample(mixed, rate, sample_rate or rate, _ARRAY)
    return Audio(resampled, sample_rate or rate, len(mixed) / rate)


def _array_issue(array: npt.NDArray[np.generic], rate: float) -> str:
    """The reason why an array is not a sound; empty if it may be one."""
    dtype, shape = array.dtype, array.shape
    if not 0 < rate < math.inf:
        return f"sample_rate must be positive, got {rate}"
    if array.ndim not in (1, 2):
        return f"has shape {shape}, not [samples] or [samples, channels]"
    if array.size == 0:
        return "holds no samples"
    if array.ndim == 2 and shape[1] > shape[0]:
        return f"has shape {shape}: [samples, channels] is expected, transpose it"
    if dtype.kind == "i" and dtype.itemsize > 4:
        # No recorder writes 64 bits: these are narrower samples in a default integer type.
        return f"has {dtype} values of unknown range; give int16 or floats"
    if dtype.kind == "u":  # silence may be 0 or half the range
        return f"has {dtype} values, unsigned integers of unknown offset; give int16 or floats"
    return "" if dtype.kind in "if" else f"has values of type {dtype}, not floats or integers"


def _check_and_resample(samples: Samples, rate: int, new_rate: int, name: str) -> Samples:
    if issue := value_issue(samples):
        raise AudioError(name, issue)
    if new_rate != rate:
        resampled = soxr.resample(samples, rate, new_rate)
        if len(samples) and not len(resampled):
            raise too_short(name, new_rate)
        samples = resampled
    return np.ascontiguousarray(samples, dtype=np.float32)


def verify(
    source: str | Path | bytes,
    on_block: Callable[[int, Samples], None] | None = None,
    *,
    partial: bool = False,
) -> str:
    """Decode a whole file and return the digest of its sound.

    Memory does not grow with the length of the file.

    Args:
        source: a path, or the bytes of a whole file.
        on_block: gets the sample rate and the mono samples of each block, in order.
        partial: as for :func:`load_audio`.

    Returns:
        SHA-256 of the sample rate as decimal digits, a line feed, and the mono samples at that rate
        as 32-bit little-endian floats. Files with the same samples have the same digest, whatever
        their names and formats.

    Raises:
        AudioError: if :func:`load_audio` raises it for the whole file at its own rate.

    """
    name = name_of(source)
    issue = ""
    with open_sound(source, name) as file:
        digest = _new_digest(file.rate)
        for samples in file.blocks(_BLOCK):
            issue = issue or value_issue(samples)
            if on_block is not None:
                on_block(file.rate, samples)
            digest.update(np.ascontiguousarray(samples, dtype="<f4").data)
        if file.damage and not partial:
            raise TruncatedError(name, file.damage)
    if issue:  # after truncation, as in load_audio
        raise AudioError(name, issue)
    return digest.hexdigest()


def digest_of(sound: Audio) -> str:
    """The digest that :func:`verify` returns for a file with these samples."""
    digest = _new_digest(sound.sample_rate)
    digest.update(np.ascontiguousarray(sound.samples, dtype="<f4").data)
    return digest.hexdigest()


def _new_digest(sample_rate: int) -> hashlib._Hash:
    return hashlib.sha256(f"{sample_rate}\n".encode())


def seconds_of(source: str | Path | bytes) -> float:
    """Length in seconds of a sound file, or of its bytes; of a truncated file, what is present.

    Raises:
        AudioError: it cannot be opened.

    """
    with open_sound(source, name_of(source)) as file:
        return float(file.total() / file.rate)


def name_of(source: str | Path | bytes) -> str:
    """The name of a sound in messages."""
    return "<bytes>" if isinstance(source, bytes) else str(source)


def value_issue(samples: Samples) -> str:
    """The reason why the values of samples are invalid; empty if they are valid."""
    if not len(samples):
        return ""
    peak = max(float(samples.max()), -float(samples.min()))
    if not math.isfinite(peak) or not np.isfinite(samples).all():
        return "holds values that are no numbers (NaN or infinite)"
    if peak > LARGEST_VALUE:
        advice = "scale the samples to lie within -1 and 1"
        return f"holds values of up to {peak:.1e} times full scale; {advice}"
    return ""


def too_short(name: str, sample_rate: int) -> AudioError:
    """The error for a sound that has no samples after resampling."""
    return AudioError(name, f"is too short for a sample rate of {sample_rate} Hz")
