"""The mel scale, triangular bands, and their product with spectra, which both front ends share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

GROUP = 16
"""Bands whose product is one; smaller groups save no more time."""


def hz_to_mel(hz: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The HTK mel scale, ``1127 ln(1 + f / 700)``, which VGGish and Kaldi use too."""
    return 1127.0 * np.log1p(np.asarray(hz, dtype=np.float64) / 700.0)


def mel_bands(
    *, sample_rate: int, fft_size: int, bands: int, low: float, high: float
) -> npt.NDArray[np.float64]:
    """Triangles drawn on the mel axis, so that their flanks are straight in mel, not in Hz.

    With edges ``e_0 < ... < e_{bands + 1}`` equally spaced in mel, a bin at mel ``m`` weighs in
    band ``b`` as ``max(0, min((m - e_b) / (e_{b+1} - e_b), (e_{b+2} - m) / (e_{b+2} - e_{b+1})))``.
    The DC bin weighs nothing.

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
    """Spectra times triangular bands, group by group, each with the bins that it reaches.

    A triangle is narrow: the whole product multiplies with zeros for nine tenths. Neighbouring
    bands reach neighbouring bins, so some bands are a product with a stretch of bins, and all these
    products together are a fraction of the work, with the same sums.

    Args:
        weights: ``[bins, bands]`` of :func:`mel_bands`.
        parts: numbers that make one bin, such as 2 squares that make a power.
        frames_last: whether frames stand behind the bins, as convolutions give them.

    Shape:
        ``[..., parts * bins] -> [..., bands]``, or with ``frames_last``
        ``[..., parts * bins, frames] -> [..., bands, frames]``
    """

    def __init__(
        self, weights: npt.NDArray[np.float64], *, parts: int = 1, frames_last: bool = False
    ) -> None:
        super().__init__()
        self.frames_last = frames_last
        self.reaches: list[tuple[int, int]] = []
        for number, first_band in enumerate(range(0, weights.shape[1], GROUP)):
            members = slice(first_band, first_band + GROUP)
            reached = np.flatnonzero(weights[:, members].any(axis=1))
            first, end = (int(reached[0]), int(reached[-1]) + 1) if len(reached) else (0, 1)
            matrix = torch.from_numpy(weights[first:end, members].repeat(parts, axis=0)).float()
            self.reaches.append((parts * first, parts * end))
            matrix = matrix.T.contiguous() if frames_last else matrix
            self.register_buffer(f"group_{number}", matrix, persistent=False)

    def forward(self, spectrum: Tensor) -> Tensor:
        """What each band holds."""
        groups = [(getattr(self, f"group_{n}"), *reach) for n, reach in enumerate(self.reaches)]
        if self.frames_last:
            products = [matrix @ spectrum[..., first:end, :] for matrix, first, end in groups]
            return torch.cat(products, dim=-2)
        products = [spectrum[..., first:end] @ matrix for matrix, first, end in groups]
        return torch.cat(products, dim=-1)
