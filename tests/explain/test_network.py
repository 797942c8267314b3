"""The network as a function of log-mels: the same results as the engine, and gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from explained_networks import KINDS, clip_of, network_of
from small_models import HEADS, write_model

from sonotype.core.errors import OptionsError
from sonotype.explain.geometry import band_frequencies, on_log_mel
from sonotype.explain.network import Network, Target
from sonotype.frontends.efficientat_logmel import EfficientATLogMel
from sonotype.frontends.vggish_logmel import VGGishLogMel
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.load import load


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_system(kind: str) -> None:
    network = network_of(kind)
    clip = clip_of(network)
    with torch.no_grad():
        expected = network.system(torch.from_numpy(clip)[None])
    log_mels = network.log_mels(clip)
    logits = network.logits_of_maps(network.maps(log_mels))
    for name, value in expected.logits.items():
        torch.testing.assert_close(logits[name], value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_logit_has_gradients_to_each_log_mel(kind: str) -> None:
    network = network_of(kind)
    log_mels = [x.requires_grad_() for x in network.log_mels(clip_of(network))]
    slopes = torch.autograd.grad(network.logit(log_mels, Target(HEADS[-1], 0)).sum(), log_mels)
    for slope in slopes:
        assert torch.isfinite(slope).all()
        assert slope.abs().max() > 0


def test_silence_has_finite_gradients() -> None:
    """All deviations are 0 there, whose square roots have no gradient."""
    network = network_of()
    silence = [torch.full_like(x, x.min().item()).requires_grad_() for x in network.silence]
    [slope] = torch.autograd.grad(network.logit(silence, Target(HEADS[-1], 0)).sum(), silence)
    assert torch.isfinite(slope).all()


@pytest.mark.parametrize("kind", KINDS)
def test_attention_has_the_shape_of_its_map(kind: str) -> None:
    network = network_of(kind)
    maps = network.maps(network.log_mels(clip_of(network)))
    attention = network.attention(maps)
    assert set(attention) == set(range(len(maps)))
    for index, weights in attention.items():
        assert weights.shape[1:] == maps[index].shape[2:]


def test_attention_of_members_is_that_of_the_last_maps() -> None:
    network = network_of(members=2)
    maps = network.maps(network.log_mels(clip_of(network)))
    for index, weights in network.attention(maps).items():
        assert weights.shape[1:] == maps[index].shape[2:]
    assert len(maps) - 1 in network.attention(maps)


def test_the_target() -> None:
    network = network_of()
    log_mels = network.log_mels(clip_of(network))
    best = network.target(log_mels)
    assert best.head == HEADS[-1]
    assert best.index == network.proba(log_mels, best.head)[0].argmax()
    assert network.target(log_mels, "low").head.name == "category"
    assert network.target(log_mels, level="category").head.name == "category"
    assert network.target(log_mels, HEADS[-1].classes[1]).index == 1
    with pytest.raises(OptionsError, match="cat.*" + HEADS[-1].classes[0]):
        network.target(log_mels, "cat")
    with pytest.raises(OptionsError, match="species"):
        network.target(log_mels, level="species")
    with pytest.raises(OptionsError, match="low"):
        network.target(log_mels, "low", level="event")


def test_models_that_can_be_explained(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model.safetensors", backbone="compact"))
    assert Network.of(model).heads == HEADS
    assert Network.of(Ensemble([model, model])).system.unfreeze_from == 1
    assert model.engine.fused.unfreeze_from != 1  # type: ignore[attr-defined]
    with pytest.raises(OptionsError, match=r"ONNX.*model\.safetensors"):
        Network.of(Classifier(lambda waveforms: None, model.card))  # type: ignore[arg-type]


def test_a_map_is_interpolated_between_the_centres_of_its_positions() -> None:
    values = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    found = on_log_mel(values, (9, 8), 4)
    # Centres of the rows are frames 1.5 and 5.5.
    assert found[:, 0].tolist() == [0, 0, 0.25, 0.75, 1.25, 1.75, 2, 2, 2]
    assert found[0].tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]


def test_frequencies_are_the_centres_of_the_bands() -> None:
    for front_end, rate, hop in ((VGGishLogMel(), 16_000, 160), (EfficientATLogMel(), 32_000, 320)):
        centres = band_frequencies(front_end)
        assert len(centres) == front_end.bands
        band = front_end.bands // 2
        time = np.arange(rate) / rate
        tone = np.sin(2 * np.pi * centres[band] * time).astype("f4")
        log_mel = front_end(torch.from_numpy(tone))
        frame = log_mel[50] if isinstance(front_end, VGGishLogMel) else log_mel[:, 50]
        assert frame.argmax() == band
        assert hop * 50 < rate
