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


def test_candidates_are_sounds_with_a_similar_window() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 30)).astype(np.float32)
    vectors[33] = vectors[2]
    sounds = np.repeat(np.arange(10), 4)
    starts = np.tile(np.arange(4, dtype=np.float32), 10)
    found = candidates(Windows(vectors, sounds, starts, 1.0))
    pair = next(one for one in found if (one.first, one.second) == (0, 8))
    assert (pair.first_start, pair.second_start) == (2, 1)
