"""The other ways from a map to one vector: mean, maximum, and attention beside the mean.

Each is a layer that gives the pooled vector and where it came from, as attention pooling does
(:mod:`sonotype.models.attention`), so that one can stand for the other and their worth be measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from sonotype.models.attention import FEATURES, AttentionPooling, SoftmaxOver, shares

PoolingName = Literal["attention", "mean", "max", "attention_mean"]
POOLINGS: tuple[PoolingName, ...] = get_args(PoolingName)


class MeanPooling(nn.Module):
    """The mean of values over positions: attention whose weights are all alike.

    Values are linear in the map, so their mean is the value of the map's mean, and one product for
    the whole map takes the place of one at each position. Where the mean came from needs the values
    themselves; it is told in evaluation, and uniform while training, when nobody asks.

    Shape:
        ``[batch, channels, time, frequency] -> [batch, features], [batch, time, frequency]``; the
        second is each position's share in what was pooled, and sums to 1.
    """

    def __init__(self, channels: int, features: int = FEATURES, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = features
        self.value = nn.Linear(channels, features)
        self.finish = nn.Sequential(nn.BatchNorm1d(features), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vector and where it came from."""
        pooled = self.finish(self.value(x.mean((2, 3))))
        return pooled, self._where(x)

    @torch.no_grad()
    def _where(self, x: Tensor) -> Tensor:
        time, frequency = x.shape[2:]
        if self.training:
            return x.new_ones(x.shape[0], time, frequency) / (time * frequency)
        value = self.value(x.flatten(2).transpose(1, 2))  # [batch, time * frequency, features]
        return shares(value).view(-1, time, frequency)


class MaxPooling(nn.Module):
    """The largest value of each feature over positions.

    Shape:
        as for :class:`MeanPooling`; the second is the share of features that have their largest
        value at each position.
    """

    def __init__(self, channels: int, features: int = FEATURES, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = features
        self.value = nn.Linear(channels, features)
        self.maximum = GlobalMaxPooling()
        self.finish = nn.Sequential(nn.BatchNorm1d(features), nn.ReLU(), nn.Dropout(dropout))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vector and where it came from."""
        value = self.value(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        pooled, where = self.maximum(value)
        return self.finish(pooled), where


class PooledTogether(nn.Module):
    """Several poolings of one map, their vectors concatenated; where they looked, on average."""

    def __init__(self, poolings: Iterable[AttentionPooling | MeanPooling]) -> None:
        super().__init__()
        parts = list(poolings)
        self.parts = nn.ModuleList(parts)
        self.features = sum(part.features for part in parts)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vector and where it came from."""
        pooled, where = zip(*(part(x) for part in self.parts), strict=True)
        return torch.cat(pooled, dim=1), torch.stack(where).mean(0)


class GlobalMaxPooling(nn.Module):
    """The largest value of each channel (CBIR_4), and where the largest values stood.

    Shape:
        ``[batch, channels, time, frequency] -> [batch, channels], [batch, time, frequency]``; the
        second is the share of channels that have their maximum at each position, summing to 1.
    """

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Maxima and where they came from."""
        time, frequency = x.shape[2:]
        pooled, index = x.flatten(2).max(2)
        share = x.new_ones(()).expand_as(index) / index.shape[1]
        where = x.new_zeros(x.shape[0], time * frequency).scatter_add(1, index, share)
        return pooled, where.view(-1, time, frequency)


MapPooling = AttentionPooling | MeanPooling | MaxPooling | PooledTogether


def build_pooling(
    name: PoolingName, channels: int, *, softmax_over: SoftmaxOver, dropout: float
) -> MapPooling:
    """The pooling of one map by its name; ``softmax_over`` counts where there is attention.

    Raises:
        ValueError: there is no pooling of that name; lists those that exist.
    """
    if name == "mean":
        return MeanPooling(channels, dropout=dropout)
    if name == "max":
        return MaxPooling(channels, dropout=dropout)
    if name not in POOLINGS:
        raise ValueError(f"pooling is {name!r}, not one of {POOLINGS}")
    attention = AttentionPooling(channels, softmax_over=softmax_over, dropout=dropout)
    if name == "attention":
        return attention
    return PooledTogether([attention, MeanPooling(channels, dropout=dropout)])
