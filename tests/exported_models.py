"""Exported models with random weights, for tests of programs that run them without sonotype."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from heads import two_heads
from sound_files import noise
from torch import nn

from sonotype.config import SystemOptions
from sonotype.export.graph import clip_graph, with_matrix_products
from sonotype.inference.onnx_windows import WINDOWS_KEY
from sonotype.modelfile.card import KEY, ModelCard, document_of
from sonotype.models.build import build_system
from sonotype.models.system import System
from sonotype.models.unknown import UnknownScore

RATE = 16_000
HEADS = two_heads(("high", "low"), ("beep", "buzz", "hum", "räuspern"), (0, 1, 1, 1))


@torch.no_grad()
def export_foreign(path: Path) -> Path:
    """A ``model.onnx`` with the pooling of the built-in model, three shifts and an unknown score.

    About half of the sounds of :func:`sound_files.noise` are unknown.
    """
    torch.manual_seed(1)
    options = SystemOptions(backbone="compact", width=0.0, pooling="statistics", seconds=1.0)
    system = build_system(options, HEADS).eval()
    score = UnknownScore(len(HEADS[-1].classes), system.embedding_size, 3)
    for buffer in (score.centres, score.axes):
        nn.init.normal_(buffer, std=system.embedding_size**-0.5)
    nn.init.normal_(score.gate, std=20.0)
    system.set_unknown("event", score)
    clips = torch.from_numpy(np.stack([noise(1.0, seed, RATE) for seed in range(8)]))
    output = system(clips)
    sums = score.sum(output.embedding, output.logits["event"])
    score.threshold.copy_(sums.median())
    score.width.copy_(sums.std())
    for classifier in system.classifiers.values():
        # Random predictions are all alike otherwise.
        classifier.weight.div_(classifier(output.embedding).std(0).mean())
        classifier.bias.copy_(-classifier(output.embedding).mean(0))
    card = ModelCard(
        options, HEADS, RATE, ("VGGishLogMel",), tta_shifts=3, unknown_head="event",
        unknown_threshold=0.5,
    )  # fmt: skip
    return write_clip_graph(path, system, card)


def write_clip_graph(path: Path, system: System, card: ModelCard) -> Path:
    """An exported file whose graphs for windows are replaced by a text, which is much faster.

    Predictions of clips do not need them.
    """
    proto = clip_graph(with_matrix_products(system), card.heads)
    for key, value in ((WINDOWS_KEY, "not needed " * 10_000), (KEY, document_of(card))):
        entry = proto.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(proto, path)
    return path


def with_options(exported: Path, path: Path, **options: Any) -> Path:
    """The exported model with other options in its card, such as ``pad="repeat"``."""
    proto = onnx.load(exported)
    [entry] = [one for one in proto.metadata_props if one.key == KEY]
    values = json.loads(entry.value)
    values["options"] |= options
    entry.value = json.dumps(values)
    onnx.save(proto, path)
    return path
