"""The poolings beside attention: mean, maximum, attention and mean together, statistics.

They have the interface of attention pooling (:mod:`sonotype.models.reduction`), so that they can be
compared with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from sonotype.models.attention import ATTENTIONS, SOFTMAX_OVER, SoftmaxOver
from sonotype.models.operation import MAXIMUM, SUM
from sonotype.models.reduction import (
    FEATURES,
    Pooling,
    contribution,
    norm_act,
    positions_last,
    uniform_map,
    widened,
)
from sonotype.models.statistics import STATISTICS, GlobalMaxPooling

PoolingName = Literal["attention", "mean", "max", "attention_mean", "statistics"]
POOLINGS: tuple[PoolingName, ...] = get_args(PoolingName)


class MeanPooling(Pooling):
    """The mean of values over positions: attention with equal weights.

    Values are linear in the map, so their mean is the value of the map's mean: one matrix product
    for the map instead of one for each position.
    """

    operation = SUM

    def __init__(self, channels: int, features: int = FEATURES, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = features
        self.value = nn.Linear(channels, features)
        self.finish = norm_act(features, dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        return self.finish(self.value(x.mean((2, 3)))), self._attention_map(x)

    @torch.no_grad()
    def _attention_map(self, x: Tensor) -> Tensor:
        if self.training:
            return uniform_map(x)
        value = self.value(x.flatten(2).transpose(1, 2))  # [batch, time * frequency, features]
        return contribution(value).view(-1, *x.shape[2:])

    def rows(self, x: Tensor) -> Tensor:
        """Sum of the map itself over the bands of each row."""
        return widened(x.sum(2).T[None])

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """Value of the map's mean, finished."""
        mean = (total[0] / positions).to(self.value.weight.dtype)
        pooled: Tensor = self.finish(self.value(mean))
        return pooled


class MaxPooling(Pooling):
    """The largest value of each feature over positions.

    The attention map is the share of features that have their maximum at each position.
    """

    operation = MAXIMUM

    def __init__(self, channels: int, features: int = FEATURES, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = features
        self.value = nn.Linear(channels, features)
        self.maximum = GlobalMaxPooling(features)
        self.finish = norm_act(features, dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        value = self.value(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        pooled, attention_map = self.maximum(value)
        return self.finish(pooled), attention_map

    def rows(self, x: Tensor) -> Tensor:
        """Maximum over the bands of each row."""
        value: Tensor = self.value(positions_last(x))
        return value.amax(1)[None]

    def vector(self, total: Tensor, positions: int) -> Tensor:
        """The maxima, finished."""
        pooled: Tensor = self.finish(total[0])
        return pooled


class PooledTogether(nn.Module):
    """Several poolings of one map: their vectors concatenated, their attention maps averaged."""

    def __init__(self, poolings: Iterable[Pooling]) -> None:
        super().__init__()
        parts = list(poolings)
        self.parts = nn.ModuleList(parts)
        self.features = sum(part.features for part in parts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors and attention maps of clips; see :class:`Pooling`."""
        pooled, attention_maps = zip(*(part(x) for part in self.parts), strict=True)
        return torch.cat(pooled, dim=1), torch.stack(attention_maps).mean(0)

    def reductions(self) -> list[Pooling]:
        """The reductions of all parts."""
        return [one for part in self.parts for one in cast(Pooling, part).reductions()]


MapPooling = Pooling | PooledTogether


def build_pooling(
    name: PoolingName, channels: int, *, softmax_over: SoftmaxOver, dropout: float
) -> MapPooling:
    """The pooling of one map by its name; ``softmax_over`` is the form of attention, if any.

    Raises:
        ValueError: an unknown name or form; lists those that exist.
    """
    if name not in POOLINGS:
        raise ValueError(f"pooling is {name!r}, not one of {POOLINGS}")
    if softmax_over not in SOFTMAX_OVER:
        raise ValueError(f"softmax_over is {softmax_over!r}, not one of {SOFTMAX_OVER}")
    if name == "statistics":
        return PooledTogether([statistic(channels) for statistic in STATISTICS])
    if name == "mean":
        return MeanPooling(channels, dropout=dropout)
    if name == "max":
        return MaxPooling(channels, dropout=dropout)
    attention = ATTENTIONS[softmax_over](channels, dropout=dropout)
    if name == "attention":
        return attention
    return PooledTogether([attention, MeanPooling(channels, dropout=dropout)])
