"""One graph from waveform to probabilities: the same values as torch, of any batch and length."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from ensembles import with_members
from heads import two_heads
from torch import nn

from sonotype.config import SystemOptions
from sonotype.core.errors import AudioError, MissingExtraError, SonotypeError
from sonotype.core.types import Head, Heads
from sonotype.export import torch_to_onnx
from sonotype.export.graph import clip_graph, onnx_graph, with_matrix_products
from sonotype.export.quantise import unquantised_nodes
from sonotype.inference.classifier import Classifier
from sonotype.inference.onnx_engine import onnx_engine
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.backbones.vggish import VGGish
from sonotype.models.build import build_system
from sonotype.models.system import System
from sonotype.models.unknown import UnknownScore

CATEGORIES = two_heads(("high", "low"))
HEADS = two_heads(("high", "low"), ("beep", "buzz", "hum"), (0, 1, 1))
MANY: Heads = (
    Head("category", ("high", "low"), temperature=2.5),
    Head("event", ("beep", "buzz", "hum"), parent="category", parent_index=(0, 1, 1)),
    Head(
        "level_3", ("a", "b", "c", "d"), parent="event", parent_index=(0, 0, 1, 2), temperature=0.5
    ),
    Head("tags", ("loud", "near"), "multi", temperature=0.75),
)
SYSTEMS: dict[str, tuple[Heads, dict[str, Any]]] = {
    "many heads, two blocks and two branches of other rates and strides": (
        MANY,
        {
            "system": "cbir_2", "backbone": "mn01", "width": 0.05, "pooling": "attention_mean",
            "pool_blocks": (3, 4), "adapters": (2, 4),
        },
    ),
    "joined, softmax over positions": (
        HEADS,
        {
            "system": "cbir_1", "backbone": "compact", "width": 0.05, "adapters": (1, 4),
            "softmax_over": "positions",
        },
    ),
    "one branch, maximum": (
        CATEGORIES,
        {"system": "cbir_2", "backbone": "vggish", "width": 0.0, "pooling": "max"},
    ),
    "statistics with an unknown score": (
        HEADS,
        {
            "system": "cbir_2", "backbone": "vggish", "width": 0.0, "pooling": "statistics",
            "pool_blocks": (3, 4),
        },
    ),
    "an ensemble with an unknown score": (
        HEADS,
        {
            "system": "cbir_2", "backbone": "vggish", "width": 0.0, "pooling": "statistics",
            "pool_blocks": (3, 4),
        },
    ),
}  # fmt: skip
ENSEMBLE = "an ensemble with an unknown score"
SIMPLE = "one branch, maximum"
FOREIGN = "statistics with an unknown score"


@dataclass(frozen=True)
class Made:
    """A system with its graph, and its weights before the export."""

    system: System
    card: ModelCard
    content: bytes = field(repr=False)
    before: dict[str, torch.Tensor] = field(repr=False)


def system_of(name: str) -> tuple[System, ModelCard]:
    torch.manual_seed(2)
    heads, options = SYSTEMS[name]
    chosen = SystemOptions(seconds=1.0, **options)
    small = {"vggish": partial(VGGish, width=0.1), "mn01": shallow_mobilenet, "compact": Compact}
    system = build_system(chosen, heads, small[chosen.backbone]()).eval()
    if name == ENSEMBLE:
        with_members(system)
    _settle(system)
    head = heads[-1].name if name in (FOREIGN, ENSEMBLE) else ""
    if head:
        system.set_unknown(head, some_unknown_score(system, len(heads[-1].classes)))
        for classifier in system.classifiers.values():
            nn.init.normal_(classifier.weight, std=30.0)  # of vectors that are almost the same
    front_ends = ("VGGishLogMel",)
    return system, ModelCard(chosen, heads, system.sample_rate, front_ends, unknown_head=head)


def some_unknown_score(system: System, classes: int) -> UnknownScore:
    """One with random parameters and the width of an ordinary sound's vector."""
    score = UnknownScore(classes, system.embedding_size, 3)
    nn.init.normal_(score.centres, std=system.embedding_size**-0.5)
    nn.init.normal_(score.axes, std=system.embedding_size**-0.5)
    nn.init.normal_(score.gate, std=3.0)
    score.threshold.fill_(3.0)
    score.width.fill_(5.0)
    return score


def shallow_mobilenet() -> MobileNet:
    """All kinds of layers; each block has the first of its layers with a residual connection."""
    network = MobileNet(width=0.1)
    for number, block in enumerate(network.blocks):
        residual = [layer for layer in block if getattr(layer, "residual", False)]
        kept = [layer for layer in block if layer not in residual[1:]]
        network.blocks[number] = nn.Sequential(*kept)
    return network


@cache
def made(name: str) -> Made:
    system, card = system_of(name)
    before = {key: tensor.clone() for key, tensor in system.state_dict().items()}
    graph = clip_graph(with_matrix_products(system), card.heads)
    return Made(system, card, graph.SerializeToString(), before)


@torch.no_grad()
def _settle(system: System) -> None:
    """Statistics of batch norm as sounds leave them; with those of a new network all fades."""
    norms = [one for one in system.modules() if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = None
    rng = torch.manual_seed(3)
    levels = 10.0 ** -torch.arange(3)[:, None]
    waveform = 0.1 * levels * torch.randn(3, system.sample_rate, generator=rng)
    log_mels = system.log_mels(waveform)
    x = log_mels[0]
    for block in system.branch_1.blocks:
        x = block(x)
    system.eval()
    if norms:
        for norm in norms:
            norm.train()
        system.trained_part(system.feature_maps(log_mels))
    system.eval()


def test_the_file_names_no_source_code_of_this_machine() -> None:
    content = made(SIMPLE).content
    assert b".py" not in content
    assert os.fsencode(Path.cwd()) not in content


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_graph_has_the_output_of_torch(name: str) -> None:
    graph = made(name)
    heads = graph.card.heads
    engine, torch_engine = onnx_engine(graph.content), TorchEngine(graph.system, heads)
    unknown = ["unknown_score"] if graph.card.unknown_head else []
    assert list(engine.graph.outputs) == [*(head.name for head in heads), "embedding", *unknown]
    rng = np.random.default_rng(0)
    outputs = []
    for batch, seconds in ((1, 1.0), (3, 1.0), (2, 2.37)):
        samples = round(seconds * graph.card.sample_rate)
        waveforms = 0.1 * rng.standard_normal((batch, samples)).astype(np.float32)
        waveforms *= 10.0 ** -np.arange(batch)[:, None]
        wanted, found = torch_engine(waveforms), engine(waveforms)
        assert set(found.proba) == set(wanted.proba)
        for head, proba in wanted.proba.items():
            np.testing.assert_allclose(found.proba[head], proba, rtol=0, atol=1e-4)
        scale = float(np.abs(wanted.embedding).max())
        np.testing.assert_allclose(found.embedding, wanted.embedding, rtol=0, atol=2e-4 * scale)
        outputs.append(np.concatenate(list(found.proba.values()), axis=1))
        assert (
            (found.unknown is None) == (wanted.unknown is None) == (name not in (FOREIGN, ENSEMBLE))
        )
        if wanted.unknown is not None and found.unknown is not None:
            np.testing.assert_allclose(found.unknown, wanted.unknown, rtol=0, atol=1e-4)
            outputs[-1] = np.column_stack([outputs[-1], found.unknown])
    assert np.ptp(np.concatenate(outputs), axis=0).max() > 1e-2, "the outputs differ"


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_export_does_not_change_the_system(name: str) -> None:
    graph = made(name)
    after = graph.system.state_dict()
    assert list(after) == list(graph.before)
    assert all(torch.equal(after[key], tensor) for key, tensor in graph.before.items())


def test_the_graph_divides_the_logits_by_the_temperature() -> None:
    graph = made(next(iter(SYSTEMS)))
    rng = np.random.default_rng(1)
    waveform = 0.1 * rng.standard_normal((1, graph.card.sample_rate)).astype(np.float32)
    with torch.inference_mode():
        logits = graph.system(torch.from_numpy(waveform)).logits
    found = onnx_engine(graph.content)(waveform).proba
    for head in MANY:
        scaled = logits[head.name] / head.temperature
        wanted = scaled.softmax(1) if head.problem == "single" else scaled.sigmoid()
        np.testing.assert_allclose(found[head.name], wanted.numpy(), rtol=0, atol=1e-4)


def test_eight_bits_leave_out_front_ends_and_the_unknown_score_alone() -> None:
    proto = onnx.load_from_string(made(FOREIGN).content)
    excluded = set(unquantised_nodes(proto))
    source = {name: node for node in proto.graph.node for name in node.output}
    assert source["unknown_score"].name in excluded
    assert source["embedding"].name not in excluded
    # The network is quantised: logarithms of the unknown score do not exclude its input.
    convolutions = [node.name for node in proto.graph.node if node.op_type == "Conv"]
    assert len(excluded.intersection(convolutions)) < len(convolutions) / 2


def test_a_graph_of_broken_weights_gives_no_prediction() -> None:
    graph = made(SIMPLE)
    proto = onnx.load_from_string(graph.content)
    [bias] = [x for x in proto.graph.initializer if x.name.endswith("classifiers.category.bias")]
    broken = np.full(2, np.nan, dtype=np.float32)
    bias.CopyFrom(onnx.numpy_helper.from_array(broken, bias.name))
    wrong = Classifier(onnx_engine(proto.SerializeToString()), graph.card)
    with pytest.raises(AudioError, match=r"<array>: .* is not finite"):
        rate = graph.card.sample_rate
        wrong.predict(np.full(rate, 0.1, dtype=np.float32), rate)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_the_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system, card = system_of(SIMPLE)
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(
        MissingExtraError, match=r"export to ONNX .* pip install 'sonotype\[onnx\]'"
    ):
        onnx_graph(system, card)


def test_a_version_of_torch_that_cannot_export_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("Constraints violated (samples)!\nmany lines")

    monkeypatch.setattr(torch.onnx, "export", refused)
    with pytest.raises(SonotypeError) as caught:
        torch_to_onnx.exported(torch.nn.Identity(), (torch.zeros(2),), ["x"], ["y"], (None,))
    text = f"torch {torch.__version__} cannot export this model; the export is tested with torch "
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)
