"""This project's own models on torch, and the same files exported to ONNX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peer import Answer, Clips, Facts, Loaded, Peer, asset
from benchmarks.ways import in_batches, one_by_one

FILE, EXPORTED = "model.safetensors", "model.onnx"
MN04 = "mn04_as_mAP_432.pt"
DEFAULT: dict[str, Any] = {
    "system": "cbir_2",
    "backbone": "mn04",
    "width": 0.0,
    "pooling": "attention_mean",
    "pool_blocks": (3, 4),
}
"""What ``sonotype train`` makes where it is told nothing: the recipe ``modern``."""
LIGHT: dict[str, Any] = {"system": "cbir_4", "backbone": "mn04"}
HEAD = "head untrained; mn04's published weights where their file is given, else random ones"
PAPER: dict[str, Any] = {"system": "cbir_2", "backbone": "vggish"}


def write_builtin(folder: Path) -> Facts:
    """The model that comes with the package."""
    from sonotype.modelfile.pretrained import builtin_path

    (folder / FILE).write_bytes(builtin_path().read_bytes())
    return facts(folder / FILE)


def write_new(options: dict[str, Any], folder: Path) -> Facts:
    """A model with an untrained head; mn04 has its published weights where they are given."""
    import torch

    from sonotype.config import SystemOptions
    from sonotype.modelfile.card import ModelCard
    from sonotype.modelfile.model_file import read_card, save_model
    from sonotype.modelfile.pretrained import builtin_path, read_state_dict
    from sonotype.models.backbones.names import build_backbone
    from sonotype.models.build import build_system

    torch.manual_seed(0)
    chosen = SystemOptions(**options)
    labels = read_card(builtin_path()).labels
    backbone: Any = build_backbone(chosen.backbone)
    published = asset("weights", MN04)
    if published is not None and chosen.backbone == "mn04":
        backbone.load_state_dict(backbone.rename(read_state_dict(published)))
    system = build_system(chosen, labels, backbone)
    card = ModelCard(chosen, labels, system.sample_rate, ())
    return facts(save_model(folder / FILE, system, card))


def facts(path: Path) -> Facts:
    """Of a model file."""
    from sonotype.modelfile.model_file import load_model
    from sonotype.models.summary import summarise

    total = summarise(load_model(path)[0]).total
    return Facts(total.parameters, total.multiply_adds, path.stat().st_size)


def write_exported(write: Callable[[Path], Facts], folder: Path) -> Facts:
    """The same as ONNX; the original stays beside it, for the comparison."""
    from sonotype.export.onnx import export_onnx

    known = write(folder)
    export_onnx(folder / FILE, folder / EXPORTED)
    sizes = [path.stat().st_size for path in folder.glob(f"{EXPORTED}*")]
    return Facts(known.parameters, known.multiply_adds, sum(sizes))


def load(file: str, rate: int, folder: Path, threads: int, *, size: int = 16) -> Loaded:
    """``sonotype.load`` and what it gives: ``predict`` for one clip, batches for many."""
    import sonotype

    model = sonotype.load(folder / file)

    def one(clip: Clips) -> Answer:
        return np.array(list(model.predict(clip, rate).event_probabilities.values()))

    def batch(clips: Clips) -> Answer:
        event = model.predict_proba(clips).event
        if event is None:
            raise ValueError("the models compared here have an event head")
        return event

    ways = in_batches(batch, (1, size))
    if threads > 1 and model.engine.side_by_side:
        ways[f"{threads} x 1"] = one_by_one([lambda clip: batch(clip[None])[0]] * threads)
    elif threads > 1:
        from benchmarks.torch_tools import shared_out

        ways[f"{threads} x 8"] = shared_out(batch, 8, threads)
    return Loaded(one, ways)


def slow(folder: Path) -> Callable[[Clips], Answer]:
    """One clip at a time, in double precision and the usual memory layout, on torch."""
    import torch

    from sonotype.modelfile.model_file import load_model

    system: Any = load_model(folder / FILE)[0].double()

    def run(clip: Clips) -> Answer:
        with torch.inference_mode():
            event = system(torch.from_numpy(clip).double()[None]).event
        probabilities: Answer = event.softmax(1)[0].numpy()
        return probabilities

    return run


def both(
    name: str, title: str, rate: int, write: Callable[[Path], Facts], **more: Any
) -> list[Peer]:
    """A model on torch and on onnxruntime."""
    common: dict[str, Any] = {"group": "classifier", "sample_rate": rate, "slow": slow, **more}
    torch = Peer(
        name=name,
        title=title,
        packages=("sonotype", "torch"),
        write=write,
        load=partial(load, FILE, rate),
        **common,
    )
    onnx = Peer(
        name=f"{name}-onnx",
        title=title.replace("(torch)", "(ONNX)"),
        packages=("sonotype", "onnxruntime", "onnxscript"),
        write=partial(write_exported, write),
        load=partial(load, EXPORTED, rate),
        **common,
    )
    return [torch, onnx]


BUILTIN = "builtin"
LIGHT_BOTH = both("cbir_4", "mn04 cbir_4 (torch)", 32_000, partial(write_new, LIGHT), note=HEAD)
PEERS = (
    *reversed(LIGHT_BOTH),  # the fastest of ours is what all are compared with
    *both(BUILTIN, "built-in model (torch)", 16_000, write_builtin),
    *both("cbir_2", "mn04 cbir_2 (torch)", 32_000, partial(write_new, DEFAULT), note=HEAD),
    Peer(
        name="paper",
        title="paper's cbir_2 (torch)",
        group="classifier",
        sample_rate=16_000,
        packages=("sonotype", "torch"),
        write=partial(write_new, PAPER),
        load=partial(load, FILE, 16_000, size=8),
        slow=slow,
        batch=8,
        note="full width, both branches in VGGish's shape, with random weights",
    ),
)
