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
NEAR_SECONDS = 20.0
"""A window this much after the last one of its recording continues a reading in order."""
AHEAD_SECONDS = 60.0
"""Part of a recording that is decoded to reach a window; a later window is decoded by itself."""


class WindowReader:
    """Reads windows ``[samples]`` of recordings; threads may share it.

    Windows that are not read in order are decoded by themselves, which is fast for formats in which
    one can seek. Memory does not grow with the length of the recordings. A pickled copy is empty.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[Path, _Recording] = OrderedDict()
        self._last: dict[Path, float] = {}
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
            recording = self._recording(path, start)
        found = None if recording is None else recording.window(start, seconds)
        if found is None:
            return load_audio(
                path, sample_rate=sample_rate, start=start, duration=seconds, partial=True
            ).samples
        try:
            return from_array(found[0], found[1], sample_rate=sample_rate).samples
        except AudioError as error:
            raise AudioError(path, error.cause) from None

    def _recording(self, path: Path, start: float) -> _Recording | None:
        """The recording in which a window is read in order, if it is."""
        last, self._last[path] = self._last.get(path), start
        recording = self._open.get(path)
        if recording is None:
            if last is None or not 0 <= start - last <= NEAR_SECONDS:
                return None
            recording = self._open[path] = _Recording(path)
        elif start > recording.seconds_read + AHEAD_SECONDS:
            return None
        self._open.move_to_end(path)
        while len(self._open) > OPEN_RECORDINGS:
            self._open.popitem(last=False)
        return recording

    def clear(self) -> None:
        """Close all recordings."""
        with self._lock:
            self._open.clear()
            self._last.clear()


class _Recording:
    """One recording that is decoded from its beginning on."""

    def __init__(self, path: Path) -> None:
        with open_sound(path, str(path)) as file:
            self.rate = file.rate
        self._buffer = SampleBuffer(_complete(path))
        self._first = 0
        self._failed = False
        self._lock = Lock()

    @property
    def seconds_read(self) -> float:
        """Length of the part that has been decoded."""
        return self._buffer.end / self.rate

    def window(self, start: float, seconds: float) -> tuple[Samples, int] | None:
        """Samples, and the rate of the file, which is theirs.

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
            return samples.copy(), self.rate


def _complete(path: Path) -> Iterator[Samples]:
    """The samples of a file before its damage, if any."""
    try:
        yield from stream(path)
    except TruncatedError:
        return
