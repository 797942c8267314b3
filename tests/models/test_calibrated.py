"""A temperature inside a model, and weights in half precision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_models import write_model

from sonotype.evaluation.calibration import divide_logits
from sonotype.modelfile.model_file import load_model, save_model


def test_logits_are_divided_and_nothing_else(tmp_path: Path) -> None:
    system, _ = load_model(write_model(tmp_path / "model.safetensors"))
    waveform = torch.randn(2, 16_000, generator=torch.manual_seed(0))
    with torch.inference_mode():
        before = system(waveform)
        after = divide_logits(system, category=2.0, event=0.5)(waveform)
    assert torch.allclose(after.category, before.category / 2, atol=1e-6)
    assert torch.allclose(after.event, before.event * 2, atol=1e-5)
    assert torch.equal(after.embedding, before.embedding)


def test_a_model_without_events_and_a_temperature_that_is_none(tmp_path: Path) -> None:
    system, _ = load_model(write_model(tmp_path / "model.safetensors"))
    system.event = None
    divide_logits(system, category=2.0)
    with pytest.raises(ValueError, match="temperature must be positive"):
        divide_logits(system, category=0)


def test_half_precision_is_half_the_size_and_nearly_the_same(tmp_path: Path) -> None:
    whole = write_model(tmp_path / "whole.safetensors", width=0.25)
    system, card = load_model(whole)
    half = save_model(tmp_path / "half.safetensors", system, card, half=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    found, same = load_model(half)
    assert same == card
    state = system.state_dict()
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == state[name].dtype, name
        assert torch.equal(tensor, state[name].half().to(tensor.dtype)), name
    waveform = torch.randn(2, 16_000, generator=torch.manual_seed(0))
    with torch.inference_mode():
        answers = [one.event(one.embedding(torch.zeros(2, one.pooling.features)))
                   for one in (system, found)]  # fmt: skip
        logits = [one(waveform).category for one in (system, found)]
    assert torch.allclose(*answers, atol=1e-2)
    assert torch.allclose(*logits, atol=0.2)
