"""Augmentation of waveforms: time shift, gain, same-class and between-class mixing.

For training clips only. Random numbers come from the caller's generator, so the same seed gives the
same samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sonotype.audio.decode import Samples

CENTRE_LOW, CENTRE_HIGH = 150.0, 8_000.0
WIDTH_LOW, WIDTH_HIGH = 5.0, 7.0
"""The equaliser's centre in Hz (log-uniform) and its standard deviation in semitones (uniform)."""


@dataclass(frozen=True)
class Mixing:
    """Largest delay in seconds, gain and equaliser gain in dB of same-class mixing."""

    delay: float = 2.5
    gain: float = 6.0
    equaliser: float = 10.0


def time_shift(
    samples: Samples, sample_rate: int, most: float, rng: np.random.Generator
) -> Samples:
    """Shift a clip circularly by up to ``most`` seconds in either direction.

    The time is drawn in seconds, so it is the same at every sample rate.
    """
    return np.roll(samples, round(rng.uniform(-most, most) * sample_rate))


def gain(samples: Samples, most_db: float, rng: np.random.Generator) -> Samples:
    """Change the level by up to ``most_db``, up or down."""
    factor = 10 ** (rng.uniform(-most_db, most_db) / 20)
    return (samples * factor).astype(np.float32)


def delay(samples: Samples, sample_rate: int, most: float, rng: np.random.Generator) -> Samples:
    """Delay a clip by up to ``most`` seconds of silence; its end is cut.

    The time is drawn in seconds, as in :func:`time_shift`. At least one sample remains.
    """
    seconds = rng.uniform(0, min(most, len(samples) / sample_rate))
    late = min(round(seconds * sample_rate), len(samples) - 1)
    return np.concatenate([np.zeros(late, samples.dtype), samples[: len(samples) - late]])


def equalise(
    samples: Samples, sample_rate: int, most_db: float, rng: np.random.Generator
) -> Samples:
    """Amplify or attenuate a band around a random frequency.

    The gain in dB is a Gaussian bump over log-frequency: height uniform within ``most_db`` either
    way, centre log-uniform from 150 to 8,000 Hz, standard deviation 5 to 7 semitones. Schlüter and
    Grill, "Exploring data augmentation for improved singing voice detection" (2015), the paper's
    reference [8].
    """
    centre = CENTRE_LOW * (CENTRE_HIGH / CENTRE_LOW) ** rng.uniform()
    width = rng.uniform(WIDTH_LOW, WIDTH_HIGH)
    height = rng.uniform(-most_db, most_db)
    frequencies = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    semitones = 12 * np.log2(np.maximum(frequencies, 1.0) / centre)
    bump = 10 ** (height * np.exp(-0.5 * (semitones / width) ** 2) / 20)
    equalised = np.fft.irfft(np.fft.rfft(samples) * bump, n=len(samples))
    return equalised.astype(np.float32)


def between_class_mix(first: Samples, second: Samples, sample_rate: int, share: float) -> Samples:
    """Mix two clips of different classes, the first with a given share.

    Tokozume, Ushiku, Harada, "Learning from between-class examples for deep sound recognition"
    (2018). Levels are those of the loudest tenth of a second, so the share is a share of perceived
    level. The mixture is scaled so that the squares of both factors sum to 1.

    Shape:
        ``[samples], [samples] -> [samples]``, at the level of the first.
    """
    level, other = (_loudest(samples, sample_rate) for samples in (first, second))
    if not level or not other:
        return first if level else second
    scale = 1 / np.hypot(share, 1 - share)
    mixed: Samples = share * first + (1 - share) * (level / other) * second
    return np.asarray(scale * mixed, dtype=np.float32)


def _loudest(samples: Samples, sample_rate: int) -> float:
    """Root mean square of the loudest tenth of a second."""
    window = min(sample_rate // 10, len(samples))
    whole = samples[: len(samples) // window * window].astype(np.float64)
    return float(np.sqrt(np.square(whole).reshape(-1, window).mean(1).max()))


def mix_same_class(
    first: Samples, second: Samples, sample_rate: int, mixing: Mixing, rng: np.random.Generator
) -> Samples:
    """The mean of two clips of one class, each with its own random delay, gain and equaliser.

    The paper's section 1.2 (CBIR_3).

    Shape:
        ``[samples], [samples] -> [samples]``
    """
    total = np.zeros_like(first)
    for samples in (first, second):
        samples = delay(samples, sample_rate, mixing.delay, rng)
        samples = gain(samples, mixing.gain, rng)
        total += equalise(samples, sample_rate, mixing.equaliser, rng)
    return (total / 2).astype(np.float32)
