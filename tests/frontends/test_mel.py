from __future__ import annotations

import librosa
import numpy as np
import pytest
import torch
from references import triangles

from sonotype.frontends.mel import MelProduct, hz_to_mel, mel_bands

BANKS = {
    "vggish": {"sample_rate": 16_000, "fft_size": 512, "bands": 64, "low": 125.0, "high": 7_500.0},
    "efficientat": {
        "sample_rate": 32_000,
        "fft_size": 1024,
        "bands": 128,
        "low": 0.0,
        "high": 15_000.0,
    },
}


def test_the_scale_is_the_one_that_librosa_calls_htk() -> None:
    hz = np.array([0.0, 20.0, 125.0, 700.0, 1_000.0, 7_500.0, 15_000.0])
    # librosa has HTK's own constant, 2595 for a logarithm to base 10; 1127 is that, rounded.
    np.testing.assert_allclose(hz_to_mel(hz), librosa.hz_to_mel(hz, htk=True), rtol=2e-5)
    assert hz_to_mel(700.0) == pytest.approx(1127 * np.log(2))
    assert hz_to_mel(0.0) == 0


@pytest.mark.parametrize("name", BANKS)
def test_bands_are_the_triangles_drawn_one_by_one(name: str) -> None:
    bank = BANKS[name]
    expected = triangles(
        bank["sample_rate"], bank["fft_size"], bank["bands"], bank["low"], bank["high"]
    )
    weights = mel_bands(**bank)
    assert weights.shape == (bank["fft_size"] // 2 + 1, bank["bands"])
    np.testing.assert_allclose(weights, expected, atol=1e-11)


@pytest.mark.parametrize("name", BANKS)
def test_bands_are_centred_where_librosa_centres_them(name: str) -> None:
    # librosa draws its flanks straight in Hz, so weights differ, but not where a band stands.
    bank = BANKS[name]
    theirs = librosa.mel_frequencies(
        n_mels=bank["bands"] + 2, fmin=bank["low"], fmax=bank["high"], htk=True
    )[1:-1]
    fine = {**bank, "fft_size": 2**16}
    peaks = mel_bands(**fine).argmax(0) * bank["sample_rate"] / 2**16
    np.testing.assert_allclose(peaks, theirs, atol=1.5 * bank["sample_rate"] / 2**16)


@pytest.mark.parametrize("name", BANKS)
def test_librosas_flanks_are_straight_in_hz_and_end_where_ours_do(name: str) -> None:
    bank = BANKS[name]
    theirs = librosa.filters.mel(
        sr=bank["sample_rate"],
        n_fft=bank["fft_size"],
        n_mels=bank["bands"],
        fmin=bank["low"],
        fmax=bank["high"],
        htk=True,
        norm=None,
    ).T
    ours = mel_bands(**bank)
    # The two constants differ by 2e-5, which may move an edge over a bin of next to no weight.
    np.testing.assert_array_equal(ours > 1e-3, theirs > 1e-3)
    assert 0.001 < np.abs(ours - theirs).max() < 0.005


@pytest.mark.parametrize("name", BANKS)
def test_neighbouring_triangles_sum_to_one(name: str) -> None:
    bank = BANKS[name]
    weights = mel_bands(**bank)
    edges = np.linspace(hz_to_mel(bank["low"]), hz_to_mel(bank["high"]), bank["bands"] + 2)
    bins = hz_to_mel(np.arange(len(weights)) * bank["sample_rate"] / bank["fft_size"])
    inside = (bins >= edges[1]) & (bins <= edges[-2])
    np.testing.assert_allclose(weights[inside].sum(1), 1.0)
    np.testing.assert_array_equal(weights[0], 0.0)
    np.testing.assert_array_equal(weights[(bins <= edges[0]) | (bins >= edges[-1])], 0.0)


@pytest.mark.parametrize("name", BANKS)
@pytest.mark.parametrize("parts", [1, 2])
def test_the_product_in_groups_is_the_product(name: str, parts: int) -> None:
    weights = mel_bands(**BANKS[name])
    spectrum = torch.rand(2, 7, parts * len(weights), generator=torch.manual_seed(0))
    expected = spectrum.double().numpy() @ weights.repeat(parts, axis=0)
    np.testing.assert_allclose(MelProduct(weights, parts=parts)(spectrum), expected, rtol=2e-6)


def test_bands_that_reach_no_bin_hold_nothing() -> None:
    weights = np.zeros((5, 16))
    weights[2, 9] = 1.0
    held = MelProduct(weights)(torch.ones(5))
    assert held.tolist() == [0.0] * 9 + [1.0] + [0.0] * 6
