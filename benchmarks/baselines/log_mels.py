"""Log-mel front ends: this package, torch.stft with a matrix of mel bands, librosa, Kaldi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.baseline import Baseline, Clips, Facts, Group, Loaded, Predictions, Run
from benchmarks.modes import in_batches, one_by_one, torch_threads


@dataclass(frozen=True)
class Setting:
    """A log-mel with 10 ms hop and 25 ms window."""

    name: str
    group: Group
    rate: int
    window: int
    hop: int
    fft_size: int
    bands: int
    low: float
    high: float
    power: Literal[1, 2]
    offset: float

    def matrix(self) -> npt.NDArray[np.float64]:
        """``[frequencies, bands]``, triangles on the mel axis."""
        from sonotype.frontends.mel import mel_bands

        return mel_bands(
            sample_rate=self.rate, fft_size=self.fft_size, bands=self.bands, low=self.low,
            high=self.high,
        )  # fmt: skip


VGGISH = Setting(
    "vggish", "log-mel 16 kHz", 16_000, 400, 160, 512, 64, 125.0, 7_500.0, 1, 0.01
)  # fmt: skip
EFFICIENTAT = Setting(
    "efficientat", "log-mel 32 kHz", 32_000, 800, 320, 1024, 128, 0.0, 15_000.0, 2, 1e-5
)  # fmt: skip


def sonotype_mel(setting: Setting) -> Run:
    """The front ends of this package."""
    import torch

    from sonotype.frontends import EfficientATLogMel, VGGishLogMel

    front_end = VGGishLogMel() if setting == VGGISH else EfficientATLogMel()

    def run(clips: Clips) -> Predictions:
        with torch.inference_mode():
            log_mel = front_end(torch.from_numpy(clips)).numpy()
        # The network's input is scaled; the logarithm itself is compared.
        return np.asarray(log_mel if setting == VGGISH else 5 * log_mel.swapaxes(-1, -2) - 4.5)

    return run


def torch_stft(setting: Setting, dtype: str = "float32") -> Run:
    """The same definition by ``torch.stft`` and a matrix product, as in torchaudio."""
    import torch
    from torch.nn import functional as F

    vggish = setting == VGGISH
    precision = getattr(torch, dtype)
    # EfficientAT's window has the values of single precision.
    window = torch.hann_window(setting.window, periodic=vggish, dtype=precision if vggish else None)
    bands = torch.from_numpy(setting.matrix()).to(precision)

    def run(clips: Clips) -> Predictions:
        with torch.inference_mode():
            x = torch.from_numpy(clips).to(precision)
            # torch puts the window into the middle of the transform's length.
            pad = (setting.fft_size - setting.window) // 2
            x = F.pad(x, (pad, pad)) if vggish else x[..., 1:] - 0.97 * x[..., :-1]
            spectrum = torch.stft(
                x, setting.fft_size, setting.hop, setting.window, window.to(precision),
                center=not vggish, return_complex=True,
            )  # fmt: skip
            energy = spectrum.abs().pow(setting.power).transpose(-1, -2) @ bands
            return np.asarray(torch.log(energy + setting.offset).numpy())

    return run


def librosa_mel(setting: Setting, dtype: str = "float32") -> Run:
    """``librosa.feature.melspectrogram`` with HTK's mel scale, and the logarithm."""
    import librosa

    def run(clips: Clips) -> Predictions:
        mel = librosa.feature.melspectrogram(
            y=clips.astype(dtype, copy=False), sr=setting.rate, n_fft=setting.fft_size,
            hop_length=setting.hop, win_length=setting.window, power=setting.power,
            n_mels=setting.bands, fmin=setting.low, fmax=setting.high, htk=True, norm=None,
            dtype=dtype,
        )  # fmt: skip
        return np.asarray(np.log(mel.swapaxes(-1, -2) + np.dtype(dtype).type(setting.offset)))

    return run


def kaldi(setting: Setting) -> Run:
    """kaldi-native-fbank; one call computes all frames, and each is fetched by a call."""
    import kaldi_native_fbank as knf

    options = knf.FbankOptions()
    options.frame_opts.samp_freq = setting.rate
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.frame_opts.remove_dc_offset = False
    options.frame_opts.preemph_coeff = 0.97 if setting.power == 2 else 0.0
    options.mel_opts.num_bins = setting.bands
    options.mel_opts.low_freq, options.mel_opts.high_freq = setting.low, setting.high
    options.use_power = setting.power == 2

    def run(clip: Clips) -> Predictions:
        fbank = knf.OnlineFbank(options)
        fbank.accept_waveform(setting.rate, clip)
        fbank.input_finished()
        return np.stack([fbank.get_frame(number) for number in range(fbank.num_frames_ready)])

    return run


def kaldi_definition(setting: Setting) -> Run:
    """Kaldi in double precision: whole frames, pre-emphasis within a frame, a floor."""
    window, bands = np.hanning(setting.window), setting.matrix()
    floor = np.finfo(np.float32).eps

    def run(clip: Clips) -> Predictions:
        signal = clip.astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(signal, setting.window)[:: setting.hop]
        if setting.power == 2:
            frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        spectrum = np.abs(np.fft.rfft(frames * window, setting.fft_size))
        return np.asarray(np.log(np.maximum(spectrum**setting.power @ bands, floor)))

    return run


def torch_modes(run: Run, threads: int) -> dict[str, Run]:
    """In one batch, or one clip in each thread."""
    return {**in_batches(run, 16), **torch_threads(run, 1, threads)}


def numpy_modes(run: Run, threads: int) -> dict[str, Run]:
    """In one batch, or one clip in each thread."""
    return {**in_batches(run, 16), **clip_modes(run, threads)}


def clip_modes(run: Run, threads: int) -> dict[str, Run]:
    """One clip in each thread: the library takes no batches."""
    return one_by_one(*[run] * threads)


DOUBLE = partial(torch_stft, dtype="float64")
KINDS: tuple[dict[str, Any], ...] = (
    {
        "name": "sonotype", "title": "sonotype", "packages": ("sonotype", "torch"),
        "make": sonotype_mel, "modes": torch_modes, "reference": DOUBLE,
    },
    {
        "name": "stft", "title": "torch.stft, mel product", "packages": ("torch",),
        "make": torch_stft, "modes": torch_modes, "reference": DOUBLE,
        "note": "the same definition",
    },
    {
        "name": "librosa", "title": "librosa", "packages": ("librosa",),
        "make": librosa_mel, "modes": numpy_modes,
        "reference": partial(librosa_mel, dtype="float64"),
        "note": "another definition: centred frames, triangles in Hz, no pre-emphasis",
    },
    {
        "name": "kaldi", "title": "kaldi-native-fbank", "packages": ("kaldi-native-fbank",),
        "make": kaldi, "modes": clip_modes, "reference": kaldi_definition,
        "note": "another definition: symmetric window, pre-emphasis within a frame, whole frames "
        "only, a floor under the logarithm",
    },
)  # fmt: skip


def baseline(
    setting: Setting, *, name: str, make: Callable[[Setting], Run],
    modes: Callable[[Run, int], dict[str, Run]], reference: Callable[[Setting], Run], **row: Any,
) -> Baseline:  # fmt: skip
    """A row for one kind of front end and one setting."""

    def load(folder: Path, threads: int) -> Loaded:
        run = make(setting)
        return Loaded(run, modes(run, threads))

    return Baseline(
        name=f"{name}-{setting.name}", group=setting.group, sample_rate=setting.rate,
        write=lambda folder: Facts(), load=load, reference=lambda folder: reference(setting),
        tolerance=0.05, **row,
    )  # fmt: skip


BASELINES = tuple(baseline(setting, **kind) for setting in (VGGISH, EFFICIENTAT) for kind in KINDS)
