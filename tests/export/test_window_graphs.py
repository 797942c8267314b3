"""Windows that share maps in a model.onnx: the values of torch, for all kinds of systems."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from heads import two_heads
from lively_systems import lively, lively_sound
from torch import nn

from sonotype.config import SystemOptions
from sonotype.export.graph import window_graphs_of, with_matrix_products
from sonotype.inference.onnx_graph import OnnxGraph
from sonotype.inference.onnx_windows import SharedGraphs, WindowGraphs, window_graphs
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import load_model
from sonotype.modelfile.pretrained import builtin_path
from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.build import build_system
from sonotype.models.system import System
from sonotype.sliding import system_windows

pytest.importorskip("onnxruntime")

HEADS = two_heads(("high", "low"), ("beep", "buzz", "hum"), (0, 1, 1))
BUILT_IN = "built-in"
SYSTEMS: dict[str, dict[str, Any]] = {
    "squeezes": {
        "system": "cbir_2", "backbone": "mn01", "width": 0.0, "pooling": "statistics",
        "pool_blocks": (3, 4),
    },
    "adapters, softmax over positions": {
        "system": "cbir_1", "backbone": "compact", "width": 0.05, "adapters": (1, 4),
        "softmax_over": "positions",
    },
}  # fmt: skip


def shallow_mobilenet() -> MobileNet:
    """The first layer of each block, and its squeezes."""
    network = MobileNet(width=0.1)
    for number, block in enumerate(network.blocks):
        layers = list(block)
        network.blocks[number] = nn.Sequential(
            *[x for x in layers if not getattr(x, "residual", False)]
        )
    return network


@cache
def made(name: str) -> tuple[System, ModelCard, WindowGraphs]:
    """A system and its graphs, with short chunks."""
    if name == BUILT_IN:
        system, card = load_model(builtin_path())
        system.eval()
    else:
        options = SystemOptions(seconds=1.0, **SYSTEMS[name])
        small: dict[str, Any] = {"mn01": shallow_mobilenet, "compact": Compact}
        system = lively(build_system(options, HEADS, small[options.backbone]()))
        card = ModelCard(options, HEADS, system.sample_rate, ())
    return system, card, window_graphs_of(with_matrix_products(system), card)


@pytest.fixture(autouse=True)
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_windows, "LONGEST_CHUNK", 960)


@pytest.mark.parametrize("name", [BUILT_IN, *SYSTEMS])
@pytest.mark.parametrize(
    ("windows", "hop"), [(1.03, 0.25), (4.0, 0.2), (12.0, 1 / 3), (31.7, 0.3337)]
)
def test_windows_are_those_of_torch(name: str, windows: float, hop: float) -> None:
    """Recordings and hops have the length of a window as their unit."""
    system, card, graphs = made(name)
    length = card.audio_spec.length
    sound = lively_sound(system, windows * card.audio_spec.seconds)
    pieces, hop = np.array_split(sound, 7), hop * length
    wanted = list(TorchEngine(system, card.heads).windows(pieces, length, hop))
    clips = SimpleNamespace(outputs=OnnxGraph(graphs.outputs).outputs, name="model.onnx")
    shared = SharedGraphs(graphs, clips, threads=2).windows  # type: ignore[arg-type]
    found: list[tuple[int, Any]] = list(shared.outputs(pieces, hop))
    assert [first for first, _ in found] == [first for first, _ in wanted]
    assert len(found) > 2 or windows < 30, "there are several chunks"
    for (_, one), (_, other) in zip(found, wanted, strict=True):
        for head in card.heads:
            np.testing.assert_allclose(
                one.proba[head.name], other.proba[head.name], rtol=0, atol=1e-4
            )
        scale = float(np.abs(other.embedding).max())
        np.testing.assert_allclose(one.embedding, other.embedding, rtol=0, atol=5e-4 * scale)


def test_the_graphs_name_no_source_code_of_this_machine() -> None:
    _, _, graphs = made(BUILT_IN)
    for content in (graphs.front_ends, graphs.rows, graphs.outputs):
        assert b".py" not in content
        onnx.checker.check_model(onnx.load_from_string(content))


def test_the_document_holds_everything() -> None:
    _, _, graphs = made(BUILT_IN)
    assert window_graphs(graphs.document()) == graphs


def change(graphs: WindowGraphs, of: Callable[[dict[str, Any]], object]) -> str:
    import json

    document = json.loads(graphs.document())
    of(document)
    return json.dumps(document)


def test_another_version_is_ignored_and_a_damaged_document_refused() -> None:
    _, _, graphs = made(BUILT_IN)
    assert window_graphs(change(graphs, lambda values: values.update(version=2))) is None
    for name in ("layout", "reductions", "rows"):
        with pytest.raises(ValueError, match=r"."):
            window_graphs(change(graphs, lambda values, name=name: values.pop(name)))
    with pytest.raises(ValueError, match="product"):
        window_graphs(change(graphs, lambda values: values.update(reductions=[["product", [0]]])))
    with pytest.raises(ValueError, match=r"."):
        window_graphs(change(graphs, lambda values: values.update(outputs="#")))


@pytest.mark.parametrize(
    ("field", "value"),
    [("samples", 0), ("samples", 1.5), ("frame", "1"), ("mel_frames", 3), ("mel_frames", []),
     ("mel_frames", [{}]), ("strides", [0]), ("counts", [1] * 9), ("step", {}), ("coarsest", True),
     ("context", -1), ("context", 1), ("lookahead", "x")],
)  # fmt: skip
def test_a_layout_of_another_origin_is_refused(field: str, value: object) -> None:
    _, _, graphs = made(BUILT_IN)
    with pytest.raises(ValueError, match=r"."):
        window_graphs(change(graphs, lambda values: values["layout"].update({field: value})))


@pytest.mark.parametrize("maps", [[99], [-1], ["0"], [0.0], [True]])
def test_reductions_of_another_origin_are_refused(maps: list[object]) -> None:
    _, _, graphs = made(BUILT_IN)
    name = graphs.reductions[0].operation.name
    with pytest.raises(ValueError, match="indices of maps"):
        window_graphs(change(graphs, lambda values: values.update(reductions=[[name, maps]])))
