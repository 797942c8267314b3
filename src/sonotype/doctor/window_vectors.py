"""Embeddings of the windows of all sounds: columns of the feature maps of a pretrained network.

A sound is cut into pieces of five seconds. The last feature map of the network has a column for
each 0.32 s; the mean of three neighbouring columns over frequency is the embedding of a window of
about a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import soxr

from sonotype.audio.decode import Samples
from sonotype.inference.embedding import EmbeddingTransformer

FloatArray = npt.NDArray[np.float32]

RATE = 8000
"""Hz at which sounds are compared: lossy encoders keep the phases of low frequencies."""
PIECE_SECONDS = 5.0
BATCH = 16
COLUMNS = 3
"""Columns of a window."""
LEVEL = 0.05
"""RMS of each piece at the input of the network, so that a louder copy has the same embedding."""
QUIET = 1e-2
"""Level of a window relative to the loudest of its sound, below which it is not compared (-40 dB):
pauses of all recordings are alike."""
SILENCE = 1e-4
"""RMS below which a window is silence."""
LONGEST_SECONDS = 600.0
"""Of a sound; the rest of a longer one is not searched."""


@dataclass
class Windows:
    """Embeddings of windows.

    Attributes:
        vectors: ``[windows, features]``.
        sound: for each window the position of its sound.
        start: for each window its start in seconds.
        seconds: length of a window.
    """

    vectors: FloatArray
    sound: npt.NDArray[np.int64]
    start: FloatArray
    seconds: float


class Beginning:
    """The samples of a sound, or of its first ten minutes, collected block by block."""

    def __init__(self) -> None:
        self._blocks: list[Samples] = []
        self._size = 0
        self._rate = 0

    def __call__(self, rate: int, samples: Samples) -> None:
        """Take a block of the sound."""
        self._rate = rate
        room = round(LONGEST_SECONDS * rate) - self._size
        if room > 0:
            self._blocks.append(samples[:room].copy())
            self._size += len(samples)

    def at(self, rate: int) -> Samples:
        """The samples at a rate."""
        if not self._blocks:
            return np.zeros(0, np.float32)
        samples: Samples = soxr.resample(np.concatenate(self._blocks), self._rate, rate)
        return samples


@dataclass
class WindowEmbedder:
    """Embeds sounds one after the other; pieces of several sounds share a batch."""

    network: EmbeddingTransformer = field(
        default_factory=lambda: EmbeddingTransformer(seconds=PIECE_SECONDS).fit(())
    )
    _waiting: list[tuple[int, float, Samples]] = field(default_factory=list)
    _found: list[tuple[FloatArray, npt.NDArray[np.int64], FloatArray]] = field(default_factory=list)
    _column: float = 0.0

    @property
    def rate(self) -> int:
        """Sample rate of the network in Hz."""
        return self.network.audio_spec_.sample_rate

    def add(self, sound: int, samples: Samples) -> None:
        """Embed a sound: its position, and its samples at the rate of the network."""
        length = self.network.audio_spec_.length
        loudest = max(
            (_rms(samples[i : i + length]) for i in range(0, len(samples), length)), default=0.0
        )
        for first in range(0, len(samples), length):
            piece = samples[first : first + length]
            level = _rms(piece)
            if level > max(QUIET * loudest, SILENCE) and len(piece) >= self.rate // 2:
                self._waiting.append((sound, first / self.rate, piece))
        while len(self._waiting) >= BATCH:
            self._embed(self._waiting[:BATCH])
            del self._waiting[:BATCH]

    def windows(self) -> Windows:
        """All windows of all sounds so far."""
        if self._waiting:
            self._embed(self._waiting)
            self._waiting.clear()
        if not self._found:
            empty = np.zeros(0, np.float32)
            return Windows(empty.reshape(0, 1), np.zeros(0, np.int64), empty, 1.0)
        vectors, sound, start = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        return Windows(vectors, sound, start, COLUMNS * self._column)

    def _embed(self, pieces: list[tuple[int, float, Samples]]) -> None:
        import torch

        length = self.network.audio_spec_.length
        batch = np.zeros((len(pieces), length), np.float32)
        for row, (_, _, samples) in zip(batch, pieces, strict=True):
            # Short sounds are repeated: silence after them would change their embeddings.
            row[:] = np.resize(samples * (LEVEL / _rms(samples)), length)
        with torch.inference_mode():
            waveform = torch.from_numpy(batch).to(self.network.system_.device)
            maps = self.network.system_.pooled_maps(self.network.system_.frozen_part(waveform))
            columns = maps[-1].float().mean(3).cpu().numpy()  # [pieces, features, columns]
        count = columns.shape[2]
        self._column = PIECE_SECONDS / count
        for (sound, begin, samples), waves, found in zip(pieces, batch, columns, strict=True):
            for start in _audible(waves, len(samples), count):
                vector = found[:, start : start + COLUMNS].mean(1)
                place = np.float32(begin + start * self._column)
                self._found.append((vector[None], np.array([sound]), np.array([place])))


def _audible(waves: Samples, size: int, count: int) -> Iterator[int]:
    """The first columns of the windows that are inside a sound and not quiet."""
    edges = np.linspace(0, len(waves), count + 1).astype(int)
    levels = [
        _rms(waves[edges[column] : edges[column + COLUMNS]])
        for column in range(count - COLUMNS + 1)
    ]
    for column, level in enumerate(levels):
        inside = edges[column + COLUMNS] <= size or column == 0
        if inside and level > max(QUIET * max(levels), SILENCE):
            yield column


def _rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
