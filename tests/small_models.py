"""Small model files with random weights, for tests of what is done with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from heads import two_heads
from training_data import RATE, SMALL, TONES

from sonotype.config import SystemOptions
from sonotype.core.types import Heads
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import save_model
from sonotype.models.build import build_system

EVENTS = tuple(sorted(event for events in TONES.values() for event in events))
HEADS = two_heads(("high", "low"), EVENTS, tuple(int(event in TONES["low"]) for event in EVENTS))
CATEGORIES = two_heads(("high", "low"))
OPTIONS = {"system": "cbir_2", "backbone": "none", "width": 0.05, "seconds": 1.0}


def write_model(
    path: Path, heads: Heads = HEADS, *, seed: int = 1, card: dict[str, Any] | None = None,
    **options: Any,
) -> Path:  # fmt: skip
    """A model file whose answers differ from sound to sound, though they mean nothing."""
    torch.manual_seed(seed)
    chosen = SystemOptions(**OPTIONS | options)
    system = build_system(chosen, heads)
    with torch.no_grad():
        for classifier in system.classifiers.values():
            classifier.weight.mul_(10)  # random predictions are all alike otherwise
    written = ModelCard(chosen, heads, RATE, ("VGGishLogMel",), **card or {})
    return save_model(path, system, written)


def flags(**options: Any) -> list[str]:
    """Options as they are written on the command line; those of ``SMALL`` come first."""
    chosen = SMALL | options
    return [
        part
        for name, value in chosen.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
