"""Log-mels by matrix products equal those of the front ends, up to single precision."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from sonotype.frontends import efficientat_logmel, vggish_logmel
from sonotype.frontends.efficientat_logmel import EfficientATLogMel
from sonotype.frontends.matmul_dft import MatmulPower, matmul_frontend
from sonotype.frontends.vggish_logmel import VGGishLogMel

SAMPLES = 32_000


def signal(name: str) -> torch.Tensor:
    rng = np.random.default_rng(0)
    time = np.arange(SAMPLES) / 16_000
    made = {
        "noise": 0.1 * rng.standard_normal(SAMPLES),
        "quiet": 1e-4 * rng.standard_normal(SAMPLES),
        "sine": np.sin(2 * np.pi * 1_000 * time),
        "silence": np.zeros(SAMPLES),
        "click": np.eye(1, SAMPLES, SAMPLES // 2)[0],
    }
    return torch.from_numpy(made[name]).float()[None]


@pytest.mark.parametrize(
    ("window", "fft_size", "hop"),
    [
        (vggish_logmel.hann(), 512, 160),
        (efficientat_logmel.hann(), 1024, 320),
        (np.ones(48), 64, 16),
    ],
)
def test_power_is_that_of_the_transform(
    window: npt.NDArray[np.floating], fft_size: int, hop: int
) -> None:
    frames, bins = 7, fft_size // 2 + 1
    shape = (2, (frames - 1) * hop + len(window))
    samples = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    power = MatmulPower(window, fft_size=fft_size, hop=hop, bins=bins)(torch.from_numpy(samples))
    assert power.shape == (2, bins, frames)
    for frame in range(frames):
        cut = samples[:, hop * frame :][:, : len(window)].astype(np.float64)
        expected = np.abs(np.fft.rfft(cut * window, fft_size)) ** 2
        np.testing.assert_allclose(power[:, :, frame], expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("front_end", "tolerances"),
    [
        (
            VGGishLogMel(),
            {"noise": 2e-5, "quiet": 1e-6, "sine": 2e-3, "silence": 1e-6, "click": 2e-6},
        ),
        (
            VGGishLogMel(pad_end=True),
            {"noise": 2e-5, "quiet": 1e-6, "sine": 2e-3, "silence": 1e-6, "click": 2e-6},
        ),
        (
            EfficientATLogMel(),
            {"noise": 2e-4, "quiet": 1e-5, "sine": 5e-4, "silence": 1e-6, "click": 2e-5},
        ),
    ],
)
@pytest.mark.parametrize("name", ["noise", "quiet", "sine", "silence", "click"])
def test_log_mels_are_the_front_ends(
    front_end: nn.Module, tolerances: dict[str, float], name: str
) -> None:
    waveform = signal(name)
    expected, actual = front_end(waveform), matmul_frontend(front_end)(waveform)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerances[name])


@pytest.mark.parametrize("samples", [402, 640, 641, 5_001, 16_000])
@pytest.mark.parametrize(
    "front_end", [VGGishLogMel(), VGGishLogMel(pad_end=True), EfficientATLogMel()]
)
def test_as_many_frames(front_end: nn.Module, samples: int) -> None:
    waveform = signal("noise")[:, :samples].repeat(3, 1)
    assert matmul_frontend(front_end)(waveform).shape == front_end(waveform).shape


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 399, 400, 401])
def test_short_sounds_padded_to_their_end(samples: int) -> None:
    front_end, waveform = VGGishLogMel(pad_end=True), signal("noise")[:, :samples]
    actual, expected = matmul_frontend(front_end)(waveform), front_end(waveform)
    torch.testing.assert_close(actual, expected, rtol=0, atol=2e-5)


def test_other_layers_are_refused() -> None:
    with pytest.raises(TypeError, match="Linear"):
        matmul_frontend(nn.Linear(1, 1))


def test_sizes_that_are_not_multiples_of_the_stride_are_refused() -> None:
    with pytest.raises(ValueError, match="must be multiples of 16"):
        MatmulPower(np.ones(33), fft_size=64, hop=16, bins=33)
