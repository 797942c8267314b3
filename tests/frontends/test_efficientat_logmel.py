from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import torch
from references import efficientat_log_mel, triangles

from sonotype.frontends import EfficientATLogMel


def signal(name: str, samples: int = 4_000) -> npt.NDArray[np.float32]:
    time = np.arange(samples) / 32_000
    made = {
        "noise": 0.1 * np.random.default_rng(0).standard_normal(samples),
        "sine": np.sin(2 * np.pi * 1_000 * time),
        "silence": np.zeros(samples),
        "click": np.eye(1, samples, samples // 2)[0],
    }
    return made[name].astype(np.float32)


def log_mel(samples: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return EfficientATLogMel()(torch.as_tensor(samples)).numpy()


# The window is in single precision, as the original's is; the reference's is not.
@pytest.mark.parametrize(
    ("name", "tolerance"), [("noise", 5e-5), ("sine", 1e-4), ("silence", 1e-6), ("click", 1e-5)]
)
def test_equals_the_reference(name: str, tolerance: float) -> None:
    samples = signal(name)
    expected = efficientat_log_mel(samples)
    np.testing.assert_allclose(log_mel(samples), expected, rtol=0, atol=tolerance)


def test_equals_the_original(assets: Path) -> None:
    golden = np.load(assets / "golden" / "mn04.npz")
    assert golden["sample_rate"] == EfficientATLogMel.sample_rate == 32_000
    assert golden["log_mel"].shape == (128, 500)
    np.testing.assert_allclose(log_mel(golden["waveform"]), golden["log_mel"], rtol=0, atol=1e-4)


def test_the_reference_equals_the_original(assets: Path) -> None:
    golden = np.load(assets / "golden" / "mn04.npz")
    # 20 frames, of which the last two see the cut
    slow = efficientat_log_mel(golden["waveform"][: 19 * 320 + 1])
    np.testing.assert_allclose(slow[:, :18], golden["log_mel"][:, :18], rtol=0, atol=2e-4)


def test_spectra_are_librosas() -> None:
    samples = signal("noise").astype(np.float64)
    emphasised = samples[1:] - 0.97 * samples[:-1]
    window = np.hanning(800)  # NumPy's is the symmetric one
    power = (
        np.abs(
            librosa.stft(
                emphasised,
                n_fft=1024,
                hop_length=320,
                win_length=800,
                window=window,
                center=True,
                pad_mode="reflect",
            )
        )
        ** 2
    )
    bands = triangles(32_000, 1024, 128, 0.0, 15_000.0)
    expected = (np.log(bands.T @ power + 1e-5) + 4.5) / 5
    np.testing.assert_allclose(log_mel(signal("noise")), expected, rtol=0, atol=5e-5)


def test_silence_is_the_offset() -> None:
    expected = (np.log(1e-5) + 4.5) / 5
    np.testing.assert_allclose(log_mel(signal("silence")), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(0, 0), (1, 0), (401, 0), (402, 2), (640, 2), (641, 3), (32_000, 100), (160_000, 500)],
)
def test_count_of_frames(samples: int, frames: int) -> None:
    assert EfficientATLogMel()(torch.zeros(2, samples)).shape == (2, 128, frames)


@pytest.mark.parametrize("samples", [402, 420, 513, 640, 641])
def test_the_shortest_sounds_are_reflected_as_the_reference_does(samples: int) -> None:
    # The reference pads by 512, which NumPy's slices do for sounds longer than that alone; for
    # shorter ones only 400 samples on each side are ever seen, the window being 800 long.
    waveform = signal("noise", samples)
    emphasised = waveform[1:].astype(np.float64) - 0.97 * waveform[:-1]
    padded = np.pad(np.pad(emphasised, 400, mode="reflect"), 112)
    bands = triangles(32_000, 1024, 128, 0.0, 15_000.0)
    window = np.pad(np.hanning(800), 112)
    for frame, actual in enumerate(log_mel(waveform).T):
        power = np.abs(np.fft.rfft(padded[320 * frame :][:1024] * window)) ** 2
        np.testing.assert_allclose(actual, (np.log(power @ bands + 1e-5) + 4.5) / 5, atol=5e-5)


@pytest.mark.parametrize("shape", [(960,), (1, 960), (3, 960), (2, 3, 960), (0, 960), (2, 0, 960)])
def test_any_leading_axes(shape: tuple[int, ...]) -> None:
    waveform = torch.randn(shape, generator=torch.manual_seed(0))
    front_end = EfficientATLogMel()
    together = front_end(waveform)
    assert together.shape == (*shape[:-1], 128, 3)
    for row, one in zip(together.reshape(-1, 128, 3), waveform.reshape(-1, 960), strict=True):
        torch.testing.assert_close(row, front_end(one), rtol=0, atol=1e-6)


def test_gradients_reach_the_waveform() -> None:
    waveform = torch.from_numpy(signal("noise", 960)).requires_grad_()
    EfficientATLogMel()(waveform).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().max() > 0


def test_nothing_of_it_goes_into_a_state_dict() -> None:
    front_end = EfficientATLogMel()
    assert front_end.state_dict() == {}
    assert list(front_end.parameters()) == []
    assert (front_end.sample_rate, front_end.bands) == (32_000, 128)
