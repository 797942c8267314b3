"""Log-mels in double precision, each by the definition of the library that it stands for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.mels import Setting
from benchmarks.peer import Clips

Array = npt.NDArray[np.float64]


def spectra(frames: Array, window: Array, fft_size: int) -> Array:
    """``[frames, window]`` to magnitudes ``[frames, fft_size // 2 + 1]``."""
    return np.abs(np.fft.rfft(frames * window, fft_size))


def framed(signal: Array, length: int, hop: int) -> Array:
    """Whole frames, the first at sample 0."""
    return np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]


def bands_of(setting: Setting) -> Array:
    """Triangles on the mel axis."""
    from sonotype.frontends.mel import mel_bands

    return mel_bands(
        sample_rate=setting.rate, fft_size=setting.fft_size, bands=setting.bands,
        low=setting.low, high=setting.high,
    )  # fmt: skip


def published(setting: Setting, clip: Clips) -> Array:
    """What VGGish and EfficientAT were trained on, and what this project computes."""
    signal = clip.astype(np.float64)
    if setting.power == 1:
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(setting.window) / setting.window)
    else:
        signal = np.pad(signal[1:] - 0.97 * signal[:-1], setting.window // 2, mode="reflect")
        window = np.hanning(setting.window).astype(np.float32).astype(np.float64)
    frames = framed(signal, setting.window, setting.hop)
    energy = spectra(frames, window, setting.fft_size) ** setting.power @ bands_of(setting)
    return np.log(energy + setting.offset)


def librosa_like(setting: Setting, clip: Clips) -> Array:
    """``librosa.feature.melspectrogram``: centred frames, zeros at the ends, triangles in Hz."""
    import librosa

    half = setting.fft_size // 2
    signal = np.pad(clip.astype(np.float64), half)
    spare = setting.fft_size - setting.window
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(setting.window) / setting.window)
    window = np.pad(window, (spare // 2, spare - spare // 2))
    frames = framed(signal, setting.fft_size, setting.hop)
    bands = librosa.filters.mel(
        sr=setting.rate, n_fft=setting.fft_size, n_mels=setting.bands, fmin=setting.low,
        fmax=setting.high, htk=True, norm=None, dtype=np.float64,
    )  # fmt: skip
    energy: Array = spectra(frames, window, setting.fft_size) ** setting.power @ bands.T
    return np.log(energy + setting.offset)


def kaldi_like(setting: Setting, clip: Clips) -> Array:
    """Kaldi: whole frames, pre-emphasis within each of them, a floor instead of an offset."""
    frames = framed(clip.astype(np.float64), setting.window, setting.hop)
    if setting.power == 2:
        before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        frames = frames - 0.97 * before
    window = np.hanning(setting.window)
    energy = spectra(frames, window, setting.fft_size) ** setting.power @ bands_of(setting)
    return np.log(np.maximum(energy, np.finfo(np.float32).eps))
