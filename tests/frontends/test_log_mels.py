"""Both log-mel front ends, against slow references, the originals and librosa."""

from __future__ import annotations

import math
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import torch
from references import efficientat_log_mel, triangles, vggish_log_mel
from torch import Tensor, nn

from sonotype.frontends.efficientat_logmel import EfficientATLogMel
from sonotype.frontends.frames import BLOCK, in_blocks, squared_parts
from sonotype.frontends.vggish_logmel import VGGishLogMel

PADDED = VGGishLogMel(pad_end=True)
FRONT_ENDS = [VGGishLogMel(), PADDED, EfficientATLogMel()]


def signal(name: str, rate: int = 16_000, samples: int = 4_000) -> npt.NDArray[np.float32]:
    made = {
        "noise": 0.1 * np.random.default_rng(0).standard_normal(samples),
        "sine": np.sin(2 * np.pi * 1_000 * np.arange(samples) / rate),
        "silence": np.zeros(samples),
        "click": np.eye(1, samples, samples // 2)[0],
    }
    return made[name].astype(np.float32)


def log_mel(front_end: nn.Module, samples: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return front_end(torch.as_tensor(samples)).numpy()


# A pure tone is the most difficult: the single-precision error in the silent bands next to it is a
# thousandth of VGGish's log offset of 0.01. The window of EfficientAT is in single precision, as
# in the original; that of the reference is not.
@pytest.mark.parametrize(
    ("name", "tolerance"), [("noise", 3e-6), ("sine", 1e-3), ("silence", 1e-6), ("click", 1e-6)]
)
def test_vggish_equals_the_reference(name: str, tolerance: float) -> None:
    samples = signal(name)
    expected = vggish_log_mel(samples)
    np.testing.assert_allclose(log_mel(VGGishLogMel(), samples), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "tolerance"), [("noise", 5e-5), ("sine", 1e-4), ("silence", 1e-6), ("click", 1e-5)]
)
def test_efficientat_equals_the_reference(name: str, tolerance: float) -> None:
    samples = signal(name, 32_000)
    actual, expected = log_mel(EfficientATLogMel(), samples), efficientat_log_mel(samples)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def test_vggish_equals_the_original(assets: Path) -> None:
    golden = np.load(assets / "golden" / "vggish_logmel.npz")
    waveform, expected = golden["waveform"], golden["log_mel"]
    assert golden["sample_rate"] == VGGishLogMel.sample_rate == 16_000
    np.testing.assert_allclose(log_mel(VGGishLogMel(), waveform), expected, rtol=0, atol=1e-4)
    slow = vggish_log_mel(waveform[: 400 + 19 * 160])  # the first frames, since it is slow
    np.testing.assert_allclose(slow, expected[:20], rtol=0, atol=1e-6)


def test_efficientat_equals_the_original(assets: Path) -> None:
    golden = np.load(assets / "golden" / "mn04.npz")
    waveform, expected = golden["waveform"], golden["log_mel"]
    assert golden["sample_rate"] == EfficientATLogMel.sample_rate == 32_000
    assert expected.shape == (128, 500)
    np.testing.assert_allclose(log_mel(EfficientATLogMel(), waveform), expected, rtol=0, atol=1e-4)
    slow = efficientat_log_mel(waveform[: 19 * 320 + 1])  # 20 frames; 2 of them contain the end
    np.testing.assert_allclose(slow[:, :18], expected[:, :18], rtol=0, atol=2e-4)


def test_spectra_equal_those_of_librosa() -> None:
    # librosa centres a window of 400 in a frame of 512; 56 zeros in front undo this.
    samples, options = signal("noise"), {"n_fft": 512, "hop_length": 160, "win_length": 400}
    magnitude = np.abs(librosa.stft(np.pad(samples, 56), center=False, **options))
    expected = np.log(magnitude.T @ triangles(16_000, 512, 64, 125.0, 7_500.0) + 0.01)
    np.testing.assert_allclose(log_mel(VGGishLogMel(), samples), expected, rtol=0, atol=5e-6)

    emphasised = samples[1:].astype(np.float64) - 0.97 * samples[:-1].astype(np.float64)
    options = {"n_fft": 1024, "hop_length": 320, "win_length": 800, "pad_mode": "reflect"}
    window = np.hanning(800)  # NumPy's is the symmetric one
    power = np.abs(librosa.stft(emphasised, window=window, **options)) ** 2
    mel = triangles(32_000, 1024, 128, 0.0, 15_000.0).T @ power
    expected = (np.log(mel + 1e-5) + 4.5) / 5
    np.testing.assert_allclose(log_mel(EfficientATLogMel(), samples), expected, rtol=0, atol=5e-5)


def test_silence_is_the_offset() -> None:
    silence = signal("silence")
    np.testing.assert_allclose(log_mel(VGGishLogMel(), silence), np.log(0.01), rtol=1e-6)
    expected = (np.log(1e-5) + 4.5) / 5
    np.testing.assert_allclose(log_mel(EfficientATLogMel(), silence), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("front_end", "counts"),
    [
        (
            FRONT_ENDS[0],
            {0: 0, 1: 0, 399: 0, 400: 1, 559: 1, 560: 2, 16_000: 98, 80_000: 498},
        ),
        (
            FRONT_ENDS[1],
            {0: 0, 1: 1, 160: 1, 161: 2, 399: 3, 400: 3, 16_000: 100, 80_000: 500},
        ),
        (
            FRONT_ENDS[2],
            {0: 0, 1: 0, 401: 0, 402: 2, 640: 2, 641: 3, 32_000: 100, 160_000: 500},
        ),
    ],
)
def test_count_of_frames(front_end: nn.Module, counts: dict[int, int]) -> None:
    for samples, frames in counts.items():
        shape = (128, frames) if isinstance(front_end, EfficientATLogMel) else (frames, 64)
        assert front_end(torch.zeros(3, samples)).shape == (3, *shape)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 3), (0,), (2, 0)])
def test_any_leading_axes(front_end: nn.Module, lead: tuple[int, ...]) -> None:
    waveform = torch.randn(*lead, 960, generator=torch.manual_seed(0))
    batch = front_end(waveform)
    shape = front_end(torch.zeros(960)).shape
    tolerance = 1e-6 if isinstance(front_end, EfficientATLogMel) else 1e-5
    assert batch.shape == (*lead, *shape)
    for row, clip in zip(batch.reshape(-1, *shape), waveform.reshape(-1, 960), strict=True):
        torch.testing.assert_close(row, front_end(clip), rtol=0, atol=tolerance)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
def test_gradients_reach_the_waveform(front_end: nn.Module) -> None:
    waveform = torch.from_numpy(signal("noise", samples=960)).requires_grad_()
    front_end(waveform).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
    assert waveform.grad.abs().max() > 0


def test_front_ends_have_no_state() -> None:
    for front_end in FRONT_ENDS:
        assert front_end.state_dict() == {}
        assert list(front_end.parameters()) == []
    assert (VGGishLogMel.bands, EfficientATLogMel.bands) == (64, 128)


# The ends of a waveform


@pytest.mark.parametrize("samples", [1, 2, 159, 160, 161, 399, 400, 559, 560, 1_000, 1_600, 1_700])
def test_padded_vggish_equals_the_reference(samples: int) -> None:
    waveform = 1 + signal("noise")[:samples]  # unlike the zeros behind it
    actual = log_mel(PADDED, waveform)
    assert actual.shape == (math.ceil(samples / 160), 64)
    expected = vggish_log_mel(waveform, pad_end=True)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples", [400, 560, 1_000, 80_000])
def test_padding_changes_no_other_frame(samples: int) -> None:
    waveform = signal("noise", samples=samples)
    expected = log_mel(VGGishLogMel(), waveform)
    actual = log_mel(PADDED, waveform)[: len(expected)]
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("samples", [161, 399, 400, 16_000, 16_001, 16_159])
def test_with_padding_the_last_samples_count(samples: int) -> None:
    waveform = signal("noise", samples=samples)
    changed = waveform.copy()
    changed[-2:] += 1
    assert np.abs(log_mel(PADDED, changed) - log_mel(PADDED, waveform)).max() > 0.01


def test_a_vggish_frame_depends_on_its_400_samples_alone() -> None:
    waveform = signal("noise", samples=1_200)
    changed = waveform.copy()
    changed[560:] += 1  # from sample 240 of the third frame on
    expected, actual = log_mel(VGGishLogMel(), waveform), log_mel(VGGishLogMel(), changed)
    assert np.array_equal(actual[:2], expected[:2])
    assert np.abs(actual[2:] - expected[2:]).max(1).min() > 0.1


@pytest.mark.parametrize("samples", [402, 420, 513, 640, 641])
def test_the_shortest_waveforms_of_efficientat_are_reflected(samples: int) -> None:
    # The reference pads by 512 samples, for which these waveforms are too short. The window of 800
    # leaves only 400 samples on each side in use.
    waveform = signal("noise", samples=samples)
    emphasised = waveform[1:].astype(np.float64) - 0.97 * waveform[:-1]
    padded = np.pad(np.pad(emphasised, 400, mode="reflect"), 112)
    bands = triangles(32_000, 1024, 128, 0.0, 15_000.0)
    window = np.pad(np.hanning(800), 112)
    for frame, actual in enumerate(log_mel(EfficientATLogMel(), waveform).T):
        power = np.abs(np.fft.rfft(padded[320 * frame :][:1024] * window)) ** 2
        np.testing.assert_allclose(actual, (np.log(power @ bands + 1e-5) + 4.5) / 5, atol=5e-5)


# Blocks of frames


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("count", [1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_blocks_change_nothing(clips: int, count: int) -> None:
    def sums(frames: Tensor) -> Tensor:
        return torch.stack([frames.sum(-1), frames.amax(-1)], dim=-1)

    frames = torch.randn(clips, count, 5, generator=torch.manual_seed(0))
    assert torch.equal(in_blocks(sums, frames), sums(frames))


def test_squares_of_both_parts_are_neighbours() -> None:
    spectrum = torch.tensor([[1 + 2j, -3 + 0.5j]])
    assert squared_parts(spectrum).tolist() == [[1.0, 4.0, 9.0, 0.25]]


@pytest.mark.parametrize(("front_end", "time"), [(VGGishLogMel(), -2), (EfficientATLogMel(), -1)])
def test_a_long_recording_has_the_frames_of_its_parts(
    front_end: VGGishLogMel | EfficientATLogMel, time: int
) -> None:
    hop = front_end.sample_rate // 100
    waveform = torch.randn(1_300 * hop, generator=torch.manual_seed(0)) * 0.1
    whole = front_end(waveform).numpy()
    part = front_end(waveform[600 * hop : 1_200 * hop]).numpy()
    frames = range(5, 590)  # without those that contain an end
    np.testing.assert_allclose(
        np.take(part, frames, axis=time),
        np.take(whole, [600 + frame for frame in frames], axis=time),
        rtol=0,
        atol=2e-6,
    )
