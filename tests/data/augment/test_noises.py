"""Synthetic sounds of no class: their kinds, levels and spectra."""

from __future__ import annotations

import numpy as np
import pytest

from sonotype.data.augment.noises import KINDS, LOWEST_DB, PER_KIND, synthetic_noise

RATE = 16_000
EVERY = range(len(KINDS) * PER_KIND)

kinds = pytest.mark.parametrize("kind", KINDS)


def numbers_of(kind: str) -> range:
    return EVERY[KINDS.index(kind) :: len(KINDS)]


def level(samples: np.ndarray) -> float:
    """Peak level in dB of full scale."""
    return float(20 * np.log10(max(np.abs(samples).max(), 1e-30)))


def powers(samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and the power spectrum."""
    window = np.hanning(len(samples))
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64) * window)) ** 2
    return np.fft.rfftfreq(len(samples), 1 / rate), spectrum


def test_there_are_seven_kinds_in_turn() -> None:
    assert KINDS == ("silence", "white", "pink", "brown", "hum", "tone", "sweep")
    assert all(len(numbers_of(kind)) == PER_KIND for kind in KINDS)


@kinds
@pytest.mark.parametrize(("seconds", "rate"), [(1, 16_000), (2, 32_000)])
def test_sounds_are_finite_single_precision_and_within_full_scale(
    kind: str, seconds: int, rate: int
) -> None:
    for number in numbers_of(kind):
        samples = synthetic_noise(number, seconds * rate, rate)
        assert samples.shape == (seconds * rate,)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1 + 1e-6
        if kind != "silence":
            assert level(samples) >= LOWEST_DB - 0.1


@kinds
def test_a_number_gives_the_same_sound_and_another_number_another(kind: str) -> None:
    first, *others = numbers_of(kind)[1:4]
    samples = synthetic_noise(first, RATE, RATE)
    assert np.array_equal(samples, synthetic_noise(first, RATE, RATE))
    for number in others:
        assert not np.array_equal(samples, synthetic_noise(number, RATE, RATE))


def test_levels_go_from_quiet_to_loud() -> None:
    levels = [
        level(synthetic_noise(number, RATE, RATE))
        for kind in KINDS[1:]
        for number in numbers_of(kind)
    ]
    assert min(levels) < LOWEST_DB + 5
    assert max(levels) > -5
    assert np.std(levels) == pytest.approx(-LOWEST_DB / np.sqrt(12), rel=0.15)


def test_silence_is_digital_constant_or_as_small_as_a_rounding_error() -> None:
    sounds = [synthetic_noise(number, RATE, RATE) for number in numbers_of("silence")]
    constant = [samples for samples in sounds if np.ptp(samples) == 0]
    assert any(not samples.any() for samples in constant)
    assert any(samples.any() for samples in constant)
    assert max(np.abs(samples).max() for samples in constant) <= 1e-3
    others = [level(samples) for samples in sounds if np.ptp(samples) > 0]
    assert len(others) == PER_KIND - len(constant) >= PER_KIND // 2
    assert -111 < min(others) < max(others) < -74


@pytest.mark.parametrize(("kind", "decibels"), [("white", 0), ("pink", -3.01), ("brown", -6.02)])
def test_noises_fall_by_their_slope_in_each_octave(kind: str, decibels: float) -> None:
    slopes = []
    for number in numbers_of(kind)[:8]:
        frequency, power = powers(synthetic_noise(number, 2 * RATE, RATE), RATE)
        octaves = [(50 * 2**n, 100 * 2**n) for n in range(7)]
        density = [power[(frequency >= low) & (frequency < high)].mean() for low, high in octaves]
        slopes.append(np.polyfit(range(7), 10 * np.log10(density), 1)[0])
    assert np.mean(slopes) == pytest.approx(decibels, abs=0.3)


def test_hum_has_peaks_at_multiples_of_the_mains_frequency() -> None:
    for number in numbers_of("hum")[:8]:
        frequency, power = powers(synthetic_noise(number, 4 * RATE, RATE), RATE)
        peak = frequency[power.argmax()]
        fundamentals = [
            mains for mains in (50, 60) if abs(peak / mains - round(peak / mains)) < 0.05
        ]
        assert fundamentals, f"the largest peak is at {peak} Hz"
        assert peak < 60 * 30 * 1.01


def test_tones_have_one_frequency_and_sweeps_many() -> None:
    for kind, most, least in (("tone", 12, 1), ("sweep", 32_000, 20)):
        for number in numbers_of(kind)[:8]:
            _, power = powers(synthetic_noise(number, 2 * RATE, RATE), RATE)
            ordered = np.sort(power)[::-1].cumsum() / power.sum()
            bins = int(np.searchsorted(ordered, 0.99)) + 1
            assert least <= bins <= most, (kind, number)


def test_tones_and_sweeps_stay_below_half_the_sample_rate() -> None:
    for kind in ("tone", "sweep"):
        for number in numbers_of(kind):
            frequency, power = powers(synthetic_noise(number, RATE, RATE), RATE)
            above = power[frequency > 0.49 * RATE].sum()
            assert above < 1e-2 * power.sum(), (kind, number)
