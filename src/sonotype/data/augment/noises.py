"""Synthetic sounds that belong to no class: silence, noise, hum, tones and sweeps.

They are the negative examples of the unknown score (:mod:`sonotype.models.unknown`). All are
stationary or nearly so, from -60 dB to full scale, and depend on their number alone. Another noise,
:func:`ambience`, is the background of simulated recordings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Wave = npt.NDArray[np.float64]

KINDS = ("silence", "white", "pink", "brown", "hum", "tone", "sweep")
PER_KIND = 20
LOWEST_DB = -60.0
SPECTRAL_SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}
"""Exponent of the fall of the power spectrum with frequency."""
HARMONICS = 30
LOWEST_HZ, STEEPEST_DB, COLOUR_DB = 20.0, 6.0, 5.0
SWELL_SECONDS, MOST_SWELL_DB = 2, 3.0
"""Of :func:`ambience`."""


def synthetic_noise(number: int, samples: int, sample_rate: int) -> Samples:
    """One sound ``[samples]``; its kind is that of ``number`` in the cycle of :data:`KINDS`."""
    kind = KINDS[number % len(KINDS)]
    rng = np.random.default_rng([number, KINDS.index(kind)])
    if kind == "silence":
        wave = _silence(number // len(KINDS), samples, rng)
    else:
        wave = _scaled(_WAVES[kind](kind, samples, sample_rate, rng), rng.uniform(LOWEST_DB, 0))
    return wave.astype(np.float32)


def _silence(number: int, samples: int, rng: np.random.Generator) -> Wave:
    """Digital silence, a constant offset, or noise of the size of a rounding error."""
    if number % 5 == 0:
        return np.full(samples, rng.uniform(-1e-3, 1e-3) if number % 10 else 0.0)
    if number % 5 < 3:
        noise = rng.standard_normal(samples)
    else:
        noise = np.round(rng.uniform(-1, 1, samples) + rng.uniform(-1, 1, samples))
    return _scaled(noise, rng.uniform(-110, -75))


def _noise(kind: str, samples: int, sample_rate: int, rng: np.random.Generator) -> Wave:
    frequency = np.fft.rfftfreq(samples, 1 / sample_rate)
    kept = frequency >= rng.choice([5, 20, 40])
    gain = np.zeros_like(frequency)
    gain[kept] = frequency[kept] ** (-SPECTRAL_SLOPES[kind] / 2)
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * gain
    return np.fft.irfft(spectrum, samples)


def _hum(_: str, samples: int, sample_rate: int, rng: np.random.Generator) -> Wave:
    """Mains hum of 50 or 60 Hz with harmonics, sometimes in noise."""
    phase = 2 * np.pi * rng.choice([50, 60]) * (1 + rng.uniform(-0.003, 0.003))
    phase = phase * np.arange(samples) / sample_rate
    fall, wave = rng.uniform(0.3, 2), np.zeros(samples)
    for harmonic in range(1, int(rng.integers(3, HARMONICS))):
        level = rng.uniform(0.2, 1) if harmonic % 2 or rng.uniform() < 0.5 else 0.1
        wave += level * harmonic**-fall * np.sin(harmonic * phase + _phase(rng))
    if rng.uniform() < 0.3:
        wave = _scaled(wave, 0) + 10 ** rng.uniform(-3, -1.5) * rng.standard_normal(samples)
    return wave


def _tone(_: str, samples: int, sample_rate: int, rng: np.random.Generator) -> Wave:
    frequency = _log_uniform(40, 0.45 * sample_rate, rng)
    return np.sin(2 * np.pi * frequency * np.arange(samples) / sample_rate + _phase(rng))


def _sweep(_: str, samples: int, sample_rate: int, rng: np.random.Generator) -> Wave:
    """A linear or an exponential sweep, up or down."""
    first, last = (_log_uniform(30, 0.45 * sample_rate, rng) for _ in range(2))
    position = np.arange(samples) / samples
    linear = rng.uniform() < 0.5
    frequency = first + (last - first) * position if linear else first * (last / first) ** position
    return np.sin(2 * np.pi * np.cumsum(frequency) / sample_rate)


_WAVES: dict[str, Callable[[str, int, int, np.random.Generator], Wave]] = {
    **dict.fromkeys(SPECTRAL_SLOPES, _noise),
    "hum": _hum,
    "tone": _tone,
    "sweep": _sweep,
}


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _phase(rng: np.random.Generator) -> float:
    return float(rng.uniform(0, 2 * np.pi))


def _scaled(wave: Wave, decibels: float) -> Wave:
    """The wave with this peak level, in dB of full scale."""
    return wave / max(float(np.abs(wave).max()), 1e-30) * 10 ** (decibels / 20)


def ambience(samples: int, sample_rate: int, rng: np.random.Generator) -> Wave:
    """Noise ``[samples]`` like that of a place, with an RMS of 1.

    The spectrum falls by 0 to 6 dB an octave and differs from that by a few dB from octave to
    octave; the level changes slowly by a few dB.
    """
    frequency = np.fft.rfftfreq(samples, 1 / sample_rate)
    octaves = np.log2(np.maximum(frequency, LOWEST_HZ) / LOWEST_HZ)
    knots = np.arange(int(octaves[-1]) + 2)
    gains = rng.normal(0, COLOUR_DB, len(knots)) - rng.uniform(0, STEEPEST_DB) * knots
    spectrum = np.fft.rfft(rng.standard_normal(samples)) * 10 ** (
        np.interp(octaves, knots, gains) / 20
    )
    spectrum[frequency < LOWEST_HZ] = 0
    moments = np.arange(0, samples + SWELL_SECONDS * sample_rate, SWELL_SECONDS * sample_rate)
    swell = rng.normal(0, rng.uniform(0, MOST_SWELL_DB), len(moments))
    wave = np.fft.irfft(spectrum, samples) * 10 ** (
        np.interp(np.arange(samples), moments, swell) / 20
    )
    return wave / max(float(np.sqrt(np.mean(np.square(wave)))), 1e-30)
