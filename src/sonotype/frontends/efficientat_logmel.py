"""The EfficientAT front end: 128 log-mel bands of 32 kHz sound, 100 frames a second.

Schmid, Koutini, Widmer, "Efficient large-scale audio tagging via transformer-to-CNN knowledge
distillation" (2023). Pre-emphasis takes one sample; frames are centred, with reflection at the
ends.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.frontends.frames import in_blocks, squared_parts
from sonotype.frontends.mel import MelProduct, mel_bands

SAMPLE_RATE = 32_000
WINDOW = 800  # 25 ms
HOP = 320  # 10 ms
FFT_SIZE = 1024
BANDS = 128
LOW, HIGH = 0.0, 15_000.0
PRE_EMPHASIS = 0.97
LOG_OFFSET = 1e-5
SHIFT, SCALE = 4.5, 5.0


def hann() -> npt.NDArray[np.float32]:
    """``[800]``, the symmetric Hann window.

    In single precision, as in the reference: in quiet bands next to loud bands the last digit
    matters.
    """
    window: npt.NDArray[np.float32] = torch.hann_window(
        WINDOW, periodic=False, device="cpu"
    ).numpy()
    return window


def mel_weights() -> npt.NDArray[np.float64]:
    """``[513, 128]``, the triangular bands."""
    return mel_bands(sample_rate=SAMPLE_RATE, fft_size=FFT_SIZE, bands=BANDS, low=LOW, high=HIGH)


class EfficientATLogMel(nn.Module):
    """Log-mel of power spectra, ``(log(mel + 1e-5) + 4.5) / 5``.

    Shape:
        ``[..., samples] -> [..., 128, frames]`` with ``frames = (samples - 1) // 320 + 1``, or 0
        for fewer than 402 samples, the least that reflection needs; 5 s give 500 frames.
    """

    sample_rate = SAMPLE_RATE
    bands = BANDS
    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = np.pad(hann(), (0, FFT_SIZE - WINDOW))
        self.register_buffer("window", torch.from_numpy(window), persistent=False)
        self.mel = MelProduct(mel_weights(), parts=2)

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel of waveforms at 32 kHz.

        The reference pads half a transform, 512 samples, and centres the window of 800 in 1024
        samples. The power of a spectrum does not depend on the position of the frame, so padding by
        400 samples and a window followed by zeros give the same.

        The transform is in double precision: single precision takes half the time, but its error
        exceeds 1e-4 in a nearly silent band next to a loud one. (Apple's GPUs have no double.)
        """
        lead, half = waveform.shape[:-1], WINDOW // 2
        count = (waveform.shape[-1] - 1) // HOP + 1 if waveform.shape[-1] >= half + 2 else 0
        if count == 0 or waveform.numel() == 0:  # no transform takes an empty batch
            return waveform.new_zeros(*lead, BANDS, count)
        emphasised = waveform[..., 1:] - PRE_EMPHASIS * waveform[..., :-1]
        rows = emphasised.reshape(-1, 1, emphasised.shape[-1])
        padded = F.pad(rows, (half, half), mode="reflect").squeeze(1)
        padded = F.pad(padded, (0, FFT_SIZE - WINDOW))
        padded = padded if padded.device.type == "mps" else padded.double()
        frames = padded.unfold(-1, FFT_SIZE, HOP)
        return in_blocks(self._log_mel, frames).transpose(-1, -2).reshape(*lead, BANDS, count)

    def _log_mel(self, frames: Tensor) -> Tensor:
        """``[..., frames, 1024] -> [..., frames, 128]``."""
        spectrum = torch.fft.rfft(frames * self.window.to(frames.dtype))
        mel: Tensor = self.mel(squared_parts(spectrum).to(self.window.dtype))
        return mel.add_(LOG_OFFSET).log_().add_(SHIFT).div_(SCALE)
