"""Pooling as a reduction over positions, for clips and for sliding windows alike.

Every row of a map (all bands at one step in time) contributes some numbers to each feature. An
associative operation combines the contributions of any rows, and the pooled vector is a function of
their total:

    total  = rows(x)[0] + rows(x)[1] + ...        where + is the operation of the pooling
    pooled = vector(total, positions)

A clip is one window over all its rows. :mod:`sonotype.sliding.reductions` pools any other window of
rows in constant time, for any pooling that has these methods.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from sonotype.models.operation import Operation

FEATURES = 256
TINY = 1e-30


class Pooling(nn.Module, ABC):
    """From a map to one vector.

    ``forward`` pools whole clips, in single precision and in the fewest passes over the map.
    ``rows`` and ``vector`` pool any window of a longer map, with totals in double precision. Both
    give the same vector up to rounding.

    Attributes:
        features: size of the vector.
        operation: how rows are combined.
    """

    features: int
    operation: Operation

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vector of each clip, and its attention map.

        Shape:
            ``[batch, channels, time, frequency] -> [batch, features], [batch, time, frequency]``;
            the attention map is the contribution of each position, as a share of all positions
        """

    @abstractmethod
    def rows(self, x: Tensor) -> Tensor:
        """Contribution of each row of one map.

        Shape:
            ``[channels, time, bands] -> [parts, time, features]``; the operation is applied to each
            of the parts
        """

    @abstractmethod
    def vector(self, total: Tensor, positions: int) -> Tensor:
        """Pooled vectors of windows with ``positions`` positions.

        Shape:
            ``[parts, windows, features] -> [windows, features]``
        """

    def reductions(self) -> list[Pooling]:
        """The reductions whose vectors, side by side, are the pooled vector."""
        return [self]


def norm_act(features: int, dropout: float) -> nn.Sequential:
    """The layers behind a pooling; ``finish`` in poolings, since model files have this name."""
    return nn.Sequential(nn.BatchNorm1d(features), nn.ReLU(), nn.Dropout(dropout))


def positions_last(x: Tensor) -> Tensor:
    """``[channels, time, bands] -> [time, bands, channels]``."""
    return x.permute(1, 2, 0)


def widened(x: Tensor) -> Tensor:
    """In double precision where the device has it; Apple's GPUs do not."""
    return x if x.device.type == "mps" else x.double()


def uniform_map(x: Tensor) -> Tensor:
    """The attention map of poolings in training, where it is not read and would cost time.

    Shape:
        ``[batch, channels, time, frequency] -> [batch, time, frequency]``
    """
    time, frequency = x.shape[2:]
    return x.new_ones(x.shape[0], time, frequency) / (time * frequency)


def contribution(parts: Tensor) -> Tensor:
    """Contribution of each position to a sum over positions, as a share of all.

    Shape:
        ``[batch, positions, features] -> [batch, positions]``, summing to 1; equal shares if all
        contributions are 0
    """
    share = parts.detach().abs().sum(2) + TINY
    return share / share.sum(1, keepdim=True)
