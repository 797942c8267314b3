"""Small model files with and without a frame head, and a recording with three tones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch

from sonotype.config import EventOptions, SystemOptions
from sonotype.core.types import Head
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.detection import Detection
from sonotype.modelfile.model_file import save_model
from sonotype.models.build import build_system
from sonotype.models.frame_head import FrameHead
from sonotype.sliding.system_frames import frame_features, frame_scales

HEAD = Head("category", ("bell", "dog", "rain"), "multi", thresholds=(0.4, 0.5, 0.6))
OPTIONS = SystemOptions(
    system="cbir_2", backbone="compact", width=0.0, pooling="statistics", pool_blocks=(3, 4),
    seconds=1.0,
)  # fmt: skip
EVENTS = tuple(
    EventOptions(method="threshold", threshold=threshold) for threshold in (0.3, 0.4, 0.5)
)


def write(path: Path, *, frames: bool = True, seed: int = 1, detection: bool = True) -> Path:
    torch.manual_seed(seed)
    system = build_system(OPTIONS, (HEAD,))
    for head in system.classifiers.values():
        torch.nn.init.normal_(head.weight, std=3)
    scales: tuple[int, ...] = ()
    if frames:
        scales = frame_scales(system.eval(), system.sample_rate)
        head = FrameHead(scales, frame_features(system), len(HEAD.classes))
        torch.nn.init.normal_(head.classify.weight, std=2)
        system.set_frame_head(head)
    settings = Detection("category", EVENTS, scales, 0.0, {"recordings": 3})
    card = ModelCard(
        OPTIONS, (HEAD,), system.sample_rate, ("VGGishLogMel",),
        detection=settings if detection else None,
    )  # fmt: skip
    return save_model(path, system, card)


def write_sound(path: Path, seconds: float = 12.0, rate: int = 16_000) -> Path:
    rng = np.random.default_rng(3)
    sound = rng.normal(size=round(seconds * rate)) * 0.003
    for start in (2.0, 6.0, 9.5):
        part = slice(round(start * rate), round((start + 1) * rate))
        sound[part] += (
            0.3 * np.sin(2 * np.pi * 200 * start * np.arange(rate) / rate)[: len(sound[part])]
        )
    soundfile.write(path, sound, rate)
    return path
