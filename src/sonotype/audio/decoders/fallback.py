"""Decode with libsndfile, and from a damaged frame on with FFmpeg's libraries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sonotype.audio.decoders.decoder import Decoder, NotReadableError, Samples
from sonotype.audio.decoders.libsndfile import SoundfileDecoder
from sonotype.core.errors import AudioError


class FallbackDecoder:
    """A decoder that continues with a second one where libsndfile fails.

    Args:
        first: decodes as far as it can.
        open_second: opens the file again, from its start.
    """

    def __init__(self, first: SoundfileDecoder, open_second: Callable[[], Decoder]) -> None:
        self._first, self._open_second = first, open_second
        self._second: Decoder | None = None
        self.rate = first.rate

    @property
    def _current(self) -> Decoder:
        return self._second or self._first

    @property
    def frames(self) -> int | None:
        """Number of samples, as far as it is known."""
        return self._current.frames

    @property
    def damage(self) -> str:
        """What is missing or damaged."""
        return (self._second.damage if self._second else "") or self._first.damage

    @property
    def stated_seconds(self) -> float:
        """Length by the header."""
        return self._current.stated_seconds

    def read(self, count: int) -> Samples:
        """Decode the next samples, ``[at most count]``."""
        samples = self._current.read(count)
        if self._switched():
            samples = np.concatenate([samples, self._current.read(count - len(samples))])
        return samples

    def skip(self, count: int) -> int:
        """Skip samples; return how many there were."""
        skipped = self._current.skip(count)
        return skipped + self._current.skip(count - skipped) if self._switched() else skipped

    def total(self) -> int:
        """Number of samples."""
        return self._current.total()

    def _switched(self) -> bool:
        """Open the second decoder if the first one has just failed; return whether it is open."""
        if self._second is not None or not self._first.failed:
            return False
        try:
            self._second = self._open_second()
        except (AudioError, NotReadableError):
            return False
        self._second.skip(self._first.total())
        return True
