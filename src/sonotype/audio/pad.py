"""Bring samples to one length: pad short sounds, crop long ones, trim silence."""

from __future__ import annotations

from typing import Literal

import numpy as np

from sonotype.audio.decode import Samples

Pad = Literal["centre", "start", "repeat"]
Crop = Literal["front", "centre", "random"]

TRIM_HOP = 512
"""Samples from one frame whose level is compared to the next; a frame has four times as many."""

SILENCE_SHARE = 1e-6
"""Power of a silent frame relative to the loudest: -60 dB."""


def fit_length(
    samples: Samples,
    length: int,
    *,
    pad: Pad = "centre",
    crop: Crop = "front",
    rng: np.random.Generator | None = None,
) -> Samples:
    """Pad or crop to ``length`` samples.

    Args:
        samples: ``[n]``, n >= 1.
        length: number of samples of the result.
        pad: a short sound is placed in the ``"centre"`` or at the ``"start"`` and padded with
            zeros, or ``"repeat"``-ed until it is long enough.
        crop: the ``"front"``, the ``"centre"`` or a ``"random"`` part of a long sound is kept.
        rng: draws the random part; required for ``crop="random"`` only.

    Shape:
        ``[length]``

    """
    surplus = len(samples) - length
    if surplus >= 0:
        first = crop_offset(surplus, crop, rng)
        return samples[first : first + length]
    if pad == "repeat":
        return np.resize(samples, length)
    before = -surplus // 2 if pad == "centre" else 0
    return np.pad(samples, (before, -surplus - before))


def crop_offset(surplus: int, crop: Crop, rng: np.random.Generator | None = None) -> int:
    """First sample (or any other unit) of the part that is kept when ``surplus`` is cropped."""
    if crop == "front":
        return 0
    if crop == "centre":
        return surplus // 2
    if rng is None:
        raise ValueError("crop='random' needs a random generator")
    # A fraction of the surplus: equal draws at two sample rates keep the same part of a recording.
    return int(rng.random() * (surplus + 1))


def trim_silence(samples: Samples) -> Samples:
    """Remove leading and trailing silence, see :class:`SilenceTrimmer`.

    Shape:
        ``[n] -> [m]``, 1 <= m <= n
    """
    trimmer = SilenceTrimmer()
    trimmer.add(samples)
    first, end = trimmer.bounds()
    return samples[first:end]


class SilenceTrimmer:
    """Finds leading and trailing frames that are more than 60 dB below the loudest frame.

    The level is the RMS of centred frames of 2048 samples every 512, as in librosa and the code of
    the paper's authors. A frame consists of four hops of 512 samples, whose energies are summed.
    The sound arrives in blocks; of 512 samples, the 8 bytes of their energy are kept.
    """

    def __init__(self) -> None:
        self._rest: Samples = np.zeros(0, dtype=np.float32)
        self._energies = [np.zeros(2)]  # silence before the first sample
        self._samples = 0

    def add(self, block: Samples) -> None:
        """Add the next samples."""
        self._samples += len(block)
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // TRIM_HOP * TRIM_HOP
        self._rest = samples[whole:]
        hops = samples[:whole].astype(np.float64).reshape(-1, TRIM_HOP)
        self._energies.append(np.square(hops).sum(axis=1))

    def bounds(self) -> tuple[int, int]:
        """First sample of the trimmed sound and its end; all of a silent sound."""
        rest = np.square(self._rest.astype(np.float64)).sum()
        hops = np.concatenate([*self._energies, [rest, 0.0]])  # silence after the last sample
        powers = hops[:-3] + hops[1:-2] + hops[2:-1] + hops[3:]
        loud = np.flatnonzero(powers > powers.max() * SILENCE_SHARE)
        if not len(loud):
            return 0, self._samples
        return int(loud[0]) * TRIM_HOP, min((int(loud[-1]) + 1) * TRIM_HOP, self._samples)
