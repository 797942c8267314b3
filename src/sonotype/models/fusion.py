"""How several maps become one vector: pooled together, or each by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from sonotype.models.adapter import LateralAdapter
from sonotype.models.pooling import MapPooling
from sonotype.models.reduction import Pooling

Reduction = tuple[Pooling, tuple[int, ...]]
"""A pooling, and the indices of the maps whose rows it reduces."""


class Fusion(nn.Module, ABC):
    """The pooling of all maps of a system.

    Attributes:
        features: size of the vector.
    """

    features: int

    @abstractmethod
    def forward(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vectors and attention maps of clips.

        Shape:
            ``[batch, channels, time, frequency]`` for each map ``-> [batch, features]`` and
            ``[batch, time, frequency]`` for each pooling
        """

    @abstractmethod
    def reductions(self) -> list[Reduction]:
        """The reductions whose vectors, side by side, are the vector."""

    def align(self, maps: list[Tensor]) -> list[Tensor]:
        """The maps as they are pooled."""
        return maps


class JoinedPooling(Fusion):
    """One pooling over the maps of both branches, joined along time (CBIR_1).

    An adapter brings branch 1's map to the channels of branch 2 where they differ. It keeps its
    length in time; the strides of both networks give both maps four bands. A single map is pooled
    as it is.

    Args:
        channels: of each map.
        pool: from a number of channels to a pooling.
    """

    def __init__(self, channels: Sequence[int], pool: Callable[[int], MapPooling]) -> None:
        super().__init__()
        fits = channels[0] == channels[-1]
        self.adapter = None if fits else LateralAdapter(channels[0], channels[-1])
        self.attention = pool(channels[-1])
        self.features = self.attention.features
        self.count = len(channels)

    def align(self, maps: list[Tensor]) -> list[Tensor]:
        """The maps with the same channels."""
        if self.adapter is None:
            return maps
        first, second = maps
        return [self.adapter(first, (first.shape[2], second.shape[3])), second]

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vectors and one attention map over both branches' time, branch 1's first."""
        pooled, attention_map = self.attention(torch.cat(self.align(maps), dim=2))
        return pooled, (attention_map,)

    def reductions(self) -> list[Reduction]:
        """Each reduction is over all maps."""
        return [(pooling, tuple(range(self.count))) for pooling in self.attention.reductions()]


class SeparatePooling(Fusion):
    """One pooling for each map, the vectors concatenated (CBIR_2, CBIR_4).

    Args:
        channels: of each map.
        pool: from a number of channels to a pooling.
    """

    def __init__(self, channels: Sequence[int], pool: Callable[[int], MapPooling]) -> None:
        super().__init__()
        poolings = [pool(count) for count in channels]
        self.attentions = nn.ModuleList(poolings)
        self.features = sum(pooling.features for pooling in poolings)

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vectors and an attention map for each map."""
        pooled, attention_maps = zip(
            *(pooling(x) for pooling, x in zip(self.attentions, maps, strict=True)), strict=True
        )
        return torch.cat(pooled, dim=1), tuple(attention_maps)

    def reductions(self) -> list[Reduction]:
        """Each reduction is over one map."""
        return [
            (pooling, (index,))
            for index, layer in enumerate(self.attentions)
            for pooling in cast(MapPooling, layer).reductions()
        ]
