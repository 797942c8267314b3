"""Shift, gain, equaliser and same-class mixing, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from sonotype.data.augment import Mixing, delay, equalise, gain, mix_same_class, shift

RATE = 16_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(seed: int = 9, length: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(length).astype(np.float32)


def test_a_shift_turns_the_clip_by_no_more_than_asked() -> None:
    samples = np.arange(1000, dtype=np.float32)
    firsts = {int(shift(samples, 1000, 0.05, rng(seed))[0]) for seed in range(300)}
    assert all(first <= 50 or first >= 950 for first in firsts)
    assert {0, 50, 950} <= firsts | {0}
    assert sorted(shift(samples, 1000, 0.05, rng())) == list(samples)


def test_a_gain_stays_within_its_decibels() -> None:
    samples = noise()
    levels = [
        20 * np.log10(np.abs(gain(samples, 8.0, rng(seed))).max() / np.abs(samples).max())
        for seed in range(300)
    ]
    assert max(levels) <= 8.0 + 1e-4
    assert min(levels) >= -8.0 - 1e-4
    assert np.std(levels) == pytest.approx(16 / np.sqrt(12), rel=0.1)


def test_a_delay_starts_with_silence_and_loses_the_end() -> None:
    samples = noise()
    late = delay(samples, RATE, 0.25, rng(1))
    first = int(np.flatnonzero(late)[0])
    assert 0 < first <= 4000
    assert np.array_equal(late[first:], samples[: len(samples) - first])


def test_the_equaliser_is_a_gaussian_bump_over_log_frequency() -> None:
    impulse = np.zeros(RATE, np.float32)
    impulse[RATE // 2] = 1.0
    for seed in range(20):
        response = np.abs(np.fft.rfft(equalise(impulse, RATE, 10.0, rng(seed))))
        decibels = 20 * np.log10(response)
        draws = rng(seed)
        centre = 150.0 * (8000.0 / 150.0) ** draws.uniform()
        width, height = draws.uniform(5, 7), draws.uniform(-10, 10)
        for frequency in (50, 200, 440, 1000, 3000, 7000):
            semitones = 12 * np.log2(frequency / centre)
            wanted = height * np.exp(-0.5 * (semitones / width) ** 2)
            assert decibels[frequency] == pytest.approx(wanted, abs=1e-3)


def test_mixing_is_the_mean_of_two_changed_clips() -> None:
    mixing = Mixing(delay=0.5, gain=6.0, equaliser=10.0)
    first, second = noise(1), noise(2)
    draws, wanted = rng(4), np.zeros(RATE)
    for samples in (first, second):
        changed = delay(samples, RATE, 0.5, draws)
        changed = gain(changed, 6.0, draws)
        wanted += equalise(changed, RATE, 10.0, draws) / 2
    mixed = mix_same_class(first, second, RATE, mixing, rng(4))
    assert mixed.dtype == np.float32
    assert np.allclose(mixed, wanted, atol=1e-6)


def test_mixing_without_any_change_is_the_plain_mean() -> None:
    mixed = mix_same_class(noise(1), noise(2), RATE, Mixing(0.0, 0.0, 0.0), rng())
    assert np.allclose(mixed, (noise(1) + noise(2)) / 2, atol=1e-5)
