"""One graph from waveform to answer: the same answers as torch gives, of any batch and length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_models import CATEGORIES, HEADS
from torch import nn

from sonotype.config import SystemOptions
from sonotype.core.errors import AudioError, MissingExtraError
from sonotype.core.types import Heads
from sonotype.export.graph import onnx_graph
from sonotype.inference.classifier import Classifier
from sonotype.inference.engine import EngineOutput
from sonotype.inference.onnx_engine import onnx_engine
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.models.build import build_system
from sonotype.models.system import System

SYSTEMS: dict[str, dict[str, Any]] = {
    "two branches": {"system": "cbir_2", "backbone": "mn01", "width": 0.05, "adapters": (2, 4)},
    "joined, softmax over positions": {
        "system": "cbir_1", "backbone": "mn01", "width": 0.05, "softmax_over": "positions",
    },
    "joined, maximum": {"system": "cbir_1", "backbone": "none", "width": 0.05, "pooling": "max"},
    "two blocks pooled": {
        "system": "cbir_2", "backbone": "mn01", "width": 0.0, "pooling": "attention_mean",
        "pool_blocks": (3, 4),
    },
    "maximum alone": {"system": "cbir_4", "backbone": "mn01"},
    "small network": {"system": "cbir_2", "backbone": "compact", "width": 0.0, "pooling": "mean"},
    "small network, two branches": {
        "system": "cbir_2", "backbone": "compact", "width": 0.05, "adapters": (1, 4),
    },
    "small network, joined": {"system": "cbir_1", "backbone": "compact", "width": 0.05},
}  # fmt: skip


def made(labels: Heads = HEADS, **options: Any) -> tuple[System, ModelCard]:
    torch.manual_seed(2)
    chosen = SystemOptions(seconds=1.0, **options)
    system = build_system(chosen, labels).eval()
    _settle(system)
    return system, ModelCard(chosen, labels, system.sample_rate, ("VGGishLogMel",))


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


def compared(ours: EngineOutput, theirs: EngineOutput, tolerance: float) -> None:
    np.testing.assert_allclose(theirs.category, ours.category, rtol=0, atol=tolerance)
    scale = float(np.abs(ours.embedding).max())
    np.testing.assert_allclose(theirs.embedding, ours.embedding, rtol=0, atol=2e-4 * scale)
    if ours.event is None:
        assert theirs.event is None
    else:
        assert theirs.event is not None
        np.testing.assert_allclose(theirs.event, ours.event, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_graph_answers_as_torch_does(name: str) -> None:
    system, card = made(**SYSTEMS[name])
    engine, ours = onnx_engine(onnx_graph(system, card)), TorchEngine(system)
    rng = np.random.default_rng(0)
    answers = []
    for batch, seconds in ((1, 1.0), (3, 1.0), (2, 2.37)):
        samples = round(seconds * card.sample_rate)
        waveforms = 0.1 * rng.standard_normal((batch, samples)).astype(np.float32)
        waveforms *= 10.0 ** -np.arange(batch)[:, None]
        compared(ours(waveforms), engine(waveforms), 1e-4)
        answers.append(engine(waveforms))
    spread = np.concatenate([np.concatenate([one.category, one.event], 1) for one in answers])
    assert np.ptp(spread, axis=0).max() > 1e-2, "the comparison says something"


def test_a_system_without_an_event_head_which_is_left_as_it_was() -> None:
    system, card = made(CATEGORIES, **SYSTEMS["small network"])
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    engine = onnx_engine(onnx_graph(system, card))
    after = system.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    waveforms = np.full((1, card.sample_rate), 0.1, dtype=np.float32)
    compared(TorchEngine(system)(waveforms), engine(waveforms), 1e-4)
    assert engine.outputs == ["category", "embedding"]


def test_a_graph_of_broken_weights_gives_no_answer() -> None:
    system, card = made(CATEGORIES, **SYSTEMS["small network"])
    system.category.bias.data[0] = float("nan")
    wrong = Classifier(onnx_engine(onnx_graph(system, card)), card)
    with pytest.raises(AudioError, match=r"<array>: .* is not finite"):
        wrong.predict(np.full(card.sample_rate, 0.1, dtype=np.float32), card.sample_rate)


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_the_extra_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(MissingExtraError) as caught:
        onnx_graph(*made(**SYSTEMS["maximum alone"]))
    assert str(caught.value) == (
        "export to ONNX needs an optional part: pip install 'sonotype[onnx]'"
    )
