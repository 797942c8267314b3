from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import soxr
import torch
from references import decimated

from sonotype.frontends.decimate import Decimate


def run(samples: npt.ArrayLike, factor: int = 2) -> npt.NDArray[np.float32]:
    return Decimate(factor)(torch.as_tensor(samples, dtype=torch.float32)).numpy()


def taps_of(factor: int) -> npt.NDArray[np.float32]:
    """The low-pass filter itself: the first row of the blocked kernel."""
    layer = Decimate(factor)
    return layer.kernel[0, 0, : 2 * layer.reach + 1].numpy()


def noise(samples: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(samples).astype(np.float32)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("samples", [1, 2, 3, 63, 64, 128, 129, 500, 1_001])
def test_equals_a_direct_convolution(factor: int, samples: int) -> None:
    waveform = noise(samples)
    expected = decimated(waveform, taps_of(factor), factor)
    assert len(expected) == -(-samples // factor)
    np.testing.assert_allclose(run(waveform, factor), expected, rtol=0, atol=1e-6)


def test_rows_of_the_kernel_are_the_taps_moved() -> None:
    layer, taps = Decimate(2), taps_of(2)
    for row in (0, 1, 63):
        np.testing.assert_array_equal(layer.kernel[row, 0, 2 * row :][: len(taps)], taps)
        assert torch.count_nonzero(layer.kernel[row, 0]) == np.count_nonzero(taps)


def test_the_low_pass_filter() -> None:
    taps = taps_of(2).astype(np.float64)
    np.testing.assert_array_equal(taps, taps[::-1])  # linear phase
    response = np.abs(np.fft.rfft(taps, n=2**16))
    hz = np.fft.rfftfreq(2**16, 1 / 32_000)
    decibels = 20 * np.log10(response + 1e-12)
    assert np.abs(decibels[hz <= 7_520]).max() < 0.001
    assert decibels[hz >= 8_480].max() < -80


@pytest.mark.parametrize("hz", [100.0, 1_000.0, 4_321.0, 7_500.0])
def test_tones_below_the_transition_pass_unchanged(hz: float) -> None:
    sine = np.sin(2 * np.pi * hz * np.arange(32_000) / 32_000)
    expected = sine[::2]
    middle = slice(200, -200)
    np.testing.assert_allclose(run(sine)[middle], expected[middle], rtol=0, atol=1e-4)


@pytest.mark.parametrize("hz", [8_480.0, 9_000.0, 12_345.0, 15_900.0])
def test_tones_above_the_transition_vanish(hz: float) -> None:
    sine = np.sin(2 * np.pi * hz * np.arange(32_000) / 32_000)
    rest = run(sine)[200:-200]
    assert 20 * np.log10(np.sqrt(2) * np.sqrt(np.mean(rest**2))) < -80


def test_equals_soxr_below_the_transition() -> None:
    spectrum = np.fft.rfft(noise(32_000).astype(np.float64))
    spectrum[np.fft.rfftfreq(32_000, 1 / 32_000) > 7_200] = 0
    limited = np.fft.irfft(spectrum).astype(np.float32)
    expected = soxr.resample(limited, 32_000, 16_000, quality="VHQ")
    actual = run(limited)
    assert len(actual) == len(expected) == 16_000
    middle = slice(400, -400)
    np.testing.assert_allclose(actual[middle], expected[middle], rtol=0, atol=5e-4)


def test_a_constant_keeps_its_level() -> None:
    np.testing.assert_allclose(run(np.ones(4_000))[200:-200], 1.0, atol=1e-6)


def test_it_is_linear() -> None:
    first, second = noise(3_000, 1), noise(3_000, 2)
    together = run(2 * first - 3 * second)
    np.testing.assert_allclose(together, 2 * run(first) - 3 * run(second), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(300,), (1, 300), (3, 300), (2, 3, 301), (0, 300), (2, 0)])
def test_any_leading_axes(shape: tuple[int, ...]) -> None:
    waveform = torch.randn(shape, generator=torch.manual_seed(0))
    layer = Decimate(2)
    together = layer(waveform)
    length = -(-shape[-1] // 2)
    assert together.shape == (*shape[:-1], length)
    if waveform.numel():
        rows = zip(together.reshape(-1, length), waveform.reshape(-1, shape[-1]), strict=True)
        for row, one in rows:
            torch.testing.assert_close(row, layer(one), rtol=0, atol=1e-6)


def test_a_factor_of_one_changes_nothing() -> None:
    waveform = torch.randn(2, 100)
    assert Decimate(1)(waveform) is waveform


def test_nothing_of_it_goes_into_a_state_dict() -> None:
    assert Decimate(2).state_dict() == {}
    assert list(Decimate(2).parameters()) == []
