"""Small networks with random weights as functions of log-mels, for tests of explanations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ensembles import with_members
from lively_systems import lively, lively_sound
from small_models import HEADS

from sonotype.audio.clip import AudioSpec
from sonotype.config import SystemOptions
from sonotype.explain.network import Network
from sonotype.models.build import build_system
from sonotype.models.fold_batch_norm import fuse_batch_norm

KINDS: dict[str, dict[str, Any]] = {
    "statistics of two blocks": {
        "backbone": "compact", "width": 0.0, "pooling": "statistics", "pool_blocks": (3, 4),
    },
    "two branches, joined": {"system": "cbir_1", "backbone": "none", "width": 0.05},
    "two branches": {"system": "cbir_2", "backbone": "none", "width": 0.05},
    "adapters": {"system": "cbir_3", "backbone": "mn01", "width": 0.05},
    "several blocks": {"system": "cbir_4", "backbone": "mn01"},
}  # fmt: skip


def network_of(kind: str = "statistics of two blocks", members: int = 0) -> Network:
    torch.manual_seed(0)
    options = SystemOptions(**{"seconds": 2.0} | KINDS[kind])
    system = lively(build_system(options, HEADS))
    if members:
        with_members(system, members)
    spec = AudioSpec(system.sample_rate, 2.0)
    return Network(fuse_batch_norm(system.eval()), HEADS, spec)


def clip_of(network: Network, seed: int = 0) -> np.ndarray:
    return lively_sound(network.system, network.audio_spec.seconds, seed)
