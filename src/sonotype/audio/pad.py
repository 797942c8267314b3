"""Bring every sound to one length: pad what is short, cut what is long, trim silence."""

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
"""Samples of the level meter that finds silence; the reference's own (librosa's defaults)."""


def fit_length(
    samples: Samples,
    length: int,
    *,
    pad: Pad = "centre",
    crop: Crop = "front",
    rng: np.random.Generator | None = None,
) -> Samples:
    """Give ``length`` samples, whatever comes in.

    Args:
        samples: ``[n]``, n >= 1.
        length: wanted number of samples.
        pad: a short sound is zero-padded with itself in the ``"centre"`` or at the ``"start"``,
            or ``"repeat"``-ed until it is long enough.
        crop: of a long sound the ``"front"``, the ``"centre"`` or a ``"random"`` part stays.
        rng: draws the random part; needed for ``crop="random"`` only.

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
    """First sample (or any other unit) of the part that stays when ``surplus`` must go."""
    if crop == "front":
        return 0
    if crop == "centre":
        return surplus // 2
    if rng is None:
        raise ValueError("crop='random' needs a random generator")
    # A share of the surplus: two sample rates that draw alike take the same part of a recording.
    return int(rng.random() * (surplus + 1))


def trim_silence(samples: Samples, below_db: float = 60.0) -> Samples:
    """Take off leading and trailing frames more than ``below_db`` under the loudest frame.

    The level is the RMS of centred frames of 2048 samples every 512, as in the authors' code. A
    sound that is silent throughout stays as it is.

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


class LoudPart:
    """What :func:`trim_silence` keeps of a sound that comes in pieces and is kept nowhere.

    A frame of 2048 samples every 512, centred, is four of the blocks of 512 between which its power
    is summed. A frame can be the first loud one only if it is louder than all before it, and the
    last one only if it is louder than all behind it; so these few are remembered, and of them those
    that the loudest frame so far does not make silent.
    """

    def __init__(self, below_db: float = 60.0) -> None:
        self._share = 10 ** (-below_db / 10)
        self._left: Samples = np.zeros(0, dtype=np.float32)
        self._energies = np.zeros(2)  # silence before the first sample
        self._frames = self._samples = 0
        self._loudest = 0.0
        self._first: list[tuple[int, float]] = []
        self._last: list[tuple[int, float]] = []

    def add(self, piece: Samples) -> None:
        """Take in the samples that follow."""
        self._samples += len(piece)
        samples = np.concatenate([self._left, piece])
        whole = len(samples) // TRIM_HOP * TRIM_HOP
        self._left = samples[whole:]
        blocks = samples[:whole].astype(np.float64).reshape(-1, TRIM_HOP)
        self._take(np.square(blocks).sum(axis=1))

    def bounds(self) -> tuple[int, int]:
        """First sample of the loud part, and the one behind it; no more pieces may follow."""
        rest = float(np.square(self._left.astype(np.float64)).sum())
        self._take(np.array([rest, 0.0]))  # silence behind the last sample
        if self._loudest == 0:
            return 0, self._samples
        loud = self._loudest * self._share
        first = next(frame for frame, power in self._first if power > loud)
        last = next(frame for frame, power in reversed(self._last) if power > loud)
        return first * TRIM_HOP, min((last + 1) * TRIM_HOP, self._samples)

    def _take(self, energies: npt.NDArray[np.float64]) -> None:
        """Energies of the blocks that follow."""
        known = np.concatenate([self._energies, energies])
        self._energies = known[-3:]
        if len(known) < 4:
            return
        powers = known[:-3] + known[1:-2] + known[2:-1] + known[3:]
        before = self._loudest
        self._loudest = max(before, float(powers.max()))
        loud = self._loudest * self._share
        louder = np.maximum.accumulate(np.concatenate([[before], powers[:-1]]))
        self._first = _louder_than(self._first, loud)
        self._first += self._numbered(powers, np.flatnonzero((powers > louder) & (powers > loud)))
        behind = np.maximum.accumulate(powers[::-1])[::-1]
        behind = np.append(behind[1:], 0.0)
        self._last = _louder_than(self._last, max(loud, float(powers.max())))
        self._last += self._numbered(powers, np.flatnonzero((powers > behind) & (powers > loud)))
        self._frames += len(powers)

    def _numbered(
        self, powers: npt.NDArray[np.float64], places: npt.NDArray[np.intp]
    ) -> list[tuple[int, float]]:
        return [(self._frames + int(place), float(powers[place])) for place in places]


def _louder_than(frames: list[tuple[int, float]], power: float) -> list[tuple[int, float]]:
    return [frame for frame in frames if frame[1] > power]
