"""Measure one sound in one pass: level, clipping, silence, spectrum, channels."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.audio.decode import Samples, value_issue, verify
from sonotype.audio.decoders.libsndfile import open_soundfile
from sonotype.core.errors import TruncatedError, cause_of
from sonotype.core.io import file_sha256
from sonotype.core.types import Content
from sonotype.doctor.spectrum import FRAME, cutoff, hum, power_spectrum

FRAME_SECONDS = 0.05
"""Of the frames whose level decides what is silence."""

_BINS_PER_UNIT = 2000
_CHANNEL_BLOCK = 1 << 20

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measurement:
    """What was measured of one sound.

    Attributes:
        path: the file.
        content: its digests; ``None`` if it cannot be read.
        error: why it cannot be read; empty if it can.
        damage: what is missing of a truncated file.
        rate: in Hz.
        seconds: length.
        peak: largest absolute value; infinite for values that are no numbers.
        mean: of all samples.
        active_seconds: of frames within 40 dB of the loudest frame and above -60 dBFS.
        flat: samples at the very peak, in runs of at least three.
        at_peak: samples in the top 0.1 % of the amplitude, and those in the next 0.3 %, or in the
            next three steps of the format if they are larger.
        near_full_scale: samples of 0.95 and more, and those from 0.8 to 0.9.
        full_scale_pairs: neighbouring samples of 0.95 and more.
        cutoff: of :func:`sonotype.doctor.spectrum.cutoff`: Hz and dB.
        hum: of :func:`sonotype.doctor.spectrum.hum`: Hz and dBFS.
        channels: peaks of the channels; empty for one channel.
        correlation: of the first two channels.
        averaged: RMS of the average of the first two channels, relative to that of the louder one.
    """

    path: Path
    content: Content | None = None
    error: str = ""
    damage: str = ""
    rate: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    mean: float = 0.0
    active_seconds: float = 0.0
    flat: int = 0
    at_peak: tuple[int, int] = (0, 0)
    near_full_scale: tuple[int, int] = (0, 0)
    full_scale_pairs: int = 0
    cutoff: tuple[float, float] = (0.0, 0.0)
    hum: tuple[float, float] = (0.0, 0.0)
    channels: tuple[float, ...] = ()
    correlation: float = 0.0
    averaged: float = 1.0


OnSound = Callable[[int, Samples], None]
"""Gets the rate and the samples of each block of a sound."""


def measure(path: Path, on_block: OnSound | None = None) -> Measurement:
    """Decode a file once and measure it; an error of the file is part of the result.

    Memory does not grow with the length of the sound, except for the level of each frame.

    Args:
        path: the file.
        on_block: also gets every block.
    """
    blocks = _Blocks(on_block)
    damage, error, digest = "", "", ""
    try:
        digest = verify(path, blocks)
    except TruncatedError as truncated:
        damage = truncated.cause
        if not blocks.size:
            return Measurement(path, error=damage)
    except Exception as failure:  # an error of this file alone
        error = cause_of(failure)
        if not blocks.size or not blocks.invalid:
            return Measurement(path, error=error)
    try:
        content = Content(file_sha256(path), digest)
        channels, correlation, averaged = _channels(path)
    except OSError as failure:
        return Measurement(path, error=cause_of(failure))
    return blocks.result(
        path,
        content=content,
        damage=damage,
        channels=channels,
        correlation=correlation,
        averaged=averaged,
    )


@dataclass
class _Blocks:
    """Sums over the blocks of a sound."""

    on_block: OnSound | None = None
    rate: int = 0
    size: int = 0
    total: float = 0.0
    peak: float = 0.0
    invalid: bool = False
    flat: int = 0
    pairs: int = 0
    levels: list[FloatArray] = field(default_factory=list)
    histogram: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros(2 * _BINS_PER_UNIT + 1, np.int64)
    )
    power: FloatArray = field(default_factory=lambda: np.zeros(FRAME // 2 + 1))
    hum: tuple[float, float] = (0.0, 0.0)
    at_peak: tuple[int, int] = (0, 0)

    def __call__(self, rate: int, samples: Samples) -> None:
        self.rate = rate
        self.size += len(samples)
        if value_issue(samples):
            self.invalid = True
            magnitude = np.abs(samples)
            self.peak = max(self.peak, _finite_or_infinite(float(magnitude.max())))
            return
        if self.on_block is not None:
            self.on_block(rate, samples)
        self.total += float(samples.sum(dtype=np.float64))
        self._amplitudes(np.abs(samples))
        self.levels.append(_frame_levels(samples, round(FRAME_SECONDS * rate)))
        self.power += power_spectrum(samples, FRAME) * len(samples)
        self.hum = max(self.hum, hum(samples, rate))

    def _amplitudes(self, magnitude: Samples) -> None:
        peak = float(magnitude.max())
        if peak >= self.peak:  # the bands at the peak of the loudest block
            # Quiet sounds of 8 or 16 bits have no values in such narrow bands.
            step = _step(magnitude[magnitude >= 0.5 * peak])
            flat = magnitude >= peak - max(0.001 * peak, 0.5 * step)
            inside = flat[1:-1] & flat[:-2] & flat[2:]
            self.flat = int(inside.sum())
            high = int(flat.sum())
            below = int((magnitude >= peak - max(0.004 * peak, 3.5 * step)).sum()) - high
            self.at_peak = (high, below)
            self.peak = peak
        near = magnitude >= 0.95
        self.pairs += int((near[1:] & near[:-1]).sum())
        bins = np.minimum(magnitude * _BINS_PER_UNIT, 2 * _BINS_PER_UNIT).astype(np.int64)
        self.histogram += np.bincount(bins, minlength=len(self.histogram))

    def result(self, path: Path, **others: object) -> Measurement:
        levels = np.concatenate(self.levels) if self.levels else np.zeros(1)
        floor = max(float(levels.max()) * 1e-2, 1e-3)
        unit = _BINS_PER_UNIT
        high = int(self.histogram[round(0.95 * unit) :].sum())
        lower = int(self.histogram[round(0.8 * unit) : round(0.9 * unit)].sum())
        has_spectrum = bool(self.power.max() > 0)
        return Measurement(
            path,
            rate=self.rate,
            seconds=self.size / self.rate,
            peak=self.peak,
            mean=self.total / self.size,
            active_seconds=float((levels >= floor).sum()) * FRAME_SECONDS,
            flat=self.flat,
            at_peak=self.at_peak,
            near_full_scale=(high, lower),
            full_scale_pairs=self.pairs,
            cutoff=cutoff(self.power / self.size, self.rate) if has_spectrum else (0.0, 0.0),
            hum=self.hum,
            **others,  # type: ignore[arg-type]
        )


def _step(values: Samples) -> float:
    """The smallest difference of two values; 0 if all are equal."""
    steps = np.diff(np.unique(values))
    return float(steps.min()) if len(steps) else 0.0


def _finite_or_infinite(value: float) -> float:
    return value if math.isfinite(value) else math.inf


def _frame_levels(samples: Samples, length: int) -> FloatArray:
    """RMS of consecutive frames around their mean; the last frame may be shorter."""
    starts = np.arange(0, len(samples), max(length, 1))
    sizes = np.diff([*starts, len(samples)])
    centred = samples - samples.mean()
    squares: FloatArray = np.add.reduceat(np.square(centred, dtype=np.float64), starts)
    return np.sqrt(squares / sizes)


def _channels(path: Path) -> tuple[tuple[float, ...], float, float]:
    """Peaks of the channels, and the correlation and level of the average of the first two.

    Only files that libsndfile opens are measured; empty for others, and for one channel.
    """
    with ExitStack() as stack:
        file = open_soundfile(path, stack)
        if file is None or file.channels < 2:
            return (), 0.0, 1.0
        peaks = np.zeros(file.channels)
        products = np.zeros((2, 2))
        while len(block := _next_block(file)):
            peaks = np.maximum(peaks, np.abs(block).max(axis=0))
            first = block[:, :2].astype(np.float64)
            products += first.T @ first
    energies = np.diag(products)
    both = float(np.sqrt(energies.prod()))
    average = float(products.sum()) / 4
    return (
        tuple(map(float, peaks)),
        float(products[0, 1]) / both if both else 0.0,
        math.sqrt(max(average, 0.0) / float(energies.max())) if energies.max() else 1.0,
    )


def _next_block(file: object) -> npt.NDArray[np.float32]:
    """The next frames, ``[frames, channels]``; none at the end, and where a file is damaged."""
    import soundfile

    try:
        block: npt.NDArray[np.float32] = file.read(  # type: ignore[attr-defined]
            _CHANNEL_BLOCK, dtype="float32", always_2d=True
        )
    except soundfile.LibsndfileError:
        return np.zeros((0, 2), np.float32)
    return block
