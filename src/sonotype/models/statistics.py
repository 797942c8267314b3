"""Statistics of a map over its positions, without trained weights: for linear classifiers.

Four poolings give, for each channel, the mean and the maximum over all positions, the standard
deviation over time of the mean over bands, and the standard deviation over bands of the mean over
time. The last two tell a steady sound from a changing one, and a narrow one from a broad one.
:class:`StandardisedFeatures` brings them to a common scale.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sonotype.models.operation import MAXIMUM, SUM
from sonotype.models.reduction import Pooling, contribution, positions_last, widened

MEAN_WEIGHT, SPREAD_WEIGHT = 1.0, 0.5
"""Weights of the standardised means and of the other statistics, found by cross-validation."""


class Statistic(Pooling):
    """A pooling that has one feature for each channel of the map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = channels


class GlobalMeanPooling(Statistic):
    """The mean of each channel; the attention map is the share of the absolute values."""

    operation = SUM

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        return x.mean((2, 3)), contribution(x.flatten(2).transpose(1, 2)).view(-1, *x.shape[2:])

    def rows(self, x: Tensor) -> Tensor:
        """Sum over the bands of each row."""
        return widened(x.sum(2).T[None])

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """The sums divided by the number of positions."""
        return (total[0] / positions).float()


class GlobalMaxPooling(Statistic):
    """The largest value of each channel (CBIR_4).

    The attention map is the share of channels that have their maximum at each position.
    """

    operation = MAXIMUM

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        time, frequency = x.shape[2:]
        pooled, index = x.flatten(2).max(2)
        share = x.new_ones(()).expand_as(index) / index.shape[1]
        attention_map = x.new_zeros(x.shape[0], time * frequency).scatter_add(1, index, share)
        return pooled, attention_map.view(-1, time, frequency)

    def rows(self, x: Tensor) -> Tensor:
        """Maximum over the bands of each row."""
        return positions_last(x).amax(1)[None]

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """The maxima themselves."""
        return total[0]


class TimeDeviationPooling(Statistic):
    """Standard deviation over time of the mean over bands.

    The attention map is the share of the absolute deviations, equal for all bands of a row.
    """

    operation = SUM

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        deviation, share = _deviation(x.mean(3))
        bands = x.shape[3]
        return deviation, share[:, :, None].expand(-1, -1, bands) / bands

    def rows(self, x: Tensor) -> Tensor:
        """Mean of each row, its square, and 1, so that the number of rows is known."""
        mean = widened(x.mean(2).T)
        return torch.stack([mean, mean.square(), torch.ones_like(mean)])

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """The square root of the mean of squares less the square of the mean."""
        mean, square = total[:2] / total[2]
        deviation: Tensor = (square - mean.square()).clamp_min(0).sqrt().float()
        return deviation


class BandDeviationPooling(Statistic):
    """Standard deviation over bands of the mean over time.

    The attention map is the share of the absolute deviations, equal for all rows of a band.
    """

    operation = SUM

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        deviation, share = _deviation(x.mean(2))
        time = x.shape[2]
        return deviation, share[:, None].expand(-1, time, -1) / time

    def rows(self, x: Tensor) -> Tensor:
        """The bands of each row side by side."""
        return widened(x.permute(1, 2, 0).flatten(1)[None])

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """Deviation of the bands' means."""
        bands = total[0].view(total.shape[1], -1, self.features)
        time = positions / bands.shape[1]
        return (bands / time).var(1, correction=0).sqrt().float()


def _deviation(profile: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation along the last axis, and the share of each position in the deviations.

    Shape:
        ``[batch, channels, positions] -> [batch, channels], [batch, positions]``
    """
    share = contribution((profile - profile.mean(2, keepdim=True)).transpose(1, 2))
    return profile.var(2, correction=0).sqrt(), share


STATISTICS = (GlobalMeanPooling, GlobalMaxPooling, TimeDeviationPooling, BandDeviationPooling)


def statistic_weights(poolings: Iterable[Pooling]) -> Tensor:
    """The weight of each feature of some poolings, side by side.

    Shape:
        ``[features]``
    """
    weights = [
        torch.full(
            (pooling.features,),
            MEAN_WEIGHT if isinstance(pooling, GlobalMeanPooling) else SPREAD_WEIGHT,
        )
        for pooling in poolings
    ]
    return torch.cat(weights)


class StandardisedFeatures(nn.Module):
    """Features less their mean, times their scale, each vector scaled to unit length.

    Mean and scale are those of the training clips; no gradient changes them.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, features] -> [batch, features]``."""
        return F.normalize((x - self.mean) * self.scale)
