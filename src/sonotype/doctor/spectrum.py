"""Measures of a spectrum: the frequency above which there is nothing, and mains hum.

The first is computed from the mean power spectrum, the second from the spectra of long frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr
from numpy.lib.stride_tricks import sliding_window_view

from sonotype.audio.decode import Samples

FloatArray = npt.NDArray[np.float64]

FRAME = 2048
"""Samples of a frame of the spectrum for the bandwidth."""
LOWEST_EDGE, HIGHEST_EDGE = 0.1, 0.92
"""Part of the Nyquist frequency in which a cut-off is looked for. Converters and encoders cut above
the upper limit."""
EDGE_DROP = 24.0
"""dB from just below to all above a cut-off. Natural sounds fall by less within 7 % of the Nyquist
frequency."""

MAINS = (50.0, 60.0)
HUM_RATE = 2000
"""Hz at which hum is looked for; its lines are below 750 Hz."""
HUM_SECONDS, HUM_HOP = 2.0, 0.5
"""Length and distance of the frames for hum. Their bins are 0.5 Hz wide."""
HUM_QUANTILE = 0.25
"""Of the frames of a bin: hum is there all the time, so it stands out where the sound pauses."""
HARMONICS = 12
TOLERANCE = 0.1
"""Hz by which mains may differ from its nominal frequency."""
LINE, FEWEST_LINES = 11.0, 4
"""dB of a line of hum above its neighbourhood, and lines that are needed. At other frequencies than
50 and 60 Hz, this finds 2 of the 1,600 clips of ESC-50."""
FAINTEST = -70.0
"""dBFS of the faintest hum that is reported."""
NEAR, FAR = 3.0, 12.0
"""Hz: the neighbourhood of a line on both sides."""


def power_spectrum(samples: Samples, length: int) -> FloatArray:
    """Mean power of Hann frames with half overlap, ``[samples] -> [length / 2 + 1]``.

    A sine of amplitude 1 has about 0.25 at its frequency. Zeros where the sound is shorter.
    """
    if len(samples) < length:
        return np.zeros(length // 2 + 1)
    window = np.hanning(length)
    window = (window / window.sum()).astype(np.float32)
    total = np.zeros(length // 2 + 1)
    starts = range(0, len(samples) - length + 1, length // 2)
    for first in range(0, len(starts), 64):
        frames = [samples[start : start + length] for start in starts[first : first + 64]]
        total += np.square(np.abs(np.fft.rfft(np.stack(frames) * window))).sum(axis=0)
    return total / len(starts)


def cutoff(power: FloatArray, rate: int) -> tuple[float, float]:
    """The steepest edge of a spectrum with nothing above it.

    Args:
        power: of :func:`power_spectrum` with frames of :data:`FRAME`.
        rate: in Hz.

    Returns:
        the frequency in Hz, and the drop in dB from the median just below it to the 98th percentile
        of all above it.
    """
    level = 10 * np.log10(power + 1e-16)
    top = len(level) - 1
    gap, width = top // 80 + 1, top // 20
    edges = range(int(LOWEST_EDGE * top), int(HIGHEST_EDGE * top), 4)
    drops = [
        np.median(level[edge - gap - width : edge - gap])
        - np.percentile(level[edge + gap : top - 8], 98)
        for edge in edges
    ]
    best = int(np.argmax(drops))
    return edges[best] / top * rate / 2, float(drops[best])


def hum(samples: Samples, rate: int) -> tuple[float, float]:
    """Mains hum: its frequency in Hz (0 if there is none) and its level in dBFS.

    Hum has lines at exact multiples of 50 or 60 Hz during the whole sound. A steady tone at such a
    frequency has lines at the multiples of its own frequency only: lines whose indices have a
    common divisor above 2 do not count. A machine that turns with the mains cannot be told from
    hum. Sounds shorter than a frame have none.
    """
    if rate > HUM_RATE:
        samples, rate = soxr.resample(samples, rate, HUM_RATE), HUM_RATE
    length = round(HUM_SECONDS * rate)
    if len(samples) < length:
        return 0.0, 0.0
    window = np.hanning(length)
    frames = sliding_window_view(samples, length)[:: round(HUM_HOP * rate)]
    powers = np.square(np.abs(np.fft.rfft(frames * (window / window.sum()))))
    power = np.quantile(powers, HUM_QUANTILE, axis=0)
    step = rate / length
    prominence = _prominence(power, step)
    lines, mains = max(((_lines(prominence, step, mains), mains) for mains in MAINS), key=_strength)
    if len(lines) < FEWEST_LINES:
        return 0.0, 0.0
    # A Hann line of amplitude 1 has 1/4 in its bin, and 1.5 times that in its three bins.
    energy = 2 / 1.5 * sum(float(power[line - 1 : line + 2].sum()) for line in lines)
    level = 10 * float(np.log10(max(energy, 1e-16)))
    return (mains, level) if level >= FAINTEST else (0.0, 0.0)


def _strength(found: tuple[dict[int, float], float]) -> float:
    """Sum of the prominences of lines in dB."""
    return sum(found[0].values())


def _lines(prominence: FloatArray, step: float, mains: float) -> dict[int, float]:
    """By bin of a line of hum its prominence, at the best frequency near the nominal one."""
    best: dict[int, float] = {}
    harmonics = np.arange(1, HARMONICS + 1)
    for frequency in np.linspace(mains - TOLERANCE, mains + TOLERANCE, 11):
        bins = np.round(harmonics * frequency / step).astype(int)
        bins = bins[bins < len(prominence)]
        clear = np.flatnonzero(prominence[bins] >= LINE)
        if len(clear) and np.gcd.reduce(harmonics[clear]) <= 2:
            lines = {int(line): float(prominence[line]) for line in bins[clear]}
            best = max(best, lines, key=lambda one: sum(one.values()))
    return best


def _prominence(power: FloatArray, step: float) -> FloatArray:
    """Level of each bin above the median of its neighbourhood, ``[bins] -> [bins]``, in dB."""
    near, far = round(NEAR / step), round(FAR / step)
    around = sliding_window_view(np.pad(power, far, mode="edge"), 2 * far + 1)
    sides = np.concatenate([around[:, : far - near + 1], around[:, far + near :]], axis=1)
    floor = np.median(sides, axis=1)
    level: FloatArray = 10 * np.log10((power + 1e-16) / (floor + 1e-16))
    return level
