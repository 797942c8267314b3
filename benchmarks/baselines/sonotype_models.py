"""Models of this package on torch, and the same files exported to ONNX."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.baseline import Baseline, Clips, Facts, Loaded, Predictions, Run, asset
from benchmarks.modes import in_batches, one_by_one, torch_threads

FILE, EXPORTED = "model.safetensors", "model.onnx"


def write_builtin(folder: Path) -> Facts:
    """The model of the package."""
    from sonotype.modelfile.pretrained import builtin_path

    (folder / FILE).write_bytes(builtin_path().read_bytes())
    return facts(folder / FILE)


def write_new(folder: Path, **options: Any) -> Facts:
    """A model with an untrained head; mn04 with its published weights if the file is there."""
    import torch

    from sonotype.config import SystemOptions
    from sonotype.modelfile.card import ModelCard
    from sonotype.modelfile.model_file import read_card, save_model
    from sonotype.modelfile.pretrained import builtin_path, read_state_dict
    from sonotype.models.backbones.names import build_backbone
    from sonotype.models.build import build_system

    torch.manual_seed(0)
    system_options = SystemOptions(**options)
    heads = read_card(builtin_path()).heads
    backbone: Any = build_backbone(system_options.backbone)
    published = asset("weights/mn04_as_mAP_432.pt")
    if published is not None and system_options.backbone == "mn04":
        backbone.load_state_dict(backbone.rename(read_state_dict(published)))
    system = build_system(system_options, heads, backbone)
    card = ModelCard(system_options, heads, system.sample_rate, ())
    return facts(save_model(folder / FILE, system, card))


def facts(path: Path) -> Facts:
    from sonotype.modelfile.model_file import load_model
    from sonotype.models.summary import summarise

    total = summarise(load_model(path)[0]).total
    return Facts(total.parameters, total.multiply_adds, path.stat().st_size)


def write_exported(write: Callable[[Path], Facts], folder: Path) -> Facts:
    """The same model as ONNX; the original stays beside it as the reference."""
    from sonotype.export.onnx import export_onnx

    original = write(folder)
    export_onnx(folder / FILE, folder / EXPORTED)
    return original._replace(size=sum(x.stat().st_size for x in folder.glob(f"{EXPORTED}*")))


def load(file: str, rate: int, size: int, folder: Path, threads: int) -> Loaded:
    """``sonotype.load``: ``predict`` for one clip, ``predict_proba`` for many."""
    import sonotype

    model = sonotype.load(folder / file)

    def single(clip: Clips) -> Predictions:
        return model.predict(clip, rate).proba["event"]

    def batch(clips: Clips) -> Predictions:
        return model.predict_proba(clips).proba["event"]

    modes = in_batches(batch, 1, size)
    if threads > 1 and model.engine.side_by_side:
        modes |= one_by_one(*[lambda clip: batch(clip[None])[0]] * threads)
    elif threads > 1:
        modes |= torch_threads(batch, 8, threads)
    return Loaded(single, modes)


def reference(folder: Path) -> Run:
    """One clip at a time, in double precision and the usual memory layout, on torch."""
    import torch

    from sonotype.modelfile.model_file import load_model

    system, card = load_model(folder / FILE)
    system.double()
    event = card.heads[-1]

    def run(clip: Clips) -> Predictions:
        with torch.inference_mode():
            logits = system(torch.from_numpy(clip).double()[None]).logits[event.name]
        return np.asarray((logits / event.temperature).softmax(1)[0].numpy())

    return run


def baseline(
    name: str, title: str, rate: int, write: Callable[[Path], Facts], *,
    onnx: bool = False, batch: int = 16, note: str = "",
) -> Baseline:  # fmt: skip
    """A model on torch, or exported to onnxruntime."""
    return Baseline(
        name=f"{name}-onnx" if onnx else name, title=f"{title} ({'ONNX' if onnx else 'torch'})",
        sample_rate=rate, batch=batch, note=note, reference=reference,
        packages=("sonotype", "onnxruntime", "onnxscript") if onnx else ("sonotype", "torch"),
        write=partial(write_exported, write) if onnx else write,
        load=partial(load, EXPORTED if onnx else FILE, rate, batch),
    )  # fmt: skip


HEAD = "untrained head; mn04's published weights where their file is there, else random ones"
LIGHT = partial(write_new, system="cbir_4", backbone="mn04")
# The recipe ``modern``, the default of ``sonotype train``.
DEFAULT = partial(write_new, system="cbir_2", backbone="mn04", width=0.0,
                  pooling="attention_mean", pool_blocks=(3, 4))  # fmt: skip
BASELINES = (
    # The first is the fastest of ours, with which the others are compared.
    baseline("cbir_4", "mn04 cbir_4", 32_000, LIGHT, onnx=True, note=HEAD),
    baseline("cbir_4", "mn04 cbir_4", 32_000, LIGHT, note=HEAD),
    baseline("builtin", "built-in model", 16_000, write_builtin),
    baseline("builtin", "built-in model", 16_000, write_builtin, onnx=True),
    baseline("cbir_2", "mn04 cbir_2", 32_000, DEFAULT, note=HEAD),
    baseline("cbir_2", "mn04 cbir_2", 32_000, DEFAULT, onnx=True, note=HEAD),
    baseline(
        "paper", "paper's cbir_2", 16_000, partial(write_new, system="cbir_2", backbone="vggish"),
        batch=8, note="full width, both branches in VGGish's shape, with random weights",
    ),
)  # fmt: skip
