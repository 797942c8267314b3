"""Measures of a spectrum: the frequency above which there is nothing, and mains hum.

Both are computed from the mean power spectrum of a block of samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

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
HUM_SECONDS = 2.0
"""Length of the frames for hum, so that its lines are 0.5 Hz wide."""
HARMONICS = 12
TOLERANCE = 0.25
"""Hz by which mains may differ from its nominal frequency; harmonics multiply it."""
LINE = 15.0
"""dB of a line of hum above its neighbourhood."""
FEWEST_LINES = 4
MOST_HUM = 0.9
"""Part of the power above which the lines are the sound itself: an engine, a transformer."""


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

    Hum has lines at exact multiples of 50 or 60 Hz in the first and in the second half of a sound.
    A steady tone at such a frequency has lines at the multiples of its own frequency only: lines
    whose indices have a common divisor above 2 do not count. Neither do lines that have more than
    nine tenths of the power: a machine or a transformer that is the sound itself.
    """
    length = round(HUM_SECONDS * rate)
    half = len(samples) // 2
    if half < length:
        halves = [power_spectrum(samples, length)]
    else:
        halves = [power_spectrum(part, length) for part in (samples[:half], samples[half:])]
    step = rate / length
    found = max(((*_lines(halves, step, mains), mains) for mains in MAINS), key=lambda x: x[0])
    lines, power, mains = found
    total = float(np.mean([part[round(20 / step) :].sum() for part in halves]))
    if lines < FEWEST_LINES or power > MOST_HUM * total:
        return 0.0, 0.0
    # A Hann line spreads over three bins: 1.5 times its squared peak.
    return mains, 10 * float(np.log10(max(2 * power / 1.5, 1e-16)))


def _lines(halves: list[FloatArray], step: float, mains: float) -> tuple[int, float]:
    """The number of lines of hum in all halves, and their mean power."""
    indices, power = [], 0.0
    for harmonic in range(1, HARMONICS + 1):
        centre = harmonic * mains / step
        if centre + 12 / step >= len(halves[0]):
            break
        strengths = [_line(part, centre, harmonic * TOLERANCE / step, step) for part in halves]
        if min(prominence for prominence, _ in strengths) >= LINE:
            indices.append(harmonic)
            power += float(np.mean([line for _, line in strengths]))
    if not indices or np.gcd.reduce(indices) > 2:
        return 0, 0.0
    return len(indices), power


def _line(power: FloatArray, centre: float, tolerance: float, step: float) -> tuple[float, float]:
    """Prominence in dB of a line near a bin, and the power of its three bins."""
    reach = max(1, min(round(tolerance), round(1 / step)))
    middle = round(centre)
    peak = middle - reach + int(np.argmax(power[middle - reach : middle + reach + 1]))
    near, far = round(3 / step), round(12 / step)
    around = np.concatenate(
        [power[middle - far : middle - near], power[middle + near : middle + far]]
    )
    floor = float(np.median(around)) + 1e-16
    return 10 * float(np.log10(power[peak] / floor + 1e-16)), float(
        power[peak - 1 : peak + 2].sum()
    )
