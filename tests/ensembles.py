"""Ensembles for tests: a system with random members."""

from __future__ import annotations

from torch import nn

from sonotype.models.build import cbir_2
from sonotype.models.members import POOLING, Members, member_of
from sonotype.models.system import System

OWN_TEMPERATURE = 0.5


def with_members(system: System, count: int = 2) -> System:
    """Give a system with pooling statistics random members; the first has its last map alone."""
    classes = {
        name: classify.out_features
        for name, classify in system.classifiers.items()
        if isinstance(classify, nn.Linear)
    }
    categories, *events = classes.values()
    members = [
        member_of(
            cbir_2(
                categories=categories,
                events=events[0] if events else 0,
                backbone=system.branch_1,
                width=0.0,
                pooling=POOLING,
                pool_blocks=system.pool_blocks if number else system.pool_blocks[-1:],
            )
        )
        for number in range(count)
    ]
    system.set_members(Members(members, dict.fromkeys(classes, OWN_TEMPERATURE)))
    return system
