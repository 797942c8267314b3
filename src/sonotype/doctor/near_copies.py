"""Near copies: shifted, encoded again, louder, or excerpts.

Candidates are sounds with similar embeddings of windows of about a second. A candidate is confirmed
if the phases of its two sounds agree: the cross-correlation with whitened spectra (GCC-PHAT, Knapp
and Carter 1976, https://doi.org/10.1109/TASSP.1976.1162830) has one peak, at the shift. The peak is
the part of the spectrum that agrees, so it does not depend on level. Similar sounds of two
recordings have no common phase.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from sonotype.audio.decode import Samples
from sonotype.doctor.window_vectors import RATE, Windows

NEIGHBOURS = 5
"""Sounds that are compared with each sound."""
SIMILAR = 0.35
"""Least cosine of the most similar windows of a candidate."""
MOST_QUERIES = 2000
"""Windows of a sound that are looked up; of longer sounds, evenly spaced ones."""
BLOCK = 128
SPAN = 10.0
"""Seconds that are compared around two similar windows of long sounds."""
PHASES, WAVEFORM = 0.3, 0.4
"""Least agreement of a confirmed pair. See docs/doctor.md for its false alarms."""
CHANCE = 6.0
"""Over the square root of the number of frequencies: a peak that random phases do not reach. Their
highest of 10^5 values is at 4.7."""
SHORTEST = 0.5
"""Seconds of an overlap."""
DYNAMIC = 1e-5
"""Power below the strongest frequency (-50 dB), below which phases are noise of the encoder."""
LOWEST_HZ = 60.0
"""Rumble below it has few bins, and most recorders share it."""

Spectrum = npt.NDArray[np.complex64]


def whitened(samples: Samples, length: int) -> Spectrum:
    """The phases of a sound, as unit numbers; zero where a sound has next to nothing.

    Args:
        samples: at :data:`RATE`.
        length: of the transform, at least twice that of the samples.
    """
    spectrum = fft.rfft(samples, length)
    power = np.square(np.abs(spectrum))
    kernel = max(len(power) // 2000, 1)
    smooth = np.convolve(power, np.ones(kernel) / kernel, mode="same")
    strong = (smooth > DYNAMIC * smooth.max()) & (power > 0)
    strong[: round(LOWEST_HZ / RATE * length)] = False
    result: Spectrum = np.zeros_like(spectrum)
    result[strong] = spectrum[strong] / np.sqrt(power[strong])
    return result


@dataclass(frozen=True)
class Agreement:
    """How far two sounds agree.

    Attributes:
        shift: seconds into the first sound at which the second begins; negative if it begins
            earlier.
        overlap: seconds that the sounds have in common.
        phases: part of the spectrum of the overlap whose phases agree, 0 to 1.
        waveform: normalised correlation of the overlap.
    """

    shift: float = 0.0
    overlap: float = 0.0
    phases: float = 0.0
    waveform: float = 0.0

    @property
    def confirmed(self) -> bool:
        """Whether both sounds are from one recording of one event."""
        return self.phases >= PHASES and self.waveform >= WAVEFORM


def agreement(one: Samples, other: Samples) -> Agreement:
    """Shift two sounds to where their phases agree best, and compare their overlap.

    Args:
        one: samples at :data:`RATE`.
        other: the same.
    """
    length = fft.next_fast_len(len(one) + len(other), real=True)
    place, peak, common = _peak(one, other, length)
    if not common or peak < CHANCE / math.sqrt(common):
        return Agreement()
    shift = place - length if place >= len(one) else place
    first = one[max(shift, 0) : len(other) + shift]
    second = other[max(-shift, 0) : len(one) - shift]
    if len(first) < SHORTEST * RATE:
        return Agreement()
    _, phases, common = _peak(first, second, fft.next_fast_len(2 * len(first), real=True))
    if not common or phases < CHANCE / math.sqrt(common):
        return Agreement()
    energy = math.sqrt(float(np.dot(first, first)) * float(np.dot(second, second)))
    waveform = abs(float(np.dot(first, second))) / energy if energy else 0.0
    return Agreement(shift / RATE, len(first) / RATE, phases, waveform)


def _peak(one: Samples, other: Samples, length: int) -> tuple[int, float, int]:
    """Place and height of the highest peak of GCC-PHAT, and the number of frequencies in it."""
    product = whitened(one, length) * whitened(other, length).conj()
    common = int(np.count_nonzero(product))
    if not common:
        return 0, 0.0, 0
    correlation = np.abs(fft.irfft(product, length)) * (length / 2 / common)
    place = int(np.argmax(correlation))
    return place, min(float(correlation[place]), 1.0), common


@dataclass(frozen=True)
class Candidate:
    """Two sounds with similar windows: their positions, and the starts of the windows in s."""

    first: int
    second: int
    first_start: float
    second_start: float


def candidates(windows: Windows) -> list[Candidate]:
    """For each sound, the sounds with the most similar windows.

    The vectors are compressed by a signed square root, standardised over the set and compared by
    their cosine. Blocks of numpy suffice: 1,600 clips have 2 * 10^4 windows.
    """
    vectors = np.sign(windows.vectors) * np.sqrt(np.abs(windows.vectors))
    if len(vectors) < 2:
        return []
    vectors = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    sounds, firsts = np.unique(windows.sound, return_index=True)
    ends = [*firsts[1:], len(vectors)]
    pairs: dict[tuple[int, int], None] = {}
    for own, (first, end) in enumerate(zip(firsts, ends, strict=True)):
        best = np.zeros(len(sounds), np.float32)
        step = max((end - first) // MOST_QUERIES, 1)
        for begin in range(first, end, BLOCK * step):
            similar = vectors[begin : min(begin + BLOCK * step, end) : step] @ vectors.T
            best = np.maximum(best, np.maximum.reduceat(similar.max(0), firsts))
        best[own] = -1
        for other in np.argsort(best)[::-1][:NEIGHBOURS]:
            if best[other] >= SIMILAR:
                pairs[min(own, int(other)), max(own, int(other))] = None
    found = []
    for one, other in pairs:
        similar = vectors[firsts[one] : ends[one]] @ vectors[firsts[other] : ends[other]].T
        row, column = np.unravel_index(int(similar.argmax()), similar.shape)
        found.append(
            Candidate(
                int(sounds[one]),
                int(sounds[other]),
                float(windows.start[firsts[one] + row]),
                float(windows.start[firsts[other] + column]),
            )
        )
    return found


def confirm(
    candidate: Candidate, load: Callable[[int, float, float | None], Samples]
) -> tuple[Agreement, float]:
    """Compare the two sounds of a candidate, of long ones the parts around the windows.

    Args:
        candidate: two sounds.
        load: gives samples at :data:`RATE` of a sound, from a start and of a duration in seconds;
            ``None`` for all.

    Returns:
        how far they agree, and where the second sound begins in the first, in seconds.
    """
    begins, samples = [], []
    for sound, start in (
        (candidate.first, candidate.first_start),
        (candidate.second, candidate.second_start),
    ):
        begin = max(start - SPAN / 2, 0.0)
        whole = load(sound, 0.0, SPAN + 2)
        if len(whole) < (SPAN + 2) * RATE:  # a short sound, taken as a whole
            begin = 0.0
        else:
            whole = load(sound, begin, SPAN)
        begins.append(begin)
        samples.append(whole)
    found = agreement(*samples)
    return found, found.shift + begins[0] - begins[1]
