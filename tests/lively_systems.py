"""Systems with random weights whose outputs differ from window to window, and a recording."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from sonotype.models.system import System


@torch.no_grad()
def lively(system: System) -> System:
    """Batch norms as after training; with those of a fresh network, sounds fade in MobileNet."""
    torch.manual_seed(1)
    for layer in system.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 1.0
    for part in system.modules():
        part.training = True
    system(torch.from_numpy(lively_sound(system, 8.68)[: 8 * system.sample_rate].reshape(8, -1)))
    return system.eval()


def lively_sound(system: System, seconds: float, seed: int = 0) -> np.ndarray:
    """Noise and tones whose level changes five times a second."""
    rng = np.random.default_rng(seed)
    rate = system.sample_rate
    samples = round(seconds * rate)
    level = np.repeat(rng.uniform(0.01, 0.3, samples // (rate // 5) + 1), rate // 5)[:samples]
    pitch = np.repeat(rng.uniform(200, 4000, samples // (rate // 5) + 1), rate // 5)[:samples]
    tone = np.sin(2 * np.pi * np.cumsum(pitch) / rate)
    return cast(np.ndarray, (level * (tone + 0.3 * rng.standard_normal(samples)))).astype("f4")
