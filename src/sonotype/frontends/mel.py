"""The mel scale, triangular bands, and their product with spectra, for both front ends."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

GROUP = 16
"""Bands in one matrix product; smaller groups are not faster."""


def hz_to_mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The HTK mel scale, ``1127 ln(1 + f / 700)``, which VGGish and Kaldi use too."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def mel_bands(
    *, sample_rate: int, fft_size: int, bands: int, low: float, high: float
) -> npt.NDArray[np.float64]:
    """Weights of triangular bands whose slopes are straight in mel, not in Hz.

    With edges ``e_0 < ... < e_{bands + 1}`` equally spaced in mel, the weight of a bin at mel ``m``
    in band ``b`` is
    ``max(0, min((m - e_b) / (e_{b+1} - e_b), (e_{b+2} - m) / (e_{b+2} - e_{b+1})))``; that of the
    DC bin is 0.

    Shape:
        ``[fft_size // 2 + 1, bands]``
    """
    bins = hz_to_mel(np.arange(fft_size // 2 + 1) * (sample_rate / fft_size))[:, None]
    edges = np.linspace(hz_to_mel(low), hz_to_mel(high), bands + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return weights


class MelProduct(nn.Module):
    """Spectra times triangular bands, in groups of bands, each with the bins of its triangles.

    Triangles are narrow: nine tenths of all weights are 0. Neighbouring bands have weights in
    neighbouring bins, so a group of bands is a product with a range of bins. All these products
    together take a fraction of the time, with the same sums.

    Args:
        weights: ``[bins, bands]`` of :func:`mel_bands`.
        parts: numbers to a bin, such as 2 squares whose sum is a power.
        frames_last: whether the axis of frames follows that of bins, as in convolutions.

    Shape:
        ``[..., parts * bins] -> [..., bands]``, or with ``frames_last``
        ``[..., parts * bins, frames] -> [..., bands, frames]``
    """

    def __init__(
        self, weights: npt.NDArray[np.float64], *, parts: int = 1, frames_last: bool = False
    ) -> None:
        super().__init__()
        self.frames_last = frames_last
        self.ranges: list[tuple[int, int]] = []
        for number, first_band in enumerate(range(0, weights.shape[1], GROUP)):
            members = slice(first_band, first_band + GROUP)
            reached = np.flatnonzero(weights[:, members].any(axis=1))
            first, end = (int(reached[0]), int(reached[-1]) + 1) if len(reached) else (0, 1)
            matrix = torch.from_numpy(weights[first:end, members].repeat(parts, axis=0)).float()
            self.ranges.append((parts * first, parts * end))
            matrix = matrix.T.contiguous() if frames_last else matrix
            self.register_buffer(f"group_{number}", matrix, persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """Weighted sum of each band."""
        groups = [(getattr(self, f"group_{n}"), *reach) for n, reach in enumerate(self.ranges)]
        if self.frames_last:
            products = [matrix @ spectrum[..., first:end, :] for matrix, first, end in groups]
            return torch.cat(products, dim=-2)
        products = [spectrum[..., first:end] @ matrix for matrix, first, end in groups]
        return torch.cat(products, dim=-1)
