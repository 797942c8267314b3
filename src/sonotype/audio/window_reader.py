"""Windows of long recordings: each recording is decoded once if its windows are read in order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from sonotype.audio.buffer import SampleBuffer
from sonotype.audio.decode import Samples, from_array, load_audio
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.stream import stream
from sonotype.core.errors import AudioError, TruncatedError

OPEN_RECORDINGS = 4
"""Largest number of recordings that are read at once."""
KEPT_SECONDS = 10.0
"""Samples before a window that are kept: threads may ask for earlier windows a little later."""


class WindowReader:
    """Reads windows ``[samples]`` of recordings; threads may share it.

    A window that begins much before the last one of its recording is decoded by itself. Memory
    does not grow with the length of the recordings. A pickled copy is empty.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Path, _Recording] = OrderedDict()
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[WindowReader], tuple[()]]:
        return WindowReader, ()

    def read(self, path: Path, start: float, seconds: float, sample_rate: int) -> Samples:
        """One window, at the given rate; it ends with the recording.

        Equals :func:`sonotype.audio.decode.load_audio` of the same interval. A truncated recording
        ends where it is damaged.

        Args:
            path: the recording.
            start: of the window, in seconds.
            seconds: length of the window.
            sample_rate: of the result, in Hz.

        Raises:
            AudioError: the recording cannot be read, or ends before the window begins.
        """
        with self._lock:
            recording = self._open.pop(path, None) or _Recording(path)
            self._open[path] = recording
            while len(self._open) > OPEN_RECORDINGS:
                self._open.popitem(last=False)
        found = recording.window(start, seconds)
        if found is None:
            return load_audio(
                path, sample_rate=sample_rate, start=start, duration=seconds, partial=True
            ).samples
        try:
            return from_array(found, recording.rate, sample_rate=sample_rate).samples
        except AudioError as error:
            raise AudioError(path, error.cause) from None

    def clear(self) -> None:
        """Close all recordings."""
        with self._lock:
            self._open.clear()


class _Recording:
    """One recording that is decoded from its beginning on."""

    def __init__(self, path: Path) -> None:
        with open_sound(path, str(path)) as file:
            self.rate = file.rate
        self._buffer = SampleBuffer(_complete(path))
        self._first = 0
        self._failed = False
        self._lock = Lock()

    def window(self, start: float, seconds: float) -> Samples | None:
        """Samples at the rate of the file.

        ``None`` if they were dropped already, if there are none, or after an error.
        """
        first = round(start * self.rate)
        end = first + round(seconds * self.rate)
        with self._lock:
            if self._failed or first < self._first:
                return None
            self._first = max(self._first, first - round(KEPT_SECONDS * self.rate))
            self._buffer.forget(self._first)
            try:
                self._buffer.reaches(end)
            except AudioError:
                self._failed = True
                return None
            if first >= self._buffer.end:
                return None
            samples = self._buffer.part(first, min(end, self._buffer.end))
            return samples.copy()


def _complete(path: Path) -> Iterator[Samples]:
    """The samples of a file before its damage, if any."""
    try:
        yield from stream(path)
    except TruncatedError:
        return
