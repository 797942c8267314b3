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

NEIGHBOURS, FEW_WINDOWS, MORE_NEIGHBOURS = 5, 4, 20
"""Sounds that are compared with each sound, and with sounds of few windows, shorter than 2 s."""
SIMILAR = 0.35
"""Least cosine of the most similar windows of a candidate."""
MOST_QUERIES = 2000
"""Windows of a sound that are looked up; of longer sounds, evenly spaced ones."""
BLOCK = 128
SPAN = 10.0
"""Seconds that are compared around two similar windows of long sounds."""
PHASES, WAVEFORM = 0.3, 0.4
"""Least agreement of a confirmed pair. See docs/doctor.md for its false alarms."""
CLICK_SECONDS, CLICK_PHASES, CLICK_WAVEFORM = 0.03, 0.7, 0.8
"""The same for two clicks, which have few independent frequencies. Copies of 40 clicks of ESC-50 as
Vorbis or MP3 have at least 0.83 and 0.96; 700 pairs of different clicks at most 0.54 and 0.5."""
CHANCE = 6.0
"""Over the square root of the number of frequencies: a peak that random phases do not reach. Their
highest of 10^5 values is at 4.7."""
SHORTEST = 0.5
"""Seconds of an overlap."""
FRACTIONS = 8
"""Parts of a sample to which the shift of two sounds is refined."""
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
        lasting: seconds in which the longer of the two has most of its energy.
    """

    shift: float = 0.0
    overlap: float = 0.0
    phases: float = 0.0
    waveform: float = 0.0
    lasting: float = math.inf

    @property
    def confirmed(self) -> bool:
        """Whether both sounds are from one recording of one event."""
        if self.lasting < CLICK_SECONDS:
            return self.phases >= CLICK_PHASES and self.waveform >= CLICK_WAVEFORM
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
    length = fft.next_fast_len(2 * len(first), real=True)
    place, phases, common = _peak(first, second, length)
    if not common or phases < CHANCE / math.sqrt(common):
        return Agreement()
    place = place - length if place > length // 2 else place
    phases, waveform = _between_samples(first, second, length, place, common)
    lasting = max(_lasting(first), _lasting(second))
    return Agreement(shift / RATE, len(first) / RATE, phases, waveform, lasting)


def _lasting(samples: Samples) -> float:
    """Seconds that a sound of constant level and of the same two moments of its energy lasts."""
    energy = np.square(samples[: len(samples) // 8 * 8], dtype=np.float64).reshape(-1, 8).sum(1)
    spread = float(np.square(energy).sum())
    return float(energy.sum()) ** 2 / spread * 8 / RATE if spread else 0.0


def _between_samples(
    one: Samples, other: Samples, length: int, place: int, common: int
) -> tuple[float, float]:
    """Agreement of the phases and of the waveforms at the best fraction of a sample.

    An excerpt that was resampled lies between the samples. At half a sample, the phases of high
    frequencies would not agree.

    Args:
        one: the overlap.
        other: the same.
        length: of the transforms.
        place: of the peak in whole samples.
        common: number of frequencies in the peak.
    """
    first, second = fft.rfft(one, length), fft.rfft(other, length)
    white = whitened(one, length) * whitened(other, length).conj()
    turns = np.arange(len(white)) / length
    shifts = [place + part / FRACTIONS for part in range(-FRACTIONS // 2, FRACTIONS // 2 + 1)]
    turned = [np.exp(2j * np.pi * shift * turns).astype(np.complex64) for shift in shifts]
    peaks = [abs(float((white @ factor).real)) / common for factor in turned]
    best = int(np.argmax(peaks))
    energy = math.sqrt(float(np.dot(one, one)) * float(np.dot(other, other)))
    common_energy = 2 / length * abs(float(((first * second.conj()) @ turned[best]).real))
    return min(peaks[best], 1.0), min(common_energy / energy, 1.0) if energy else 0.0


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
        neighbours = MORE_NEIGHBOURS if end - first < FEW_WINDOWS else NEIGHBOURS
        for other in np.argsort(best)[::-1][:neighbours]:
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
