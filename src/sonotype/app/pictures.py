"""Spectrograms as grey pictures: of a clip, and of any part of a recording of hours.

An overview is computed once, in one pass over the sound: the level of each mel band in each frame,
a byte each, in a file. A picture is a part of it in another size, so it takes the same time
wherever it is, and memory does not grow with the recording.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sonotype.app.warm_up import IMPORTING
from sonotype.audio.decode import Samples, seconds_of
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.stream import stream
from sonotype.core.errors import AudioError

BANDS = 96
LOWEST, HIGHEST = 50.0, 16_000.0
"""Hz at the bottom and, if the sound has it, at the top of a picture."""
BIN = 23.5
"""Hz: largest distance of the bins of a spectrum, so that each band has a bin."""
LARGEST_SIZE = 1 << 16
"""Samples of a spectrum at most; a higher sample rate than 1.5 MHz is a wrong header."""
SILENCE, STEP = -140.0, 0.6
"""Decibels of level 0, and from one level to the next; a sine of full scale has about 0 dB."""
RANGE = 80.0
"""Decibels from black to white."""
MOST_FRAMES = 160_000
"""Frames of a recording with frames that overlap; a longer one has no overlap: 2 h at 44.1 kHz."""
FRAMES_AT_ONCE = 512
WIDEST, TALLEST = 4000, 1000
"""Pixels of a picture."""
THUMBNAIL_SECONDS = 30.0

Levels = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Overview:
    """The levels of a recording.

    Attributes:
        levels: ``[frames, bands]``; on the disk if the recording is in a file.
        hop: seconds from frame to frame; frame ``n`` is centred at ``n * hop``.
    """

    levels: Levels
    hop: float


def highest_frequency(rate: int) -> float:
    """Hz at the top of the pictures of a sound with this sample rate."""
    return min(rate / 2, HIGHEST)


def overview_of(path: Path, target: Path, stop: Callable[[], bool] = lambda: False) -> Overview:
    """Compute the overview of a sound file into another file.

    Of a damaged file, what is there before the damage.

    Args:
        path: the sound.
        target: is replaced.
        stop: whether to end early, with the frames so far.

    Raises:
        AudioError: nothing can be read.
        OSError: the target cannot be written.
    """
    with open_sound(path, path.name) as sound:
        rate = sound.rate
    frames = _Frames(rate, seconds_of(path))
    count = 0
    with target.open("wb") as file:
        for levels in frames.levels(_readable(path)):
            file.write(levels.tobytes())
            count += len(levels)
            if stop():
                break
    if not count:
        return Overview(np.zeros((1, BANDS), np.uint8), frames.hop / rate)
    found = np.memmap(target, np.uint8, "r", shape=(count, BANDS))
    return Overview(found, frames.hop / rate)


def picture(overview: Overview, start: float, end: float, size: tuple[int, int]) -> bytes:
    """A part of an overview as PNG in 8-bit grey: the top row is the highest band.

    Black is 80 dB below the loudest level of the picture, or silence. What lies outside of the
    recording is black.

    Args:
        overview: of the recording.
        start: of the part in seconds.
        end: of the part in seconds, after the start.
        size: width and height in pixels.
    """
    width, height = size
    # Frame n covers the time from (n - 1/2) hops on.
    first, last = start / overview.hop + 0.5, end / overview.hop + 0.5
    if last - first > 2 * width:
        columns, box = _reduced(overview.levels, np.linspace(first, last, width + 1)), None
    else:
        begin = math.floor(first) - 1
        columns = _padded(overview.levels, begin, math.ceil(last) + 1)
        box = (first - begin, 0.0, last - begin, float(BANDS))
    image = Image.fromarray(np.ascontiguousarray(columns.T[::-1]))
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box))
    return grey_png(pixels * np.float32(STEP), RANGE, silence=0.0)


def thumbnail(path: Path, width: int, height: int) -> bytes:
    """The start of a sound file, at most 30 s, as a small picture like those of :func:`picture`.

    Raises:
        AudioError: the file cannot be read.
    """
    with open_sound(path, str(path)) as sound:
        rate = sound.rate
        samples = sound.read(round(THUMBNAIL_SECONDS * rate))
    seconds = max(len(samples) / rate, 0.05)
    frames = _Frames(rate, seconds)
    levels = np.concatenate([*frames.levels(iter([np.nan_to_num(samples)]))])
    return picture(Overview(levels, frames.hop / rate), 0.0, seconds, (width, height))


def grey_png(
    decibels: npt.NDArray[np.floating], span: float, *, silence: float = -math.inf
) -> bytes:
    """Levels ``[rows, columns]`` as PNG in 8-bit grey, from black, ``span`` below the largest.

    Args:
        decibels: or any other unit.
        span: from black to white, in that unit.
        silence: value that is black whatever the others are.
    """
    scaled = np.clip((decibels - decibels.max() + span) * (255 / span), 0, 255)
    scaled[decibels <= silence] = 0
    stream = io.BytesIO()
    Image.fromarray(scaled.round().astype(np.uint8)).save(stream, "PNG", compress_level=3)
    return stream.getvalue()


class _Frames:
    """Frames of a sound of about this length, at its own rate."""

    def __init__(self, rate: int, seconds: float) -> None:
        with IMPORTING:
            from sonotype.frontends.mel import mel_bands  # imports torch

        self.size = min(2 ** max(math.ceil(math.log2(rate / BIN)), 5), LARGEST_SIZE)
        hops = [self.size // part for part in (8, 4, 2, 1)]
        self.hop = next((hop for hop in hops if seconds * rate / hop <= MOST_FRAMES), self.size)
        window = np.hanning(self.size + 1)[:-1]
        self._window = (window * (2 / window.sum())).astype(np.float32)
        weights = mel_bands(
            sample_rate=rate, fft_size=self.size, bands=BANDS,
            low=min(LOWEST, rate / 20), high=highest_frequency(rate),
        )  # fmt: skip
        self._weights = weights.astype(np.float32)

    def levels(self, pieces: Iterator[Samples]) -> Iterator[Levels]:
        """The levels ``[frames, bands]`` of consecutive frames."""
        kept = np.zeros(self.size // 2, np.float32)
        tail = np.zeros(self.size // 2 + self.hop - 1, np.float32)
        for piece in _with_end(pieces, tail):
            kept = np.concatenate([kept, piece])
            while (count := min((len(kept) - self.size) // self.hop + 1, FRAMES_AT_ONCE)) > 0:
                end = (count - 1) * self.hop + self.size
                yield self._of(kept[:end])
                kept = kept[count * self.hop :]

    def _of(self, samples: Samples) -> Levels:
        with IMPORTING:
            from scipy.fft import rfft  # takes a while

        windows = np.lib.stride_tricks.sliding_window_view(samples, self.size)[:: self.hop]
        spectra = rfft(windows * self._window)
        power = (spectra.real**2 + spectra.imag**2) @ self._weights
        decibels = 10 * np.log10(power + np.float32(1e-14))
        levels: Levels = np.clip((decibels - SILENCE) / STEP, 0, 255).astype(np.uint8)
        return levels


def _with_end(pieces: Iterator[Samples], tail: Samples) -> Iterator[Samples]:
    any_piece = False
    for piece in pieces:
        any_piece = True
        yield piece
    if any_piece:
        yield tail


def _readable(path: Path) -> Iterator[Samples]:
    """The samples before the damage of a file, if any."""
    try:
        yield from stream(path)
    except AudioError:
        return


def _padded(levels: Levels, begin: int, end: int) -> Levels:
    """Frames ``begin`` to ``end``; level 0 outside of the recording."""
    found = np.zeros((end - begin, BANDS), np.uint8)
    low, high = max(begin, 0), min(end, len(levels))
    if low < high:
        found[low - begin : high - begin] = levels[low:high]
    return found


def _reduced(levels: Levels, edges: npt.NDArray[np.float64]) -> Levels:
    """Several frames as a column: the middle between their mean and their largest level.

    The mean alone would hide short events, the largest level would make noise as bright as them.
    """
    found = np.zeros((len(edges) - 1, BANDS), np.uint8)
    limits = np.clip(np.floor(edges), 0, len(levels)).astype(int)
    for column, (first, end) in enumerate(zip(limits, islice(limits, 1, None), strict=False)):
        if first < end:
            part = levels[first:end]
            found[column] = ((part.mean(0) + part.max(0)) / 2).astype(np.uint8)
    return found
