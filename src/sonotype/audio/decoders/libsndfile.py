"""Decode with libsndfile, through the package soundfile."""

from __future__ import annotations

import io
import os
import re
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from sonotype.audio.decoders.decoder import DAMAGED, Samples, mono

UNKNOWN_COUNT = 2**62
"""libsndfile may report the largest integer as the length of a file whose end is missing."""

# A size in the log of libsndfile: of AIFF, W64, AU, CAF, and of WAV inside others.
_LOGGED_SIZES = re.compile(r"(?:data|SSND|riff|Data Size|Riff size) *: (\d+) \(should be (\d+)\)")
_UNFINISHED_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)

_BLOCK = 1 << 22
"""Values (samples of all channels) that are decoded at once."""

_WINDOWS = os.name == "nt"


def open_soundfile(source: str | Path | bytes, stack: ExitStack) -> soundfile.SoundFile | None:
    """Open a file with libsndfile; ``None`` if it cannot."""
    try:
        return stack.enter_context(soundfile.SoundFile(soundfile_source(source)))
    except (soundfile.LibsndfileError, TypeError, OSError):  # TypeError: .raw needs a rate
        return None


def soundfile_source(source: str | Path | bytes) -> io.BytesIO | str | bytes:
    """A path or the bytes of a file in the form that soundfile opens.

    A path becomes bytes, since on Linux the name of a file may be invalid text; on Windows names
    are text, and bytes would be decoded with a code page.
    """
    if isinstance(source, bytes):
        return io.BytesIO(source)
    return str(source) if _WINDOWS else os.fsencode(source)


class SoundfileDecoder:
    """A file that libsndfile decodes and seeks in.

    Args:
        file: open, with a correct count of its samples.
        damage: what is known to be missing.

    Attributes:
        failed: whether libsndfile met data that it cannot decode; then it decodes nothing more.
    """

    def __init__(self, file: soundfile.SoundFile, *, damage: str = "") -> None:
        self._file = file
        self._position = 0
        self.failed = False
        self.rate = int(file.samplerate)
        self.frames = int(file.frames)
        self.damage = damage
        logged = _LOGGED_SIZES.search(file.extra_info)
        if logged and file.format != "WAV":
            declared, actual = int(logged[1]), int(logged[2])
            if actual < declared < 0xFFFFFF00 and declared not in _UNFINISHED_SIZES:
                self.damage = f"is truncated ({actual} of {declared} bytes are there)"

    @property
    def stated_seconds(self) -> float:
        """Length by the header."""
        return self.frames / self.rate

    def read(self, count: int) -> Samples:
        """Decode the next samples, ``[at most count]``."""
        blocks = [np.zeros(0, dtype=np.float32)]
        count = min(count, self.frames - self._position)
        while count > 0:  # in blocks, so that a wrong count allocates no memory
            wanted = min(count, max(_BLOCK // self._file.channels, 1))
            try:
                samples = mono(self._file.read(wanted, dtype="float32", always_2d=True))
            except soundfile.LibsndfileError as error:
                self._fail(error)
                break
            blocks.append(samples)
            self._position += len(samples)
            count -= len(samples)
            if len(samples) < wanted:
                end, stated = self._position / self.rate, self.frames / self.rate
                self.damage = f"is truncated: ends after {end:.3f} of {stated:.3f} s"
                self.frames = self._position
                break
        return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)

    def skip(self, count: int) -> int:
        """Seek forward by ``count`` samples; return how many there were."""
        count = min(count, self.frames - self._position)
        if count > 0:
            try:
                self._file.seek(self._position + count)
            except soundfile.LibsndfileError as error:
                self._fail(error)
                return 0
        self._position += count
        return count

    def total(self) -> int:
        """Number of samples, by the header or by where the file was found to end."""
        return self.frames

    def _fail(self, error: soundfile.LibsndfileError) -> None:
        self.failed = True
        self.damage = f"{DAMAGED} ({error.error_string.rstrip('.')})"
        self.frames = self._position
