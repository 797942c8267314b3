"""Parts of the spectrogram of a recording, which is read once and in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import rfft

from sonotype.audio.decode import Samples, value_issue
from sonotype.audio.decoders.decoder import Decoder
from sonotype.data.annotations.spans import merged

BIN = 50.0
"""Hz: largest distance of the bins of a spectrum; the smallest is half of it."""
LARGEST_SIZE = 1 << 16
"""Samples of a window at most; a higher sample rate than 3.3 MHz is a wrong header."""
BANDS_PER_OCTAVE = 12
"""Bands are this wide, or one bin where bins are wider: below about 500 Hz."""
FLOOR = 1e-13
"""Power of a band in digital silence; that of a sine of full scale is 0.5."""
BLOCK = 512
"""Frames that are computed at once: 5 to 10 s."""
SHARED = 4
"""Hops in a frame: frames that are so many frames apart have no sample in common."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Spectrogram:
    """Power in bands of frequencies over time.

    A frame is the mean of the spectra of three windows that overlap by half, so it spans two
    windows: 40 to 80 ms. Frame ``n`` begins at sample ``n * hop``; its centre is ``size`` later.

    Attributes:
        rate: sample rate in Hz.
        size: samples of a window; a power of 2.
        first: ``[bands]`` first bin of each band.
        edges: ``[bands + 1]`` limits of the bands in Hz.
    """

    rate: int
    size: int
    first: npt.NDArray[np.intp]
    edges: npt.NDArray[np.float64]

    @classmethod
    def up_to(cls, highest: float, rate: int) -> Spectrogram:
        """The spectrogram at a sample rate, up to a frequency in Hz."""
        size = min(2 ** max(math.ceil(math.log2(rate / BIN)), 3), LARGEST_SIZE)
        highest = min(highest, rate / 2)
        end = max(round(highest / rate * size) + 1, 2)
        limits = [1]  # bin 0 is the mean of the samples
        while limits[-1] < end:
            limits.append(max(limits[-1] + 1, round(limits[-1] * 2 ** (1 / BANDS_PER_OCTAVE))))
        limits[-1] = end
        edges = np.minimum((np.array(limits) - 0.5) * rate / size, highest)
        return cls(rate, size, np.array(limits[:-1], dtype=np.intp), edges)

    @property
    def hop(self) -> int:
        """Samples from one frame to the next: half a window."""
        return self.size // 2

    def frame(self, seconds: float) -> int:
        """The first frame whose centre is at this time or later."""
        return max(math.ceil((seconds * self.rate - self.size) / self.hop), 0)

    def frames(self, seconds: float) -> int:
        """Number of frames in some seconds."""
        return math.ceil(seconds * self.rate / self.hop)

    def power(self, samples: Samples) -> Floats:
        """Mean square of the samples in each band.

        Shape:
            ``[(frames + 3) * hop] -> [frames, bands]``; fewer than a hop more are left out.
        """
        if len(samples) < SHARED * self.hop:
            return np.zeros((0, len(self.first)), dtype=np.float32)
        window = np.hanning(self.size + 1)[:-1]
        window /= math.sqrt(self.size * (window**2).sum() / 2)  # half: the bins below 0 Hz
        windows = np.lib.stride_tricks.sliding_window_view(samples, self.size)[:: self.hop]
        spectra = rfft(windows * window.astype(np.float32))
        bins = spectra.real**2 + spectra.imag**2
        end = round(self.edges[-1] / self.rate * self.size) + 1
        bands = np.add.reduceat(bins[:, :end], self.first, axis=1)
        mean = (bands[:-2] + bands[1:-1] + bands[2:]) / 3 + FLOOR
        return np.asarray(mean, dtype=np.float32)

    def blocks(
        self, sound: Decoder, parts: Iterable[tuple[int, int]]
    ) -> Iterator[tuple[int, Floats]]:
        """The frames of some parts of a sound in order, each frame once.

        It ends with the sound, or before samples that are no numbers.

        Args:
            sound: at its beginning.
            parts: first frame and end of each; they may overlap.

        Yields:
            the first frame and the power ``[frames, bands]`` of consecutive frames.
        """
        position = 0
        # parts with samples in common are read as one
        for first, padded_end in merged((first, end + SHARED) for first, end in parts):
            frame, end = int(first), int(padded_end) - SHARED
            position += sound.skip_about(frame * self.hop - position)
            samples = np.zeros(0, dtype=np.float32)
            while frame < end:
                wanted = (min(BLOCK, end - frame) + SHARED - 1) * self.hop - len(samples)
                more = sound.read(wanted)
                position += len(more)
                samples = np.concatenate([samples, more])
                if value_issue(samples):
                    return
                power = self.power(samples)
                if len(power):
                    yield frame, power
                if len(more) < wanted:
                    return
                frame += len(power)
                samples = samples[len(power) * self.hop :]


class FrameBuffer:
    """The last frames of the blocks of a spectrogram.

    Args:
        blocks: see :meth:`Spectrogram.blocks`.
        bands: number of bands.
        longest: number of frames before the end of an interval that later intervals may begin.
    """

    def __init__(self, blocks: Iterator[tuple[int, Floats]], bands: int, longest: int) -> None:
        self._blocks, self._longest = blocks, longest
        self._first = 0
        self._kept: Floats = np.zeros((0, bands), dtype=np.float32)

    def read(self, first: int, end: int) -> Floats:
        """Frames ``first`` to ``end``; fewer where the sound ends. Ends must not decrease."""
        while self._first + len(self._kept) < end:
            block = next(self._blocks, None)
            if block is None:
                break
            position, power = block
            if position == self._first + len(self._kept):
                dropped = min(max(end - self._longest - self._first, 0), len(self._kept))
                power = np.concatenate([self._kept[dropped:], power])
                position = self._first + dropped
            self._first, self._kept = position, power
        return self._kept[max(first - self._first, 0) : max(end - self._first, 0)]
