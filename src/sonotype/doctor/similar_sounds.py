"""Find near copies in a set: embed each sound when it is measured, then confirm candidates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.audio.decode import Samples, load_audio
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import AudioError
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.doctor.measure import Measurement, measure
from sonotype.doctor.near_copies import Candidate, candidates, confirm
from sonotype.doctor.window_vectors import RATE, Beginning, WindowEmbedder

KEPT_SECONDS = 30.0
"""Length of sounds that are kept for the comparison; of longer ones, parts are read again."""
KEPT_BYTES = 400_000_000

Pair = tuple[int, int, str]
"""Positions of two sounds, and what was measured."""


class SimilarSounds:
    """The embeddings and the samples of a set of sounds."""

    def __init__(self) -> None:
        self._embedder = WindowEmbedder()
        self._waiting: dict[int, Samples] = {}
        self._kept: dict[int, npt.NDArray[np.float16]] = {}
        self._free = KEPT_BYTES

    def measure(self, index: int, path: Path) -> Measurement:
        """Measure a sound, and keep its samples for :meth:`embed`; called in threads."""
        beginning = Beginning()
        found = measure(path, beginning)
        if not found.error:
            self._waiting[index] = beginning.at(self._embedder.rate)
            if found.seconds <= KEPT_SECONDS:
                small = (beginning.at(RATE) / max(found.peak, 1e-9)).astype(np.float16)
                if small.nbytes <= self._free:
                    self._free -= small.nbytes
                    self._kept[index] = small
        return found

    def embed(self, index: int) -> None:
        """Embed a measured sound; called in the order of the sounds."""
        samples = self._waiting.pop(index, None)
        if samples is not None:
            self._embedder.add(index, samples)

    def pairs(
        self, paths: Sequence[Path], *, known: Sequence[tuple[int, int]], progress: bool = False
    ) -> list[Pair]:
        """The confirmed near copies.

        Args:
            paths: of all sounds.
            known: exact copies, which are not compared again.
            progress: draw a bar.
        """
        copies = {copy for _, copy in known}
        found = [
            one
            for one in candidates(self._embedder.windows())
            if one.first not in copies and one.second not in copies
        ]

        def load(index: int, start: float, seconds: float | None) -> Samples:
            if index in self._kept:
                first = round(start * RATE)
                last = None if seconds is None else first + round(seconds * RATE)
                return self._kept[index][first:last].astype(np.float32)
            path = paths[index]
            sound = load_audio(path, sample_rate=RATE, start=start, duration=seconds, partial=True)
            return sound.samples

        def of(one: Candidate) -> Pair | None:
            try:
                result, shift = confirm(one, load)
            except AudioError:  # changed or removed since it was measured
                return None
            if not result.confirmed:
                return None
            detail = f"{result.overlap:.1f} s alike, {result.phases:.0%} of the spectrum"
            if abs(shift) >= 0.01:
                detail += f", shifted by {shift:+.2f} s"
            return one.first, one.second, detail

        results = prefetch(of, found, threads=available_cpus(), buffer_size=16)
        compared = track(results, "comparing", len(found), show=progress)
        return [pair for pair in compared if pair is not None]
