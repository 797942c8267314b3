"""Where the positions of a feature map lie in the log-mel, and the bands of the log-mel in Hz."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from sonotype.frontends import efficientat_logmel, vggish_logmel
from sonotype.frontends.efficientat_logmel import EfficientATLogMel
from sonotype.frontends.mel import hz_to_mel


def on_log_mel(values: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    """A map at the resolution of the log-mel, by linear interpolation.

    Position ``p`` of a map with stride ``s`` has its centre at frame ``s p + (s - 1) / 2``. Before
    the first and after the last centre the values are constant. Where the rows do not cover the
    log-mel, as after a pooling without padding, the last row covers the rest.

    Shape:
        ``[time', bands'] -> shape``
    """
    rows = _positions(shape[0], stride, values.shape[0], values)
    columns = _positions(shape[1], stride, values.shape[1], values)
    return rows @ values @ columns.T


def _positions(size: int, stride: int, count: int, like: Tensor) -> Tensor:
    """Weights ``[size, count]`` of linear interpolation; each row sums to 1."""
    stride = max(stride, 1)
    position = (torch.arange(size, dtype=torch.float64) - (stride - 1) / 2) / stride
    position = position.clamp(0, count - 1)
    nodes = torch.arange(count, dtype=torch.float64)
    return (1 - (position[:, None] - nodes).abs()).clamp_min(0).to(like)


def band_frequencies(front_end: nn.Module) -> npt.NDArray[np.float64]:
    """Centres of the bands of a front end in Hz ``[bands]``, equally spaced in mel."""
    source = efficientat_logmel if isinstance(front_end, EfficientATLogMel) else vggish_logmel
    edges = np.linspace(hz_to_mel(source.LOW), hz_to_mel(source.HIGH), source.BANDS + 2)
    hertz: npt.NDArray[np.float64] = 700.0 * np.expm1(edges[1:-1] / 1127.0)
    return hertz
