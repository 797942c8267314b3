"""The separate sounds in a clip: where they are, and one of them cut out with fades.

All functions take samples at any rate that is a multiple of 500 Hz.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, sosfilt

from sonotype.audio.decode import Samples

Floats = npt.NDArray[np.floating]

BURST_GAP = 0.5
"""Seconds; sounds with a shorter gap are one."""
QUIET_DB, ABOVE_FLOOR_DB, LOUD_DB, SILENT_DB = -30.0, 8.0, -10.0, -80.0
RUMBLE_HZ, LOW_HZ = 80, 300
"""Sounds are kept above the first; only what is above the second tells where they sound."""
SHORTEST_SHARE = 0.1
HOPS_A_SECOND, FADES_A_SECOND = 100, 125
SHORTEST, LONGEST = 0.1, 4.0
"""Seconds of a sound."""


def shortest_sound(rate: int) -> int:
    """Samples of the shortest sound."""
    return round(SHORTEST * rate)


def has_sound(samples: Samples, rate: int) -> bool:
    """Whether a clip is long enough to have a sound, and not silent."""
    return len(samples) >= shortest_sound(rate) and bool(np.ptp(samples))


def bursts(samples: Samples, rate: int) -> list[tuple[int, int]]:
    """First sample and end of each separate sound in a clip.

    The level above 300 Hz of frames of 20 ms every 10 ms is compared to the loudest frame. A frame
    sounds above -30 dB and 8 dB above the noise floor, the 10th percentile of the frames that are
    not digital silence; in a clip that never falls silent, above -10 dB. Sounds that are less than
    half a second apart are one. A sound has a frame above -10 dB, and a tenth of the length of the
    longest such sound.
    """
    hop, gap = rate // HOPS_A_SECOND, round(BURST_GAP * rate)
    hops = high_pass(samples, LOW_HZ, rate)[: len(samples) // hop * hop].reshape(-1, hop)
    energies = np.square(hops).sum(axis=1)
    powers = energies[:-1] + energies[1:]
    levels = 10 * np.log10(np.maximum(powers / powers.max(), 1e-12))
    floor = float(np.percentile(levels[levels > SILENT_DB], 10))
    sounding = np.flatnonzero(levels > max(QUIET_DB, min(floor + ABOVE_FLOOR_DB, LOUD_DB)))
    parts = np.split(sounding, np.flatnonzero(np.diff(sounding) * hop >= gap) + 1)
    loud = [part for part in parts if levels[part].max() > LOUD_DB]
    shortest = SHORTEST_SHARE * max(np.ptp(part) for part in loud)
    return [
        (int(part[0]) * hop, (int(part[-1]) + 2) * hop) for part in loud if np.ptp(part) >= shortest
    ]


def cut_sound(samples: Samples, rate: int, rng: np.random.Generator) -> tuple[int, Floats]:
    """One of the sounds of a clip with a fade at both ends, and its first sample in the clip.

    Of a long sound the beginning is kept.
    """
    found = bursts(samples, rate)
    least, most = shortest_sound(rate), round(LONGEST * rate)
    first, end = found[int(rng.integers(len(found)))]
    if end - first > most:
        end = first + int(rng.uniform(most / 2, most))
    first = min(first, len(samples) - least)
    sound = high_pass(samples, RUMBLE_HZ, rate)[first : max(end, first + least)]
    length = rate // FADES_A_SECOND
    fade = (np.arange(length) + 0.5) / length
    sound[:length] *= fade
    sound[-length:] *= fade[::-1]
    return first, sound


def high_pass(samples: Samples, hz: float, rate: int) -> Floats:
    """Remove what is below a frequency, 24 dB an octave."""
    sections = butter(4, hz, "highpass", fs=rate, output="sos")
    filtered: Floats = sosfilt(sections, samples.astype(np.float64))
    return filtered


def rms(samples: Floats) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(samples))))
