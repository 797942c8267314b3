"""How many threads a training step is fastest with: tried, where there are several to choose from.

A small network on many cores spends its time on their agreeing with each other. On two cores all of
them were always best.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch

from sonotype.models.system import FeatureMaps, System

LONG_STEP = 0.3
"""Seconds; a step that takes longer has work for all cores, and is not tried any further."""
GAIN = 1.15
"""How much faster fewer threads have to be: sums are rounded otherwise with another number."""
STEPS = 3


def fewer_threads(step: Callable[[], None], threads: int) -> int:
    """The number of threads that a step is fastest with: all, or a half, a quarter, ... of them."""

    def seconds(count: int) -> float:
        torch.set_num_threads(count)
        step()
        return min(_timed(step) for _ in range(STEPS))

    try:
        best, time_of_best = threads, seconds(threads)
        while best > 1 and time_of_best < LONG_STEP:
            time_of_half = seconds(best // 2)
            if time_of_half * GAIN > time_of_best:
                break
            best, time_of_best = best // 2, time_of_half
        return best
    finally:
        torch.set_num_threads(threads)


def training_step(system: System, feature_maps: FeatureMaps) -> Callable[[], None]:
    """Forward, backward and optimiser on a copy of a system, drawing nothing that is drawn later.

    Args:
        system: nothing of it is changed.
        feature_maps: maps of a batch.
    """
    twin = copy.deepcopy(system).train()
    optimiser = torch.optim.AdamW([x for x in twin.parameters() if x.requires_grad], fused=True)

    def step() -> None:
        with torch.random.fork_rng([]):
            optimiser.zero_grad()
            output = twin.trained_part(feature_maps)
            loss = output.category.square().mean()
            if output.event is not None:
                loss = loss + output.event.square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return step


def _timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
