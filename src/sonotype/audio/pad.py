"""Bring samples to one length: pad short sounds, crop long ones, trim silence."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from sonotype.audio.decode import Samples

Pad = Literal["centre", "start", "repeat"]
Crop = Literal["front", "centre", "random"]
PADS: tuple[Pad, ...] = get_args(Pad)
CROPS: tuple[Crop, ...] = get_args(Crop)

TRIM_FRAME, TRIM_HOP = 2048, 512
"""Samples of the frames whose level is compared to find silence; librosa's defaults."""


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


def trim_silence(samples: Samples, below_db: float = 60.0) -> Samples:
    """Remove leading and trailing frames more than ``below_db`` below the loudest frame.

    The level is the RMS of centred frames of 2048 samples every 512, as in librosa and the code of
    the paper's authors. A completely silent sound is returned unchanged.

    Shape:
        ``[n] -> [m]``, 1 <= m <= n
    """
    padded = np.pad(samples.astype(np.float64), TRIM_FRAME // 2)
    energy = np.concatenate([[0.0], np.cumsum(padded**2)])
    starts = np.arange(0, len(padded) - TRIM_FRAME + 1, TRIM_HOP)
    power = np.maximum(energy[starts + TRIM_FRAME] - energy[starts], 0.0)
    if power.max() == 0:
        return samples
    loud = np.flatnonzero(power > power.max() * 10 ** (-below_db / 10))
    return samples[loud[0] * TRIM_HOP : min((loud[-1] + 1) * TRIM_HOP, len(samples))]


class SilenceTrimmer:
    """Finds the bounds of :func:`trim_silence` for a sound that arrives in blocks.

    A centred frame of 2048 samples every 512 consists of four hops of 512 samples, whose energies
    are summed. A frame can be the first loud frame only if it is louder than all frames before it,
    and the last loud frame only if it is louder than all frames after it. Only these few candidates
    are kept, and of them only those that are loud compared with the loudest frame so far.
    """

    def __init__(self, below_db: float = 60.0) -> None:
        self._share = 10 ** (-below_db / 10)
        self._rest: Samples = np.zeros(0, dtype=np.float32)
        self._energies = np.zeros(2)  # silence before the first sample
        self._frames = self._samples = 0
        self._loudest = 0.0
        self._first: list[tuple[int, float]] = []
        self._last: list[tuple[int, float]] = []

    def add(self, block: Samples) -> None:
        """Add the next samples."""
        self._samples += len(block)
        samples = np.concatenate([self._rest, block])
        whole = len(samples) // TRIM_HOP * TRIM_HOP
        self._rest = samples[whole:]
        hops = samples[:whole].astype(np.float64).reshape(-1, TRIM_HOP)
        self._add_energies(np.square(hops).sum(axis=1))

    def bounds(self) -> tuple[int, int]:
        """First sample of the trimmed sound and its end; call it after the last block."""
        rest = float(np.square(self._rest.astype(np.float64)).sum())
        self._add_energies(np.array([rest, 0.0]))  # silence after the last sample
        if self._loudest == 0:
            return 0, self._samples
        threshold = self._loudest * self._share
        first = next(frame for frame, power in self._first if power > threshold)
        last = next(frame for frame, power in reversed(self._last) if power > threshold)
        return first * TRIM_HOP, min((last + 1) * TRIM_HOP, self._samples)

    def _add_energies(self, energies: npt.NDArray[np.float64]) -> None:
        """Add the energies of the next hops."""
        known = np.concatenate([self._energies, energies])
        self._energies = known[-3:]
        if len(known) < 4:
            return
        powers = known[:-3] + known[1:-2] + known[2:-1] + known[3:]
        before = self._loudest
        self._loudest = max(before, float(powers.max()))
        threshold = self._loudest * self._share
        loudest_before = np.maximum.accumulate(np.concatenate([[before], powers[:-1]]))
        self._first = _louder_than(self._first, threshold)
        self._first += self._candidates(powers, (powers > loudest_before) & (powers > threshold))
        loudest_after = np.append(np.maximum.accumulate(powers[::-1])[::-1][1:], 0.0)
        self._last = _louder_than(self._last, max(threshold, float(powers.max())))
        self._last += self._candidates(powers, (powers > loudest_after) & (powers > threshold))
        self._frames += len(powers)

    def _candidates(
        self, powers: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_]
    ) -> list[tuple[int, float]]:
        """Number and power of the frames in ``mask``."""
        return [(self._frames + int(index), float(powers[index])) for index in np.flatnonzero(mask)]


def _louder_than(frames: list[tuple[int, float]], power: float) -> list[tuple[int, float]]:
    return [frame for frame in frames if frame[1] > power]
