"""The mel scale and triangular bands that both front ends share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


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
