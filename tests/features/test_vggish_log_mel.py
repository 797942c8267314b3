from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import torch
from references import triangles, vggish_log_mel

from sonotype.features import VGGishLogMel
from sonotype.features.vggish import WINDOW


def signal(name: str, samples: int = 4_000) -> npt.NDArray[np.float32]:
    time = np.arange(samples) / 16_000
    made = {
        "noise": 0.1 * np.random.default_rng(0).standard_normal(samples),
        "sine": np.sin(2 * np.pi * 1_000 * time),
        "silence": np.zeros(samples),
        "click": np.eye(1, samples, samples // 2)[0],
    }
    return made[name].astype(np.float32)


def log_mel(samples: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return VGGishLogMel()(torch.as_tensor(samples)).numpy()


# A pure tone is the hardest: beside it, what single precision leaves in the silent bands is a
# thousandth of the 0.01 under the logarithm.
@pytest.mark.parametrize(
    ("name", "tolerance"), [("noise", 3e-6), ("sine", 1e-3), ("silence", 1e-6), ("click", 1e-6)]
)
def test_equals_the_reference(name: str, tolerance: float) -> None:
    samples = signal(name)
    np.testing.assert_allclose(log_mel(samples), vggish_log_mel(samples), rtol=0, atol=tolerance)


def test_equals_the_original(assets: Path) -> None:
    golden = np.load(assets / "golden" / "vggish_logmel.npz")
    assert golden["sample_rate"] == VGGishLogMel.sample_rate == 16_000
    np.testing.assert_allclose(log_mel(golden["waveform"]), golden["log_mel"], rtol=0, atol=1e-4)
    # the first patches are enough for the slow one
    slow = vggish_log_mel(golden["waveform"][: 400 + 19 * 160])
    np.testing.assert_allclose(slow, golden["log_mel"][:20], rtol=0, atol=1e-6)


def test_spectra_are_librosas() -> None:
    samples = signal("noise")
    # librosa puts a window of 400 in the middle of a frame of 512; 56 zeros in front undo that.
    magnitude = np.abs(
        librosa.stft(
            np.pad(samples, 56), n_fft=512, hop_length=160, win_length=400, center=False
        )
    )  # fmt: skip
    bands = triangles(16_000, 512, 64, 125.0, 7_500.0)
    expected = np.log(magnitude.T @ bands + 0.01)
    np.testing.assert_allclose(log_mel(samples), expected, rtol=0, atol=5e-6)


def test_silence_is_the_offset() -> None:
    np.testing.assert_allclose(log_mel(signal("silence")), np.log(0.01), rtol=1e-6)


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(0, 0), (1, 0), (399, 0), (400, 1), (559, 1), (560, 2), (16_000, 98), (80_000, 498)],
)
def test_count_of_frames(samples: int, frames: int) -> None:
    assert VGGishLogMel()(torch.zeros(3, samples)).shape == (3, frames, 64)


@pytest.mark.parametrize("shape", [(800,), (1, 800), (3, 800), (2, 3, 800), (0, 800), (2, 0, 800)])
def test_any_leading_axes(shape: tuple[int, ...]) -> None:
    waveform = torch.randn(shape, generator=torch.manual_seed(0))
    front_end = VGGishLogMel()
    together = front_end(waveform)
    assert together.shape == (*shape[:-1], 3, 64)
    for row, one in zip(together.reshape(-1, 3, 64), waveform.reshape(-1, 800), strict=True):
        torch.testing.assert_close(row, front_end(one), rtol=0, atol=1e-5)


def test_a_frame_sees_its_400_samples_alone() -> None:
    waveform = torch.from_numpy(signal("noise", 1_200))
    expected = VGGishLogMel()(waveform)
    changed = waveform.clone()
    changed[560:] += 1  # from the third frame's 240th sample on
    actual = VGGishLogMel()(changed)
    assert torch.equal(actual[:2], expected[:2])
    assert (actual[2:] - expected[2:]).abs().amax(1).min() > 0.1


def test_gradients_reach_the_waveform() -> None:
    waveform = torch.from_numpy(signal("noise", 2 * WINDOW)).requires_grad_()
    VGGishLogMel()(waveform).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().max() > 0


def test_nothing_of_it_goes_into_a_state_dict() -> None:
    front_end = VGGishLogMel()
    assert front_end.state_dict() == {}
    assert list(front_end.parameters()) == []
    assert (front_end.sample_rate, front_end.bands) == (16_000, 64)
