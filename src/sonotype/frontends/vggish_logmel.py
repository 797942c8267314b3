"""The VGGish front end: 64 log-mel bands of 16 kHz sound, 100 frames a second.

Hershey et al., "CNN architectures for large-scale audio classification" (2017), as released with
AudioSet. Frames are neither centred nor padded: frame ``i`` starts at sample ``160 i``.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.frontends.frames import in_blocks, squared_parts
from sonotype.frontends.mel import MelProduct, mel_bands

SAMPLE_RATE = 16_000
WINDOW = 400  # 25 ms
HOP = 160  # 10 ms
FFT_SIZE = 512
BANDS = 64
LOW, HIGH = 125.0, 7_500.0
LOG_OFFSET = 0.01


def hann() -> npt.NDArray[np.float64]:
    """``[400]``, the periodic Hann window: one period of the cosine is its length."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)


def mel_weights() -> npt.NDArray[np.float64]:
    """``[257, 64]``, the triangular bands."""
    return mel_bands(sample_rate=SAMPLE_RATE, fft_size=FFT_SIZE, bands=BANDS, low=LOW, high=HIGH)


def frame_count(samples: int, *, pad_end: bool) -> int:
    """Number of frames that fit in ``samples``, or with ``pad_end``, that start in them."""
    if pad_end:
        return (samples + HOP - 1) // HOP
    return max((samples - WINDOW) // HOP + 1, 0)


class VGGishLogMel(nn.Module):
    """Log-mel of magnitude spectra, ``log(mel + 0.01)``.

    Args:
        pad_end: whether zeros follow the waveform, so that its last samples are in a frame, too.

    Shape:
        ``[..., samples] -> [..., frames, 64]`` with ``frames = (samples - 400) // 160 + 1``, or 0
        for fewer than 400 samples; 5 s give 498 frames. With ``pad_end``,
        ``frames = ceil(samples / 160)``; 5 s give 500 frames.
    """

    sample_rate = SAMPLE_RATE
    bands = BANDS
    window: Tensor

    def __init__(self, *, pad_end: bool = False) -> None:
        super().__init__()
        self.pad_end = pad_end
        # Zeros after the window fill the length of the transform, so that frames are not copied.
        window = np.pad(hann(), (0, FFT_SIZE - WINDOW))
        self.register_buffer("window", torch.from_numpy(window).float(), persistent=False)
        self.mel = MelProduct(mel_weights())

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel of waveforms at 16 kHz."""
        lead, samples = waveform.shape[:-1], waveform.shape[-1]
        count = frame_count(samples, pad_end=self.pad_end)
        if count == 0 or waveform.numel() == 0:  # no transform takes an empty batch
            return waveform.new_zeros(*lead, count, BANDS)
        behind = FFT_SIZE if self.pad_end else FFT_SIZE - WINDOW
        padded = F.pad(waveform.reshape(-1, samples), (0, behind))
        frames = padded.unfold(-1, FFT_SIZE, HOP)[:, :count]
        return in_blocks(self._log_mel, frames).view(*lead, count, BANDS)

    def extra_repr(self) -> str:
        """Options that differ from the default, for the digests of cached maps."""
        return "pad_end=True" if self.pad_end else ""

    def _log_mel(self, frames: Tensor) -> Tensor:
        """``[..., frames, 512] -> [..., frames, 64]``."""
        squares = squared_parts(torch.fft.rfft(frames * self.window))
        magnitude = (squares[..., ::2] + squares[..., 1::2]).sqrt_()
        mel: Tensor = self.mel(magnitude)
        return mel.add_(LOG_OFFSET).log_()
