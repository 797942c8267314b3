"""Bring every sound to one length: pad what is short, cut what is long, trim silence."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from sonotype.audio.decode import Samples

Pad = Literal["centre", "start", "repeat"]
Cut = Literal["front", "centre", "random"]
PADS: tuple[Pad, ...] = get_args(Pad)
CUTS: tuple[Cut, ...] = get_args(Cut)

TRIM_FRAME, TRIM_HOP = 2048, 512
"""Samples of the level meter that finds silence; the reference's own (librosa's defaults)."""


def fit_length(
    samples: Samples,
    length: int,
    *,
    pad: Pad = "centre",
    cut: Cut = "front",
    rng: np.random.Generator | None = None,
) -> Samples:
    """Give ``length`` samples, whatever comes in.

    Args:
        samples: ``[n]``, n >= 1.
        length: wanted number of samples.
        pad: a short sound is zero-padded with itself in the ``"centre"`` or at the ``"start"``,
            or ``"repeat"``-ed until it is long enough.
        cut: of a long sound the ``"front"``, the ``"centre"`` or a ``"random"`` part stays.
        rng: draws the random part; needed for ``cut="random"`` only.

    Shape:
        ``[length]``

    """
    surplus = len(samples) - length
    if surplus >= 0:
        first = cut_offset(surplus, cut, rng)
        return samples[first : first + length]
    if pad == "repeat":
        return np.resize(samples, length)
    before = -surplus // 2 if pad == "centre" else 0
    return np.pad(samples, (before, -surplus - before))


def cut_offset(surplus: int, cut: Cut, rng: np.random.Generator | None = None) -> int:
    """First sample (or any other unit) of the part that stays when ``surplus`` must go."""
    if cut == "front":
        return 0
    if cut == "centre":
        return surplus // 2
    if rng is None:
        raise ValueError("cut='random' needs a random generator")
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
