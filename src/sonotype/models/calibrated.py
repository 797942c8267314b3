"""A temperature inside a model: its heads are divided by it, and nothing else has to know."""

from __future__ import annotations

import torch

from sonotype.models.systems import System


@torch.no_grad()
def divide_logits(system: System, *, category: float = 1.0, event: float = 1.0) -> System:
    """Divide the logits of both heads by a temperature each; the most probable class stays."""
    heads = [(system.category, category)]
    if system.event is not None:
        heads.append((system.event, event))
    for head, temperature in heads:
        if temperature <= 0:
            raise ValueError(f"temperature is {temperature}, it must be positive")
        head.weight.div_(temperature)
        head.bias.div_(temperature)
    return system
