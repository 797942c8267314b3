from __future__ import annotations

import numpy as np
import pytest
from sound_files import noise, tone

from sonotype.doctor.near_copies import RATE, agreement, candidates
from sonotype.doctor.window_vectors import Windows


def sound(seed: int, seconds: float = 4) -> np.ndarray:
    samples = noise(seconds, seed, RATE)
    return samples * (1 + np.sin(np.arange(len(samples)) / 900)).astype(np.float32)


def click(seed: int, start: int) -> np.ndarray:
    samples = 1e-4 * sound(seed + 50)
    samples[start : start + 400] += noise(0.05, seed, RATE) * np.exp(-np.arange(400) / 40)
    return samples


def test_a_shifted_louder_copy_and_its_shift() -> None:
    one = sound(0)
    other = np.concatenate([np.zeros(RATE // 4, np.float32), 3 * one])[: len(one)]
    found = agreement(one, other)
    assert found.confirmed
    assert found.shift == -0.25
    assert found.overlap == 3.75
    assert found.waveform == pytest.approx(1, abs=1e-3)


def test_an_excerpt() -> None:
    one = sound(1)
    found = agreement(one, one[RATE : 3 * RATE])
    assert found.confirmed
    assert (found.shift, found.overlap) == (1.0, 2.0)


def test_a_noisy_copy() -> None:
    assert agreement(sound(2), sound(2) + 0.3 * sound(3)).confirmed


def test_an_excerpt_between_the_samples() -> None:
    """High frequencies, resampled to half a sample later."""
    one = np.diff(sound(4, 2), prepend=0).astype(np.float32)
    spectrum = np.fft.rfft(one) * np.exp(-1j * np.pi * np.arange(len(one) // 2 + 1) / len(one))
    found = agreement(one, np.fft.irfft(spectrum, len(one)).astype(np.float32))
    assert found.phases > 0.95
    assert found.waveform > 0.95


def test_a_copy_of_a_click_is_one_and_a_similar_click_is_not() -> None:
    rng = np.random.default_rng(0)
    ringing = np.exp(-np.arange(200) / 15) * np.sin(np.arange(200) * 1.3)

    def clicked(start: int, ring: np.ndarray) -> np.ndarray:
        samples = 1e-5 * rng.normal(size=2 * RATE)
        samples[start : start + len(ring)] += ring
        return samples.astype(np.float32)

    other = np.exp(-np.arange(200) / 9) * np.sin(np.arange(200) * 1.5 + 1)
    assert agreement(clicked(3000, ringing), clicked(9000, 0.2 * ringing)).confirmed
    found = agreement(clicked(3000, ringing), clicked(9000, other))
    assert found.phases > 0.3
    assert found.waveform > 0.4
    assert not found.confirmed


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (sound(0), sound(1)),
        (
            tone(4.1, 440, RATE)[700:] + 0.01 * sound(0, 4.1)[700:],
            tone(4, 440, RATE) + 0.01 * sound(1),
        ),
        (click(0, 900), click(1, 20_000)),
        (np.zeros(4 * RATE, np.float32), sound(0)),
    ],
    ids=["noise", "tones of one frequency", "clicks", "silence"],
)
def test_other_sounds(one: np.ndarray, other: np.ndarray) -> None:
    assert not agreement(one.astype(np.float32), other.astype(np.float32)).confirmed


def test_short_sounds_are_compared_with_more_sounds() -> None:
    noise_of = np.random.default_rng(0).normal(0, 0.05, size=(40, 8))
    vectors = (noise_of + np.repeat([[1], [-1]], 20, axis=0)).astype(np.float32)  # two clusters
    starts = np.zeros(40, np.float32)
    assert len(candidates(Windows(vectors, np.arange(40), starts, 1.0))) == 2 * 20 * 19 / 2
    four = np.repeat(vectors, 4, axis=0), np.repeat(np.arange(40), 4), np.repeat(starts, 4)
    assert len(candidates(Windows(*four, 1.0))) <= 40 * 5


def test_candidates_are_sounds_with_a_similar_window() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 30)).astype(np.float32)
    vectors[33] = vectors[2]
    sounds = np.repeat(np.arange(10), 4)
    starts = np.tile(np.arange(4, dtype=np.float32), 10)
    found = candidates(Windows(vectors, sounds, starts, 1.0))
    pair = next(one for one in found if (one.first, one.second) == (0, 8))
    assert (pair.first_start, pair.second_start) == (2, 1)
