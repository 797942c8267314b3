"""Sounds with a fault, and near copies: from samples, a rate and random numbers to a file.

The faults are named as the kinds of findings of ``sonotype doctor``. Their parameters are random.
Used by ``planted_faults.py``.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Samples = npt.NDArray[np.float32]
Rng = np.random.Generator
Content = tuple[str, bytes]
"""Suffix and bytes of a file."""
Maker = Callable[[Samples, int, Rng], Content]


def encoded(
    samples: npt.NDArray[np.floating], rate: int, form: str = "WAV", subtype: str | None = None
) -> Content:
    """A sound file with these samples, scaled if the format would clip them.

    Args:
        samples: of one or two channels.
        rate: in Hz.
        form: as libsndfile names it.
        subtype: the same; of Ogg Vorbis a quality of 0.1 to 0.9.
    """
    if subtype != "FLOAT":
        samples = samples / max(np.abs(samples).max(), 1)
    stream, quality = io.BytesIO(), {}
    channels = samples.shape[1] if samples.ndim > 1 else 1
    if form == "OGG":
        quality = {"compression_level": 1 - float(subtype or 0.5)}
        subtype = "VORBIS"
    with soundfile.SoundFile(
        stream, "w", rate, channels, format=form, subtype=subtype, **quality
    ) as file:
        for start in range(0, len(samples), rate):  # libsndfile crashes with long blocks of Vorbis
            file.write(samples[start : start + rate])
    return f".{form.lower()}", stream.getvalue()


def any_format(samples: npt.NDArray[np.floating], rate: int, rng: Rng) -> Content:
    """In one of the usual formats without loss."""
    forms = (("WAV", "PCM_16"), ("WAV", "PCM_24"), ("FLAC", "PCM_16"), ("WAV", "FLOAT"))
    return encoded(samples, rate, *rng.choice(forms))


def scaled(samples: Samples, peak: float) -> Samples:
    """The samples with this peak."""
    return samples * np.float32(peak / np.abs(samples).max())


def loudest(samples: Samples, length: int) -> Samples:
    """The part of a length with the most energy."""
    energy = np.cumsum(np.square(samples, dtype=np.float64))
    start = int(np.argmax(energy[length:] - energy[:-length]))
    return samples[start : start + length]


# Faults of single sounds: from samples, rate and random numbers to a file


def unreadable(samples: Samples, rate: int, rng: Rng) -> Content:
    """An empty file, random bytes, or a web page."""
    contents = (b"", rng.bytes(3000), b"<html><body>404 Not Found</body></html>")
    return ".wav", contents[rng.integers(3)]


def truncated(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 30 to 90 % of a file."""
    suffix, content = encoded(samples, rate, str(rng.choice(("WAV", "FLAC"))))
    return suffix, content[: int(len(content) * rng.uniform(0.3, 0.9))]


def silent(samples: Samples, rate: int, rng: Rng) -> Content:
    """Zeros, or hiss at -86 dBFS."""
    hiss = rng.choice((0, 5e-5)) * rng.uniform(-1, 1, len(samples))
    return encoded(hiss, rate, subtype="PCM_24")


def nearly_empty(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 0.1 to 0.3 s of sound in 4 to 8 s of silence, or of hiss at -80 dBFS."""
    part = loudest(samples, round(rng.uniform(0.1, 0.3) * rate))
    whole = rng.normal(0, rng.choice((0, 1e-4)), round(rng.uniform(4, 8) * rate))
    start = rng.integers(len(whole) - len(part))
    whole[start : start + len(part)] += scaled(part, rng.uniform(0.2, 0.9))
    return any_format(whole, rate, rng)


def clipped(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 0.5 to 5 % of the samples are at the limit, which is anywhere from 0.3 to 1."""
    limit = np.quantile(np.abs(samples), 1 - rng.uniform(0.005, 0.05))
    return any_format(scaled(np.clip(samples, -limit, limit), rng.uniform(0.3, 1)), rate, rng)


def dc_offset(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 0.015 to 0.2 of full scale."""
    offset = rng.choice((-1, 1)) * rng.uniform(0.015, 0.2)
    return any_format(scaled(samples, rng.uniform(0.1, 0.75)) + offset, rate, rng)


def mains_hum(samples: Samples, rate: int, rng: Rng) -> Content:
    """At -45 to -25 dBFS, in a sound of a peak of -20 to -2 dBFS."""
    harmonics = np.arange(1, 11)
    levels = harmonics ** -rng.uniform(0.3, 1.5) * 10 ** (rng.normal(0, 0.2, 10))
    if rng.random() < 0.3:  # of a rectifier: even multiples
        levels[::2] *= 0.1
    angles = np.outer(np.arange(len(samples)) / rate, harmonics)
    hz = rng.choice((50, 60)) + rng.uniform(-0.05, 0.05)
    hum = np.sin(2 * np.pi * hz * angles + rng.uniform(0, 6, 10)) @ levels
    hum *= 10 ** (rng.uniform(-45, -25) / 20) / np.sqrt(np.mean(hum**2))
    return any_format(scaled(samples, 10 ** (rng.uniform(-20, -2) / 20)) + hum, rate, rng)


def above_full_scale(samples: Samples, rate: int, rng: Rng) -> Content:
    """A peak of 2.5 to 3,000."""
    return encoded(scaled(samples, 10 ** rng.uniform(0.4, 3.5)), rate, subtype="FLOAT")


def far_above_full_scale(samples: Samples, rate: int, rng: Rng) -> Content:
    """A peak of 12,600 to 10^9."""
    return encoded(scaled(samples, 10 ** rng.uniform(4.1, 9)), rate, subtype="FLOAT")


def not_numbers(samples: Samples, rate: int, rng: Rng) -> Content:
    """One sample is NaN or infinite."""
    samples = samples.copy()
    samples[rng.integers(len(samples))] = rng.choice((np.nan, np.inf))
    return encoded(samples, rate, subtype="FLOAT")


def quiet(samples: Samples, rate: int, rng: Rng) -> Content:
    """A peak of -76 to -61 dBFS."""
    return any_format(scaled(samples, 10 ** rng.uniform(-3.8, -3.05)), rate, rng)


def dead_channel(samples: Samples, rate: int, rng: Rng) -> Content:
    """A second channel of zeros, or of hiss at -86 dBFS."""
    other = rng.choice((0, 5e-5)) * rng.uniform(-1, 1, len(samples))
    return any_format(rng.permutation(np.stack([samples, other], axis=1), axis=1), rate, rng)


def cancelled(samples: Samples, rate: int, rng: Rng) -> Content:
    """Two channels, one inverted."""
    return any_format(np.stack([samples, -samples], axis=1), rate, rng)


def inverted_channel(samples: Samples, rate: int, rng: Rng) -> Content:
    """Two channels, one inverted, quieter and noisy."""
    noise = rng.normal(0, 0.1 * samples.std(), len(samples))
    other = -rng.uniform(0.3, 0.9) * samples + noise
    return any_format(np.stack([scaled(samples, 0.9), other], axis=1), rate, rng)


def too_short(samples: Samples, rate: int, rng: Rng) -> Content:
    """From 10 to 90 ms."""
    return any_format(loudest(samples, round(rng.uniform(0.01, 0.09) * rate)), rate, rng)


def low_passed(samples: Samples, rate: int, rng: Rng) -> Content:
    """Converted to a lower rate and back, or only to a higher one."""
    new = rng.uniform(0.25, 0.75) * rate
    if rng.random() < 0.5:
        return any_format(soxr.resample(soxr.resample(samples, rate, new), new, rate), rate, rng)
    higher = int(rng.choice([x for x in (22_050, 32_000, 44_100, 48_000, 96_000) if x > rate]))
    return any_format(soxr.resample(samples, rate, higher), higher, rng)


def wrong_extension(samples: Samples, rate: int, rng: Rng) -> Content:
    """Named as another format."""
    named, content = rng.permutation(("WAV", "FLAC", "OGG", "MP3"))[:2]
    return f".{named.lower()}", encoded(samples, rate, str(content))[1]


def passed_over(samples: Samples, rate: int, rng: Rng) -> Content:
    """Named with a suffix that is none of sounds."""
    return str(rng.choice((".dat", ".bin", ".wav_", ".part"))), encoded(samples, rate)[1]


FAULTS: tuple[Maker, ...] = (
    *(unreadable, truncated, silent, nearly_empty, clipped, dc_offset, mains_hum),
    *(above_full_scale, far_above_full_scale, not_numbers, quiet, dead_channel, cancelled),
    *(inverted_channel, too_short, low_passed, wrong_extension, passed_over),
)


# Copies


def exact(samples: Samples, rate: int, rng: Rng) -> Content:
    """The same samples in another format."""
    return encoded(samples, rate, subtype="FLOAT")


def shifted(samples: Samples, rate: int, rng: Rng) -> Content:
    """Up to a second of hiss before the sound."""
    pause = rng.normal(0, 1e-3, round(rng.uniform(0.05, 1) * rate)).astype(np.float32)
    return any_format(np.concatenate([pause, samples])[: len(samples)], rate, rng)


def ogg_vorbis(samples: Samples, rate: int, rng: Rng) -> Content:
    """Encoded again with a quality of 0.1 to 0.9."""
    return encoded(samples, rate, "OGG", f"{rng.uniform(0.1, 0.9):.2f}")


def louder(samples: Samples, rate: int, rng: Rng) -> Content:
    """By up to 20 dB louder or quieter, without clipping."""
    peak = float(np.abs(samples).max())
    return any_format(scaled(samples, min(0.99, peak * 10 ** rng.uniform(-1, 1))), rate, rng)


def excerpt(samples: Samples, rate: int, rng: Rng) -> Content:
    """The loudest part, 20 to 70 % of the length."""
    return any_format(loudest(samples, round(rng.uniform(0.2, 0.7) * len(samples))), rate, rng)


def all_together(samples: Samples, rate: int, rng: Rng) -> Content:
    """An excerpt at another level and rate, as MP3."""
    part = loudest(samples, round(rng.uniform(0.3, 0.8) * len(samples)))
    other = int(rng.choice((22_050, 32_000, 44_100)))
    return encoded(soxr.resample(scaled(part, rng.uniform(0.2, 0.9)), rate, other), other, "MP3")


NEAR: tuple[Maker, ...] = (shifted, ogg_vorbis, louder, excerpt, all_together)
LOSSY = ("wrong_extension", "ogg_vorbis", "all_together")
"""Encoded with loss or at another rate, which also takes the highest frequencies away."""
