from __future__ import annotations

import math
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import torch
from references import triangles, vggish_log_mel

from sonotype.frontends import VGGishLogMel
from sonotype.frontends.vggish_logmel import WINDOW


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


@pytest.mark.parametrize("samples", [1, 2, 159, 160, 161, 399, 400, 559, 560, 1_000, 1_600, 1_700])
def test_padded_to_its_end_it_equals_the_reference(samples: int) -> None:
    sound = 1 + signal("noise")[:samples]  # the zeros behind it are not like it
    actual = VGGishLogMel(pad_end=True)(torch.as_tensor(sound)).numpy()
    assert actual.shape == (math.ceil(samples / 160), 64)
    expected = vggish_log_mel(sound, pad_end=True)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [400, 560, 1_000, 80_000])
def test_padding_the_end_changes_no_other_frame(samples: int) -> None:
    sound = torch.from_numpy(signal("noise", samples))
    expected = VGGishLogMel()(sound)
    actual = VGGishLogMel(pad_end=True)(sound)
    torch.testing.assert_close(actual[: len(expected)], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [161, 399, 400, 16_000, 16_001, 16_159])
def test_padded_to_its_end_it_hears_the_last_samples(samples: int) -> None:
    sound = torch.from_numpy(signal("noise", samples))
    changed = sound.clone()
    changed[-2:] += 1
    front_end = VGGishLogMel(pad_end=True)
    assert (front_end(changed) - front_end(sound)).abs().max() > 0.01


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


@pytest.mark.parametrize(
    ("samples", "frames"),
    [(0, 0), (1, 1), (160, 1), (161, 2), (399, 3), (400, 3), (16_000, 100), (80_000, 500)],
)
def test_count_of_frames_to_the_end(samples: int, frames: int) -> None:
    assert VGGishLogMel(pad_end=True)(torch.zeros(3, samples)).shape == (3, frames, 64)


@pytest.mark.parametrize("shape", [(800,), (1, 800), (3, 800), (2, 3, 800), (0, 800), (2, 0, 800)])
@pytest.mark.parametrize(("pad_end", "frames"), [(False, 3), (True, 5)])
def test_any_leading_axes(shape: tuple[int, ...], pad_end: bool, frames: int) -> None:
    waveform = torch.randn(shape, generator=torch.manual_seed(0))
    front_end = VGGishLogMel(pad_end=pad_end)
    together = front_end(waveform)
    assert together.shape == (*shape[:-1], frames, 64)
    rows = together.reshape(-1, frames, 64)
    for row, one in zip(rows, waveform.reshape(-1, 800), strict=True):
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
