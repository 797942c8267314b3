"""Log-mels by matrix products alone, for runtimes without a fast Fourier transform.

Both sums of :class:`MatmulPower` are plain products, which every runtime computes near the peak of
the processor; together they cost a twentieth of a whole Fourier matrix.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.frontends import efficientat_logmel as efficientat
from sonotype.frontends import vggish_logmel as vggish
from sonotype.frontends.mel import MelProduct

STRIDE = 16
"""R of :class:`MatmulPower`; divides both hops, and balances the two sums."""


class MatmulPower(nn.Module):
    """Power spectra of frames that begin at every ``hop``-th sample.

    Args:
        window: ``[taps]``, the window of a frame; ``taps`` is a multiple of :data:`STRIDE`.
        fft_size: points of the transform, a multiple of :data:`STRIDE`.
        hop: samples from frame to frame, a multiple of :data:`STRIDE`.
        bins: number of bins, from bin 0 on.

    Shape:
        ``[batch, samples] -> [batch, bins, frames]`` with ``samples = (frames - 1) * hop + taps``
    """

    # The spectrum of a frame, X[k] = sum_n w[n] x[n] e^(-2 pi i n k / N), has N = S R points. With
    # n = R s + r (s counts strides of R samples, r the samples within one) and k = u + S v, the
    # exponent is n k / N = n u / N + s v + r v / R, where s v is a whole number. So
    #
    #     Y[u, r] = sum_s  w[R s + r] e^(-2 pi i (R s + r) u / N)  x[R s + r]
    #     X[u + S v] = sum_r  e^(-2 pi i r v / R)  Y[u, r]
    #
    # (Cooley and Tukey, 1965). The first sum is, for each r, a convolution of every R-th sample of
    # the waveform: as R divides the hop, frames are its strides and no frame is copied. Its kernel
    # contains the window and the twiddle factors. The second is one small matrix for all u. The
    # waveform is real, so X[N - k] is the conjugate of X[k], and u from 0 to S / 2 gives every bin.

    convolution: Tensor
    rotation: Tensor
    rows: Tensor

    def __init__(
        self, window: npt.NDArray[np.floating], *, fft_size: int, hop: int, bins: int
    ) -> None:
        super().__init__()
        if any(size % STRIDE for size in (len(window), fft_size, hop)):
            raise ValueError(f"window, fft_size and hop must be multiples of {STRIDE}")
        self.hop = hop // STRIDE
        u = np.arange(fft_size // STRIDE // 2 + 1)
        self.half_size = len(u)
        n = np.arange(len(window)).reshape(-1, STRIDE)  # [s, r]
        twiddled = window.reshape(n.shape) * np.exp(-2j * np.pi * n * u[:, None, None] / fft_size)
        # [part, u, s, r] -> [r, part, u, s]: channels in the order of r, part and u; s the kernel
        convolution = np.stack([twiddled.real, twiddled.imag]).transpose(3, 0, 1, 2)
        convolution = convolution.reshape(-1, 1, len(n))
        r = np.arange(STRIDE)
        factor = np.exp(-2j * np.pi * np.outer(r, r) / STRIDE)  # [v, r]
        # A complex product as a real one, [part out, part in, v, r] -> [part out v, r part in].
        product = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
        rotation = product.transpose(0, 2, 3, 1).reshape(2 * STRIDE, 2 * STRIDE)
        rows = _rows(bins, fft_size)
        self.register_buffer("convolution", torch.from_numpy(convolution).float(), persistent=False)
        self.register_buffer("rotation", torch.from_numpy(rotation).float(), persistent=False)
        self.register_buffer("rows", torch.from_numpy(rows), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Squared magnitudes."""
        x = waveform.reshape(waveform.shape[0], -1, STRIDE).transpose(1, 2)
        x = F.conv1d(x, self.convolution, stride=self.hop, groups=STRIDE)
        frames = x.shape[2]
        # [r, part, u, frame] as a matrix [r part, u frame]: the second sum is one product.
        x = torch.matmul(self.rotation, x.reshape(-1, 2 * STRIDE, self.half_size * frames))
        x = x.reshape(-1, 2 * STRIDE * self.half_size, frames)  # [batch, part v u, frame]
        real = torch.index_select(x, 1, self.rows)
        imaginary = torch.index_select(x, 1, self.rows + STRIDE * self.half_size)
        return real * real + imaginary * imaginary


def _rows(bins: int, fft_size: int) -> npt.NDArray[np.int64]:
    """The index of each bin in the order of v and u."""
    points = fft_size // STRIDE
    rows = []
    for k in range(bins):
        v, u = divmod(k, points)
        if u > points // 2:  # use the conjugate, whose square is the same
            v, u = divmod(fft_size - k, points)
        rows.append(v * (points // 2 + 1) + u)
    return np.array(rows)


class MatmulVGGishLogMel(nn.Module):
    """:class:`~sonotype.frontends.vggish_logmel.VGGishLogMel` for waveforms of a frame or more.

    Args:
        pad_end: see :class:`~sonotype.frontends.vggish_logmel.VGGishLogMel`.

    Shape:
        ``[batch, samples] -> [batch, frames, 64]``
    """

    def __init__(self, *, pad_end: bool = False) -> None:
        super().__init__()
        self.pad_end = pad_end
        weights = vggish.mel_weights()
        self.power = MatmulPower(
            vggish.hann(), fft_size=vggish.FFT_SIZE, hop=vggish.HOP, bins=_used_bins(weights)
        )
        self.mel = MelProduct(weights, frames_last=True)

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel of waveforms at 16 kHz."""
        if self.pad_end:
            frames = (waveform.shape[1] + vggish.HOP - 1) // vggish.HOP
            waveform = F.pad(waveform, (0, vggish.WINDOW))
        else:
            frames = (waveform.shape[1] - vggish.WINDOW) // vggish.HOP + 1
        used = waveform[:, : (frames - 1) * vggish.HOP + vggish.WINDOW]
        mel = self.mel(self.power(used).sqrt())
        return torch.log(mel + vggish.LOG_OFFSET).transpose(1, 2)


class MatmulEfficientATLogMel(nn.Module):
    """``EfficientATLogMel`` for waveforms of 402 samples or more.

    In single precision throughout: quiet bands next to loud bands differ in the fourth digit.

    Shape:
        ``[batch, samples] -> [batch, 128, frames]``
    """

    def __init__(self) -> None:
        super().__init__()
        weights = efficientat.mel_weights()
        self.power = MatmulPower(
            efficientat.hann(),
            fft_size=efficientat.FFT_SIZE,
            hop=efficientat.HOP,
            bins=_used_bins(weights),
        )
        self.mel = MelProduct(weights, frames_last=True)

    def forward(self, waveform: Tensor) -> Tensor:
        """Log-mel of waveforms at 32 kHz."""
        half = efficientat.WINDOW // 2
        emphasised = waveform[:, 1:] - efficientat.PRE_EMPHASIS * waveform[:, :-1]
        rest = half - emphasised.shape[1] % efficientat.HOP  # to the end of the last frame
        padded = F.pad(emphasised.unsqueeze(1), (half, rest), mode="reflect").squeeze(1)
        log_mel = torch.log(self.mel(self.power(padded)) + efficientat.LOG_OFFSET)
        return (log_mel + efficientat.SHIFT) * (1 / efficientat.SCALE)


def matmul_frontend(front_end: nn.Module) -> nn.Module:
    """The form of a front end by matrix products.

    Raises:
        TypeError: it has none.
    """
    if isinstance(front_end, vggish.VGGishLogMel):
        return MatmulVGGishLogMel(pad_end=front_end.pad_end)
    if isinstance(front_end, efficientat.EfficientATLogMel):
        return MatmulEfficientATLogMel()
    raise TypeError(f"{type(front_end).__name__} has no form by matrix products")


def _used_bins(weights: npt.NDArray[np.float64]) -> int:
    """Number of bins, from 0 on, that have a weight in any band."""
    return int(np.flatnonzero(weights.any(axis=1))[-1]) + 1
