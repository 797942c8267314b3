"""Decode a sound, or a part of one, to mono samples at a wanted rate."""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sonotype.audio.special import special_kind
from sonotype.errors import AudioError

Samples = npt.NDArray[np.float32]

NO_NUMBERS = "holds values that are no numbers (NaN or infinite)"

NAME_A_FILE = "name a file, or pipe the sound into: sonotype predict -"

READABLE = "wav, flac, ogg, opus, mp3 and what else libsndfile reads"

# A header that was never finished (a recorder that lost power, a pipe) declares one of these sizes;
# 0x7FFFF000 is what SoX writes to a pipe.
_UNFINISHED_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)

# WAV and CAF, AIFF, W64, AU, and RF64 (which counts the whole file).
_NOTED_SIZES = re.compile(r"(?:data|SSND|riff|Data Size|Riff size) *: (\d+) \(should be (\d+)\)")

# Values in a block of a file that is decoded only to see whether it can be: 8 MB of floats.
_BLOCK = 1 << 21

# Of a compressed file whose end is missing, libsndfile may give the largest integer as its length.
NO_COUNT = 2**62
_NO_END = "is truncated (its end is missing)"

_WINDOWS = os.name == "nt"

# libsndfile's code for an MP3 without one whole frame; it says that the file does not exist.
_NO_WHOLE_FRAME = 7


@dataclass(frozen=True)
class Sound:
    """Mono samples and where they come from.

    Attributes:
        samples: ``[samples]`` float32, nominally within [-1, 1].
        sample_rate: of ``samples``, in Hz.
        file_seconds: length of the whole recording in seconds, of which ``samples`` may be a part.

    """

    samples: Samples
    sample_rate: int
    file_seconds: float


def read(
    source: str | Path | bytes,
    *,
    sample_rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> Sound:
    """Decode a file, or a part of it without reading the rest, to mono at one rate.

    Args:
        source: a path, or the bytes of a whole file.
        sample_rate: wanted rate in Hz; ``None`` keeps the file's own.
        start: where the part begins, in seconds.
        duration: how long the part is, in seconds; ``None`` for all that follows. A part that
            reaches past the end is as long as the file allows.

    Raises:
        AudioError: missing, empty, truncated, not a sound, no samples, or values that are no
            numbers; names the file and the cause.

    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    with opened(source, name) as file:
        rate, length = file.samplerate, _length(file, name)
        first = round(start * rate) if 0 <= start < length / rate else length
        if first >= length:
            raise AudioError(
                name, f"a part starting at {start:g} s was asked for, it has {length / rate:.3f} s"
            )
        if duration is not None and not duration > 0:
            raise AudioError(name, f"a part of {duration:g} s was asked for")
        wanted = length - first
        if duration is not None:
            wanted = round(min(duration * rate, wanted))
        if first:
            file.seek(first)
        frames = _frames(file, first, wanted, name)
    samples = mono(frames)
    return Sound(_finished(samples, rate, sample_rate, name), sample_rate or rate, length / rate)


def verify(source: str | Path | bytes) -> None:
    """Decode a whole file, a block at a time, and keep nothing of it.

    Memory does not grow with the file's length.

    Raises:
        AudioError: where :func:`read` raises it for the whole file at its own rate.

    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    finite = True
    with opened(source, name) as file:
        length = _length(file, name)
        block = max(1, _BLOCK // file.channels)
        for first in range(0, length, block):
            frames = _frames(file, first, min(block, length - first), name)
            finite = finite and is_finite(mono(frames))
    if not finite:  # said last, as in read: of a truncated file it is the lesser fault
        raise AudioError(name, NO_NUMBERS)


def from_array(samples: npt.ArrayLike, rate: int, *, sample_rate: int | None = None) -> Sound:
    """Take samples that are already in memory through the same steps as a file.

    Args:
        samples: ``[samples]`` or ``[samples, channels]`` (as soundfile gives them); floats within
            [-1, 1], or integers, which are scaled by their type's range.
        rate: of the samples, in Hz.
        sample_rate: wanted rate in Hz; ``None`` keeps ``rate``.

    Raises:
        AudioError: no samples, wrong shape, or values that are no numbers.

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
    return Sound(finished, sample_rate or rate, len(samples) / rate)


def seconds_of(source: str | Path | bytes) -> float:
    """Length of a sound file, or of the bytes of one, in seconds, from its header.

    Raises:
        AudioError: as for :func:`read`.

    """
    name = "<bytes>" if isinstance(source, bytes) else str(source)
    with opened(source, name) as file:
        return float(file.frames / file.samplerate)


def _length(file: soundfile.SoundFile, name: str) -> int:
    """Frames in the file; none are an error."""
    if file.frames <= 0:
        raise AudioError(name, "holds no samples")
    return int(file.frames)


def _frames(
    file: soundfile.SoundFile, first: int, wanted: int, name: str
) -> npt.NDArray[np.float32]:
    """``[samples, channels]`` from where the file stands, at ``first``; all that are wanted."""
    frames: npt.NDArray[np.float32] = file.read(wanted, dtype="float32", always_2d=True)
    if len(frames) < wanted:
        raise short_of(file, first + len(frames), name)
    return frames


def short_of(file: soundfile.SoundFile, end: int, name: str) -> AudioError:
    """The error of a file that has fewer frames than it says."""
    if file.frames >= NO_COUNT:
        return AudioError(name, _NO_END)
    seconds, length = end / file.samplerate, file.frames / file.samplerate
    return AudioError(name, f"is truncated: ends after {seconds:.3f} of {length:.3f} s")


def mono(frames: npt.NDArray[np.float32]) -> Samples:
    """Mean over the channels of ``[samples, channels]``."""
    if frames.shape[1] == 1:
        return frames[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        mean: Samples = frames.mean(axis=1)
    return mean


def is_finite(samples: Samples) -> bool:
    """Whether all samples are numbers."""
    return bool(np.isfinite(samples).all())


def _finished(samples: Samples, rate: int, wanted_rate: int | None, name: str) -> Samples:
    """Refuse what is no number, resample; the one way of files and arrays alike."""
    if not is_finite(samples):
        raise AudioError(name, NO_NUMBERS)
    if wanted_rate is not None and wanted_rate != rate:
        resampled = soxr.resample(samples, rate, wanted_rate)
        if len(samples) and not len(resampled):
            raise too_short(name, wanted_rate)
        samples = resampled
    return np.ascontiguousarray(samples, dtype=np.float32)


def damaged(error: soundfile.LibsndfileError, name: str) -> AudioError:
    """The error of a file that libsndfile opens but cannot decode to its end."""
    return AudioError(name, f"is damaged or truncated ({error.error_string.rstrip('.')})")


def too_short(name: str, sample_rate: int) -> AudioError:
    """The error of a sound of which resampling leaves nothing."""
    return AudioError(name, f"is too short for a sample rate of {sample_rate} Hz")


@contextmanager
def opened(
    source: str | Path | bytes, name: str, *, whole: bool = True
) -> Iterator[soundfile.SoundFile]:
    """Open a sound with every failure turned into an ``AudioError`` with its cause.

    A file that was meant to be longer is refused, unless ``whole`` is false.
    """
    if isinstance(source, bytes):
        if not source:
            raise AudioError(name, "is empty (0 bytes)")
    else:
        _refuse_unopenable(Path(source), name)
    try:
        sound_file = soundfile.SoundFile(
            io.BytesIO(source) if isinstance(source, bytes) else _file_name(source)
        )
    except soundfile.LibsndfileError as error:
        reason = error.error_string.rstrip(".")
        if error.code == _NO_WHOLE_FRAME:
            reason = "It holds no whole frame"
        raise AudioError(name, f"is not a readable sound ({reason}); {READABLE}") from None
    with sound_file as file:
        if whole:
            refuse_truncated(file, source, name)
        try:
            yield file
        except soundfile.LibsndfileError as error:
            raise damaged(error, name) from None


def _file_name(path: str | Path) -> str | bytes:
    """The name as soundfile takes it whatever it is.

    As bytes, one goes through that is no valid text (on Linux there are such); on Windows, names
    are text, and bytes would be read in a code page.
    """
    return str(path) if _WINDOWS else os.fsencode(path)


def _refuse_unopenable(path: Path, name: str) -> None:
    """Say why a file cannot be opened before libsndfile does, which has few words for it."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(name, "is a folder, not a sound file")
        if kind := special_kind(path):
            raise AudioError(name, f"is {kind}, not a sound file; {NAME_A_FILE}")
        if status.st_size == 0:
            raise AudioError(name, "is empty (0 bytes)")
        path.open("rb").close()
        if path.suffix.lower() == ".raw":  # soundfile goes by the name, and asks for a rate
            cause = "is not a readable sound (by its name it is raw samples without a header)"
            raise AudioError(name, f"{cause}; {READABLE}")
    except FileNotFoundError:
        raise AudioError(name, "does not exist") from None
    except OSError as error:
        raise AudioError(name, f"cannot be opened: {error.strerror}") from error
    except ValueError:
        raise AudioError(name, "cannot be opened: no file can have this name") from None


def refuse_truncated(file: soundfile.SoundFile, source: str | Path | bytes, name: str) -> None:
    """Refuse a file that was meant to be longer than it is.

    libsndfile mends such files in silence. It notes in its log "data : DECLARED (should be ACTUAL)"
    for the containers that declare their size; an Ogg stream ends with a page that says so.
    """
    if file.frames >= NO_COUNT or (file.format == "OGG" and not _ogg_ends(source)):
        raise AudioError(name, _NO_END)
    noted = _NOTED_SIZES.search(file.extra_info)
    if noted:
        declared, actual = int(noted[1]), int(noted[2])
        if declared > actual and declared not in _UNFINISHED_SIZES and declared < 0xFFFFFF00:
            raise AudioError(name, f"is truncated ({actual} of {declared} bytes are there)")


def _ogg_ends(source: str | Path | bytes) -> bool:
    """Whether the last Ogg page is whole and flagged as the end of its stream (RFC 3533)."""
    largest_page = 27 + 255 + 255 * 255
    if isinstance(source, bytes):
        tail = source[-largest_page:]
    else:
        with Path(source).open("rb") as stream:
            stream.seek(-min(largest_page, Path(source).stat().st_size), io.SEEK_END)
            tail = stream.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or not page[5] & 0x04:
        return False
    segments = page[27 : 27 + page[26]]
    return len(page) >= 27 + len(segments) + sum(segments) and len(segments) == page[26]
