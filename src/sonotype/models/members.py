"""An ensemble in one network: attention networks on the same maps as the linear heads.

The frozen blocks, by far the largest part of the work, run once for all members. The result is the
mean of the members' probabilities; heads as linear functions of the same statistics would add
nothing to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, cast

import torch
from torch import Tensor, nn

from sonotype.models.fusion import Reduction, SeparatePooling

if TYPE_CHECKING:
    from sonotype.models.system import System

POOLING: Final = "attention_mean"
"""Pooling of the members' maps."""


class Member(nn.Module):
    """The trained part of a network behind the frozen blocks.

    Args:
        pooling: of the last maps of the system, or of all of them.
        embedding: of the pooled vector.
        classifiers: by name of a head.
    """

    def __init__(
        self, pooling: SeparatePooling, embedding: nn.Module, classifiers: nn.ModuleDict
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.maps = len(pooling.attentions)
        self.embedding = embedding
        self.classifiers = classifiers

    def logits(self, pooled: Tensor) -> dict[str, Tensor]:
        """By name of a head ``[batch, features] -> [batch, classes]``."""
        embedding = self.embedding(pooled)
        return {name: classify(embedding) for name, classify in self.classifiers.items()}

    @torch.no_grad()
    def divide_logits(self, temperatures: Mapping[str, float]) -> None:
        """Divide the logits of each head by its temperature, in the weights of the head."""
        for name, classify in self.classifiers.items():
            for parameter in classify.parameters():
                parameter.div_(temperatures[name])


def member_of(system: System) -> Member:
    """The trained part of a ``cbir_2`` with one branch; its modules are shared."""
    return Member(cast(SeparatePooling, system.pooling), system.embedding, system.classifiers)


class Members(nn.Module):
    """Members, and the average of their probabilities with those of a system's own heads.

    Args:
        members: at least one, with calibrated logits.
        temperatures: of the system's own heads, by name.
    """

    temperatures: Tensor

    def __init__(self, members: Sequence[Member], temperatures: Mapping[str, float]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(members)
        self.features = [member.pooling.features for member in members]
        self.register_buffer("temperatures", torch.tensor(list(temperatures.values())))

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pooled vectors of all members, side by side, and their mean attention maps.

        Shape:
            ``[batch, channels, time, frequency]`` for each map ``-> [batch, features]`` and, for
            each map that a member pools, ``[batch, time, frequency]``
        """
        pooled = [member.pooling(maps[-member.maps :]) for member in self._members()]
        attention = zip_longest(*(reversed(each) for _, each in pooled))  # the last map comes first
        means = [
            torch.stack([one for one in same_map if one is not None]).mean(0)
            for same_map in attention
        ]
        return torch.cat([vector for vector, _ in pooled], dim=1), tuple(reversed(means))

    def reductions(self, maps: int) -> list[Reduction]:
        """Those of all members, in the order of their vectors.

        Args:
            maps: number of maps of the system.
        """
        return [
            (pooling, tuple(maps - member.maps + index for index in indices))
            for member in self._members()
            for pooling, indices in member.pooling.reductions()
        ]

    def mean(self, own: Mapping[str, Tensor], pooled: Tensor) -> dict[str, Tensor]:
        """Logarithms of the mean probabilities, which are logits at a temperature of 1.

        Args:
            own: logits of the system's own heads, by name.
            pooled: the result of :meth:`forward`.
        """
        parts = torch.split(pooled, self.features, dim=1)
        others = [member.logits(part) for member, part in zip(self._members(), parts, strict=True)]
        found = {}
        for (name, logits), temperature in zip(own.items(), self.temperatures, strict=True):
            each = [logits / temperature, *(other[name] for other in others)]
            log_proba = torch.stack([one.log_softmax(1) for one in each])
            found[name] = log_proba.logsumexp(0) - torch.log(log_proba.new_tensor(len(each)))
        return found

    def _members(self) -> list[Member]:
        return [member for member in self.networks if isinstance(member, Member)]
