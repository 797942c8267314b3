"""Shift, gain, equaliser and same-class mixing, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from sonotype.audio.pad import crop_offset
from sonotype.data.augment.waveform import Mixing, delay, equalise, gain, mix_same_class, time_shift

RATE = 16_000


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(seed: int = 9, length: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(length).astype(np.float32)


def test_a_shift_is_circular_and_bounded() -> None:
    samples = np.arange(1000, dtype=np.float32)
    firsts = {int(time_shift(samples, 1000, 0.05, rng(seed))[0]) for seed in range(300)}
    assert all(first <= 50 or first >= 950 for first in firsts)
    assert {0, 50, 950} <= firsts | {0}
    assert sorted(time_shift(samples, 1000, 0.05, rng())) == list(samples)


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


def test_times_are_drawn_in_seconds_and_agree_at_every_rate() -> None:
    """Two rates take the same generator to the same time, up to the rounding to samples."""
    low, high = np.zeros(2 * RATE), np.zeros(4 * RATE)
    low[RATE], high[2 * RATE] = 1, 1
    for seed in range(300):
        one, other = (
            int(np.argmax(time_shift(samples, rate, 0.9, rng(seed))))
            for samples, rate in ((low, RATE), (high, 2 * RATE))
        )
        assert abs(2 * one - other) <= 2
        one, other = (
            int(np.argmax(delay(samples, rate, 0.9, rng(seed))))
            for samples, rate in ((low, RATE), (high, 2 * RATE))
        )
        assert abs(2 * one - other) <= 2
        one, other = (crop_offset(surplus, "random", rng(seed)) for surplus in (999, 1998))
        assert abs(2 * one - other) <= 2


def test_times_are_uniform_within_their_bounds() -> None:
    samples = np.arange(100.0)
    firsts = [int(time_shift(samples, 100, 0.3, rng(seed))[0]) for seed in range(3000)]
    shifts = [(-first + 50) % 100 - 50 for first in firsts]
    assert (min(shifts), max(shifts)) == (-30, 30)
    assert np.std(shifts) == pytest.approx(60 / np.sqrt(12), rel=0.05)
    ones = np.ones(100)
    late = [100 - int(delay(ones, 100, 5.0, rng(seed)).sum()) for seed in range(3000)]
    assert (min(late), max(late)) == (0, 99)  # one sample remains
    assert np.mean(late) == pytest.approx(50, rel=0.05)
    cuts = [crop_offset(9, "random", rng(seed)) for seed in range(3000)]
    assert np.bincount(cuts) / 300 == pytest.approx(1, abs=0.2)
