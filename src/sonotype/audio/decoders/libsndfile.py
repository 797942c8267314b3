"""Decode with libsndfile, through the package soundfile."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import soundfile

from sonotype.audio.decoders.decoder import DAMAGED, Decoder, Samples, mono
from sonotype.audio.headers.wav import WavSlice
from sonotype.core.errors import AudioError

# A size in the log of libsndfile: of AIFF, W64, AU, CAF, and of WAV inside others.
_LOGGED_SIZES = re.compile(r"(?:data|SSND|riff|Data Size|Riff size) *: (\d+) \(should be (\d+)\)")
_UNFINISHED_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)

_BLOCK = 1 << 22
"""Values (samples of all channels) that are decoded at once."""

_LAST_SECONDS = 20
"""Longer than a page of Ogg. Seeks into the last page go wrong (issue 885 of libsndfile)."""

_WINDOWS = os.name == "nt"


def open_soundfile(
    source: str | Path | bytes | WavSlice, stack: ExitStack
) -> soundfile.SoundFile | None:
    """Open a file with libsndfile; ``None`` if it cannot.

    The path is given as bytes, since on Linux the name of a file may be invalid text; on Windows
    names are text, and bytes would be decoded with a code page.
    """
    file: object = source
    if isinstance(source, bytes):
        file = io.BytesIO(source)
    elif isinstance(source, str | Path):
        file = str(source) if _WINDOWS else os.fsencode(source)
    try:
        return stack.enter_context(soundfile.SoundFile(file))
    except (soundfile.LibsndfileError, TypeError, OSError):  # TypeError: .raw needs a rate
        return None


class SoundfileDecoder(Decoder):
    """A file that libsndfile decodes and seeks in.

    Args:
        file: open, with a correct count of its samples.
        damage: what is known to be missing.
        open_second: opens the file with another decoder, which continues where libsndfile fails.
    """

    def __init__(
        self,
        file: soundfile.SoundFile,
        damage: str = "",
        open_second: Callable[[], Decoder] | None = None,
    ) -> None:
        super().__init__(iter(()))
        self._file, self._open_second = file, open_second
        self._second: Decoder | None = None
        self.rate = int(file.samplerate)
        self.frames = self._end = int(file.frames)
        self.stated_seconds = self._end / self.rate
        self.damage = damage
        self.seeks = file.format != "OGG"
        logged = _LOGGED_SIZES.search(file.extra_info)
        if logged and file.format != "WAV":
            declared, actual = int(logged[1]), int(logged[2])
            if actual < declared < 0xFFFFFF00 and declared not in _UNFINISHED_SIZES:
                self.damage = f"is truncated ({actual} of {declared} bytes are there)"

    def read(self, count: int) -> Samples:
        """Decode the next samples, ``[at most count]``."""
        blocks = [np.zeros(0, dtype=np.float32)]
        most = max(_BLOCK // self._file.channels, 1)  # a wrong count allocates no memory
        while (wanted := min(count, self._end - self._position, most)) > 0:
            try:
                samples = mono(self._file.read(wanted, dtype="float32", always_2d=True))
            except soundfile.LibsndfileError as error:
                self._fail(error)
                break
            blocks.append(samples)
            self._position += len(samples)
            count -= len(samples)
            if len(samples) < wanted:
                end = self._position / self.rate
                self.damage = f"is truncated: ends after {end:.3f} of {self.stated_seconds:.3f} s"
                self._end = self._position
        if self._second is not None:
            blocks.append(self._second.read(count))
            self.damage = self._second.damage or self.damage
        return blocks[1] if len(blocks) == 2 else np.concatenate(blocks)

    def skip(self, count: int) -> int:
        """Seek forward by ``count`` samples; return how many there were."""
        ogg = self._file.format == "OGG"
        end = self._end - (_LAST_SECONDS * self.rate if ogg else 0)
        skipped = max(min(count, end - self._position), 0)
        if skipped > 0:
            try:
                self._file.seek(self._position + skipped)
                self._position += skipped
            except soundfile.LibsndfileError as error:
                self._fail(error)
                skipped = 0
        if self._second is not None:
            return skipped + self._second.skip(count - skipped)
        return skipped + super().skip(count - skipped) if ogg else skipped

    def total(self) -> int:
        """Number of samples, by the header or by where the file was found to end."""
        if self._second is None:
            return self._end
        total = self._second.total()
        self.damage = self._second.damage or self.damage
        return total

    def _fail(self, error: soundfile.LibsndfileError) -> None:
        """Continue with the second decoder; without it, the sound ends here."""
        self.damage = f"{DAMAGED} ({error.error_string.rstrip('.')})"
        self._end = self._position
        if self._open_second is not None:
            with suppress(AudioError):
                self._second = self._open_second()
                self._second.skip(self._position)
