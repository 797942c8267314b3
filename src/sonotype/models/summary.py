"""The parts of a system: parameters, frozen parameters, multiply-adds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sonotype.models.system import System


@dataclass(frozen=True)
class Part:
    """One row of a summary; ``multiply_adds`` are those of one clip."""

    name: str
    parameters: int
    frozen: int
    multiply_adds: int


@dataclass(frozen=True)
class Summary:
    """The parts of a system, and their sums."""

    parts: tuple[Part, ...]
    seconds: float

    @property
    def total(self) -> Part:
        """The sums over all parts."""
        return Part(
            "total",
            sum(part.parameters for part in self.parts),
            sum(part.frozen for part in self.parts),
            sum(part.multiply_adds for part in self.parts),
        )

    def __str__(self) -> str:
        lines = [f"{'part':<14}{'parameters':>14}{'frozen':>14}{'multiply-adds':>18}"]
        for part in (*self.parts, self.total):
            million = f"{part.multiply_adds / 1e6:,.1f} M"
            lines.append(f"{part.name:<14}{part.parameters:>14,}{part.frozen:>14,}{million:>18}")
        clip = f"one clip of {self.seconds:g} s"
        lines.append(f"multiply-adds are those of {clip}, Fourier transforms left out")
        return "\n".join(lines)


@torch.no_grad()
def summarise(system: System, seconds: float = 5.0) -> Summary:
    """Count parameters and the multiply-adds of convolutions and matrix products for one clip."""
    was_training = system.training
    counter = FlopCounterMode(display=False, depth=1)
    waveform = torch.zeros(1, round(seconds * system.sample_rate))
    waveform = waveform.to(next(system.parameters()).device)
    with counter:
        system.eval()(waveform)
    system.train(was_training)
    parts = []
    counts = counter.get_flop_counts()
    modules = dict(system.named_children())
    del modules["classifiers"]
    modules |= {f"classifiers.{name}": head for name, head in system.classifiers.items()}
    for name, module in modules.items():
        flops = sum(counts.get(f"{type(system).__name__}.{name}", {}).values())
        parts.append(Part(name.removeprefix("classifiers."), *_parameters(module), flops // 2))
    # Blocks of branch 1 are called one by one, outside its forward, so the multiply-adds that no
    # child accounts for are theirs.
    missing = sum(counts["Global"].values()) // 2 - sum(part.multiply_adds for part in parts)
    parts = [
        Part(part.name, part.parameters, part.frozen, part.multiply_adds + missing)
        if part.name == "branch_1"
        else part
        for part in parts
    ]
    return Summary(tuple(part for part in parts if part.parameters or part.multiply_adds), seconds)


def _parameters(module: nn.Module) -> tuple[int, int]:
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    frozen = sum(count for count, trained in counts if not trained)
    return sum(count for count, _ in counts), frozen
