"""Log-mel front ends: this package, torch.stft with a matrix of mel bands, librosa, Kaldi."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace as Setting
from typing import Any

import numpy as np

from benchmarks.baseline import Baseline, Clips, Facts, Loaded, Predictions, Run
from benchmarks.modes import in_batches, one_by_one, torch_threads

# Not imported from the package: rows of other libraries run without torch.
VGGISH = Setting(
    name="vggish", group="Log-mel 16 kHz", rate=16_000, window=400, hop=160, fft_size=512,
    bands=64, low=125.0, high=7_500.0, power=1, offset=0.01,
)  # fmt: skip
EFFICIENTAT = Setting(
    name="efficientat", group="Log-mel 32 kHz", rate=32_000, window=800, hop=320, fft_size=1024,
    bands=128, low=0.0, high=15_000.0, power=2, offset=1e-5,
)  # fmt: skip


def mel_matrix(setting: Setting) -> Any:
    """``[frequencies, bands]``, triangles on the mel axis."""
    from sonotype.frontends.mel import mel_bands

    return mel_bands(
        sample_rate=setting.rate, fft_size=setting.fft_size, bands=setting.bands,
        low=setting.low, high=setting.high,
    )  # fmt: skip


def sonotype_mel(setting: Setting) -> Run:
    """The front ends of this package."""
    import torch

    from sonotype.frontends.efficientat_logmel import EfficientATLogMel
    from sonotype.frontends.vggish_logmel import VGGishLogMel

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
    bands = torch.from_numpy(mel_matrix(setting)).to(precision)

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
    window, bands = np.hanning(setting.window), mel_matrix(setting)
    floor = np.finfo(np.float32).eps

    def run(clip: Clips) -> Predictions:
        signal = clip.astype(np.float64)
        frames = np.lib.stride_tricks.sliding_window_view(signal, setting.window)[:: setting.hop]
        if setting.power == 2:
            frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        spectrum = np.abs(np.fft.rfft(frames * window, setting.fft_size))
        return np.asarray(np.log(np.maximum(spectrum**setting.power @ bands, floor)))

    return run


def baseline(
    setting: Setting, name: str, packages: tuple[str, ...], make: Callable[[Setting], Run],
    reference: Callable[[Setting], Run], title: str = "", note: str = "",
) -> Baseline:  # fmt: skip
    """A row for one kind of front end and one setting."""

    def load(folder: Path, threads: int) -> Loaded:
        """In one batch, if the library takes batches, or one clip in each thread."""
        run = make(setting)
        modes = {} if make is kaldi else in_batches(run, 16)
        on_torch = "torch" in packages
        modes |= torch_threads(run, 1, threads) if on_torch else one_by_one(*[run] * threads)
        return Loaded(run, modes)

    return Baseline(
        name=f"{name}-{setting.name}", title=title or name, group=setting.group,
        sample_rate=setting.rate, packages=packages, write=lambda folder: Facts(), load=load,
        reference=lambda folder: reference(setting), tolerance=0.05, note=note,
    )  # fmt: skip


DOUBLE = partial(torch_stft, dtype="float64")
LIBROSA = "another definition: centred frames, triangles in Hz, no pre-emphasis"
KALDI = (
    "another definition: symmetric window, pre-emphasis within a frame, whole frames only, a floor "
    "under the logarithm"
)
KINDS: tuple[tuple[Any, ...], ...] = (
    ("sonotype", ("sonotype", "torch"), sonotype_mel, DOUBLE),
    ("stft", ("torch",), torch_stft, DOUBLE, "torch.stft, mel product", "the same definition"),
    ("librosa", ("librosa",), librosa_mel, partial(librosa_mel, dtype="float64"), "", LIBROSA),
    ("kaldi", ("kaldi-native-fbank",), kaldi, kaldi_definition, "kaldi-native-fbank", KALDI),
)
BASELINES = tuple(baseline(setting, *kind) for setting in (VGGISH, EFFICIENTAT) for kind in KINDS)
