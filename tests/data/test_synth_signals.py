from __future__ import annotations

import numpy as np
import pytest

from sonotype.data.synth import signals
from sonotype.data.synth.signals import Scene


def scene(seconds: float = 1.0, sample_rate: int = 16000, seed: int = 0) -> Scene:
    return Scene(seconds, sample_rate, np.random.default_rng(seed))


def power_at(signal: np.ndarray, sample_rate: int, low: float, high: float) -> float:
    spectrum = np.abs(np.fft.rfft(signal)) ** 2
    hz = np.fft.rfftfreq(len(signal), 1 / sample_rate)
    return float(spectrum[(hz >= low) & (hz < high)].sum() / spectrum.sum())


def test_noise_at_a_lower_rate_is_the_same_noise_with_less_bandwidth() -> None:
    gain = signals.band(100, 3000)
    low = signals.noise(scene(sample_rate=8000), gain)
    high = signals.noise(scene(sample_rate=16000), gain)
    bins = slice(0, 4000)  # 1 Hz a bin; the bin at 4 kHz itself has no mirror image at 8 kHz
    spectra = [np.fft.rfft(signal, norm="forward")[bins] for signal in (low, high)]
    np.testing.assert_allclose(spectra[0], spectra[1], atol=1e-12)


def test_noise_power_is_the_integral_of_the_gain_squared() -> None:
    long = scene(seconds=20)
    box = signals.noise(long, lambda hz: 2.0 * ((hz >= 1000) & (hz < 1500)))
    assert np.var(box) == pytest.approx(2.0**2 * 500, rel=0.05)


def test_moving_noise_has_unit_variance_and_stays_at_its_centre() -> None:
    still = signals.moving_noise(scene(seconds=20), 2000.0, 100.0)
    assert np.var(still) == pytest.approx(1, rel=0.1)
    assert power_at(still, 16000, 1800, 2200) > 0.98


def test_moving_noise_is_silent_above_the_nyquist_frequency() -> None:
    assert np.all(signals.moving_noise(scene(sample_rate=4000), 3000.0, 100.0) == 0)


def test_parameters_after_noise_do_not_depend_on_the_sample_rate() -> None:
    low, high = scene(sample_rate=8000), scene(sample_rate=44100)
    for feature_maps in (low, high):
        signals.noise(feature_maps, signals.band(0, 1000))
    assert low.uniform(0, 1) == high.uniform(0, 1)


def test_tone_is_the_plain_sum_of_its_harmonics() -> None:
    weights = [1.0, 0.0, 0.5, 0.25]
    fast_scene, slow_scene = scene(seed=5), scene(seed=5)
    pitch = 200 + 100 * np.sin(2 * np.pi * fast_scene.time)
    fast = signals.tone(fast_scene, pitch, weights)

    phase, start = 0.0, slow_scene.uniform(0, 2 * np.pi)
    slow = np.zeros(len(fast))
    for index, hz in enumerate(pitch):
        phase += 2 * np.pi * hz / 16000
        for number, weight in enumerate(weights, start=1):
            slow[index] += weight * np.sin(number * (phase + start))
    np.testing.assert_allclose(fast, slow, atol=1e-9)


def test_harmonics_above_the_nyquist_frequency_are_left_out() -> None:
    alone = signals.tone(scene(sample_rate=4000), 1500.0)
    crowded = signals.tone(scene(sample_rate=4000), 1500.0, [1.0, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(crowded, alone)


def test_a_glide_over_the_nyquist_frequency_is_not_folded_back() -> None:
    feature_maps = scene(sample_rate=8000)
    glide = signals.tone(feature_maps, 3000 + 4000 * feature_maps.time)
    assert power_at(glide, 8000, 0, 2700) < 1e-3  # folded back, a third would lie there
    assert np.all(glide[feature_maps.time > 0.26] == 0)


@pytest.mark.parametrize("sample_rate", [8000, 16000, 44100])
def test_a_plucked_string_is_in_tune_at_every_rate(sample_rate: int) -> None:
    string = signals.plucked(scene(2.0, sample_rate), 233.3, 8, 2.0)
    spectrum = np.abs(np.fft.rfft(string * np.hanning(len(string)), 16 * len(string)))
    hz = np.fft.rfftfreq(16 * len(string), 1 / sample_rate)
    near = (hz > 200) & (hz < 270)
    assert hz[near][spectrum[near].argmax()] == pytest.approx(233.3, rel=2e-3)


def test_a_plucked_string_is_the_loop_it_claims_to_be() -> None:
    """Delay line, two-point average and all-pass, one sample at a time."""
    hz, brightness, damping = 440.0, 6.0, 0.5
    fast = signals.plucked(scene(0.2, seed=3), hz, brightness, damping)

    feature_maps = scene(0.2, seed=3)
    pluck = signals.noise(
        feature_maps.part(1 / hz), lambda f: 1 / (1 + (f / (brightness * hz)) ** 2)
    )
    pluck = pluck / (np.std(pluck) + 1e-9)
    s = (1 - np.sqrt(1 - (16000 / 48000) ** 2)) / 2
    whole = int(16000 / hz - s - 0.2)
    rest = 16000 / hz - s - whole
    a = (1 - rest) / (1 + rest)
    string, tuned = np.zeros(3200), np.zeros(3200)

    def past(values: np.ndarray, index: int) -> float:
        return float(values[index]) if index >= 0 else 0.0

    for n in range(3200):
        now = (1 - s) * past(string, n - whole) + s * past(string, n - whole - 1)
        before = (1 - s) * past(string, n - whole - 1) + s * past(string, n - whole - 2)
        tuned[n] = a * now + before - a * past(tuned, n - 1)
        excitation = float(pluck[n]) if n < len(pluck) else 0.0
        string[n] = excitation + np.exp(-1 / (damping * hz)) * tuned[n]
    np.testing.assert_allclose(fast, string * signals.burst(feature_maps, 0.001, np.inf), atol=1e-9)


def test_a_string_above_a_quarter_of_the_rate_is_silent() -> None:
    assert np.all(signals.plucked(scene(sample_rate=4000), 1001, 5, 1) == 0)


def test_struck_modes_above_the_nyquist_frequency_are_left_out() -> None:
    feature_maps = scene(sample_rate=4000)
    alone = signals.struck(feature_maps, [500], [0.1], [1])
    np.testing.assert_array_equal(
        signals.struck(feature_maps, [500, 2500], [0.1, 1], [1, 1]), alone
    )


def test_crackle_has_the_same_strength_per_second_at_every_rate() -> None:
    sums = [
        float(np.abs(signals.crackle(scene(2, rate), 50)).sum() / rate) for rate in (8000, 44100)
    ]
    # Two impulses on one sample may cancel in part at the lower rate, hence not exactly.
    assert sums[0] == pytest.approx(sums[1], rel=0.05)


def test_envelopes_and_curves_keep_their_bounds() -> None:
    feature_maps = scene()
    for envelope in (signals.burst(feature_maps, 0.1, 0.5), signals.swell(feature_maps, 0.3)):
        assert envelope.min() >= 0
        assert envelope.max() <= 1
        assert envelope[0] < 0.01
        assert envelope[-1] < 0.01
    assert feature_maps.time[signals.swell(feature_maps, 0.3).argmax()] == pytest.approx(
        0.3, abs=0.001
    )
    curve = signals.wander(feature_maps, 2, 5, 7.3)
    assert curve.min() >= 2
    assert curve.max() <= 5
    assert np.abs(np.diff(curve)).max() < 1.5 * 3 * 7.3 / 16000 + 1e-12  # smoothstep's slope


def test_colour_filters_by_magnitude_without_delay() -> None:
    feature_maps = scene()
    low, high = (
        np.cos(2 * np.pi * 100 * feature_maps.time),
        np.cos(2 * np.pi * 4000 * feature_maps.time),
    )
    filtered = signals.colour(feature_maps, low + high, lambda hz: (hz < 1000) * 0.5)
    np.testing.assert_allclose(filtered, 0.5 * low, atol=1e-12)


def test_formants_are_loudest_at_their_centres() -> None:
    hz = np.arange(0.0, 4000.0)
    levels = signals.formants([700, 2500], [80, 200], [1, 0.5])(hz)
    assert levels[:1500].argmax() == pytest.approx(700, abs=2)
    assert 1500 + levels[1500:].argmax() == pytest.approx(2500, abs=2)


def test_place_cuts_what_hangs_over() -> None:
    feature_maps = scene(1.0, 4000)
    canvas = feature_maps.silence()
    feature_maps.place(canvas, 0.9, np.ones(1000))
    feature_maps.place(canvas, 1.5, np.ones(10))
    assert canvas.sum() == 400
    assert canvas[3600:].min() == 1


def test_onsets_start_early_and_keep_their_gap() -> None:
    onsets = np.array(scene(10).onsets(0.5, 0.1))
    assert 0 <= onsets[0] <= 0.5
    assert onsets[-1] > 9
    assert np.all((np.diff(onsets) >= 0.45) & (np.diff(onsets) <= 0.55))
    assert scene(0.05).onsets(3.0)[0] <= 0.3 * 0.05
