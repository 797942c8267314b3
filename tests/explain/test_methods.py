"""Maps of importance: exact contributions, shapes, and what each method must find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from explained_networks import KINDS, clip_of, network_of
from small_models import HEADS, write_model
from torch import nn

from sonotype.core.errors import AudioError, OptionsError
from sonotype.core.types import Head
from sonotype.explain.explanation import (
    DEFAULT,
    METHODS,
    explain,
    explain_log_mels,
    normalised,
    shortest_half,
)
from sonotype.explain.methods import FUNCTIONS, contributions, occlusion
from sonotype.explain.network import Network, Target
from sonotype.inference.load import load
from sonotype.models.statistics import GlobalMeanPooling

EVENT = Target(HEADS[-1], 1)


def mean_network() -> Network:
    """Linear heads on the means of two maps."""
    network = network_of()
    system = network.system
    means = nn.ModuleList(GlobalMeanPooling(system.branch_1.channels[n - 1]) for n in (3, 4))
    system.pooling.attentions = means
    features = sum(one.features for one in means)  # type: ignore[misc]
    system.pooling.features = features
    system.embedding = nn.Identity()
    torch.manual_seed(2)
    system.classifiers = nn.ModuleDict(
        {head.name: nn.Linear(features, len(head.classes)) for head in HEADS}
    )
    return network


def test_contributions_to_a_linear_head_on_means_sum_to_its_logit() -> None:
    network = mean_network()
    log_mels = network.log_mels(clip_of(network))
    classify = network.system.classifiers["event"]
    for index in range(len(HEADS[-1].classes)):
        target = Target(HEADS[-1], index)
        total = sum(one.sum() for one in contributions(network, log_mels, target).values())
        bias = classify.bias[index]  # type: ignore[index]
        torch.testing.assert_close(total, (network.logit(log_mels, target) - bias)[0])


def test_a_contribution_is_the_weighted_value_of_its_position() -> None:
    network = mean_network()
    log_mels = network.log_mels(clip_of(network))
    maps = network.maps(log_mels)
    weight = network.system.classifiers["event"].weight[1]  # type: ignore[index]
    found = contributions(network, log_mels, EVENT)
    first = 0
    for index, x in enumerate(maps):
        channels = x.shape[1]
        for time, band in ((0, 0), (2, 1)):
            value = x[0, :, time, band] @ weight[first : first + channels]
            positions = x.shape[2] * x.shape[3]
            torch.testing.assert_close(found[index][time, band], value / positions)
        first += channels


def test_the_sum_of_a_map_does_not_change_on_the_log_mel() -> None:
    """Up to its edges: positions beyond the end of the log-mel are cut off."""
    network = mean_network()
    log_mels = network.log_mels(clip_of(network))
    [attention] = FUNCTIONS["attention"](network, log_mels, EVENT)
    assert attention.sum() == pytest.approx(2, rel=0.1)  # two maps, each with a sum of 1


CASES = [
    (method, kind)
    for method in METHODS
    for kind in (["two branches"] if method == "occlusion" else KINDS)  # occlusion is slow
]


@pytest.mark.parametrize(("method", "kind"), CASES)
def test_maps_have_the_shape_of_the_log_mels(method: str, kind: str) -> None:
    network = network_of(kind)
    log_mels = network.log_mels(clip_of(network))
    found = explain_log_mels(network, log_mels, EVENT, method)
    assert (found.label, found.method) == (HEADS[-1].classes[1], method)
    assert [branch.name for branch in found.branches] == [
        f"branch {number + 1}" for number in range(len(log_mels))
    ]
    for branch, log_mel in zip(found.branches, log_mels, strict=True):
        assert np.array_equal(branch.log_mel, log_mel[0, 0].numpy())
        assert branch.importance.shape == branch.log_mel.shape
        assert branch.importance.min() >= 0
        assert branch.importance.sum() == pytest.approx(1)
        assert branch.seconds == pytest.approx(2, abs=0.1)
        assert len(branch.band_frequencies) == log_mel.shape[3]
    for value in (found.probability, found.kept_probability, found.rest_probability):
        assert 0 <= value <= 1


def test_methods_do_not_change_the_network() -> None:
    network = network_of()
    log_mels = network.log_mels(clip_of(network))
    before = network.logit(log_mels, EVENT)
    first = FUNCTIONS["mask"](network, log_mels, EVENT)
    again = FUNCTIONS["mask"](network, log_mels, EVENT)
    assert torch.equal(first[0], again[0])
    assert torch.equal(before, network.logit(log_mels, EVENT))
    assert all(one.grad is None for one in network.system.parameters())


class HalfNetwork(Network):
    """Its class is the mean of the log-mel above the floor in the first half of the time."""

    def __init__(self) -> None:
        other = network_of()
        super().__init__(other.system, (Head("event", ("yes", "no")),), other.audio_spec)

    def maps(self, log_mels: object) -> list[torch.Tensor]:
        return [log_mels[0] - self.silence[0][:1]]  # type: ignore[index]

    def logits_of_maps(self, maps: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        first = maps[0][:, 0, : maps[0].shape[2] // 2].mean((1, 2))
        return {"event": torch.stack([3 * first, torch.full_like(first, 3)], 1)}


@pytest.mark.parametrize("method", ["mask", "occlusion"])
def test_importance_lies_where_the_class_depends_on_the_log_mel(method: str) -> None:
    network = HalfNetwork()
    log_mels = network.log_mels(clip_of(network))
    target = Target(network.heads[0], 0)
    found = explain_log_mels(network, log_mels, target, method).branches[0]
    _, end = found.main_seconds
    assert end <= 1.1
    share = found.importance[: len(found.importance) // 2].sum()
    assert share > 0.55


def test_occlusion_of_a_part_without_effect_is_0() -> None:
    network = HalfNetwork()
    [found] = occlusion(network, network.log_mels(clip_of(network)), Target(network.heads[0], 0))
    half = len(found) // 2
    assert found[half + 32 :].max() == 0
    assert found[: half - 32].min() > 0


def test_the_shortest_half() -> None:
    assert shortest_half(np.array([1.0, 1, 1, 1])) == (0, 2)
    assert shortest_half(np.array([0.0, 1, 5, 1, 0])) == (2, 3)
    assert shortest_half(np.array([3.0, 0, 0, 1, 3, 1])) == (3, 5)
    assert shortest_half(np.array([1.0])) == (0, 1)


def test_a_map_of_zeros_or_of_no_numbers_is_even() -> None:
    assert normalised(np.zeros((2, 2))).tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert normalised(np.array([[np.nan, 1.0], [-1.0, 3.0]])).tolist() == [[0, 0.25], [0, 0.75]]


def test_a_file_and_a_window_of_it(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model.safetensors"))
    rate = model.audio_spec.sample_rate
    sound = np.random.default_rng(0).normal(0, 0.1, 3 * rate).astype("f4")
    soundfile.write(tmp_path / "a.wav", sound, rate, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", sound[rate:], rate, subtype="FLOAT")
    whole = explain(model, tmp_path / "a.wav")
    prediction = model.predict(tmp_path / "a.wav")
    assert whole.label == prediction.label
    assert whole.method == DEFAULT
    assert whole.probability == pytest.approx(prediction.top(1)[0][1], abs=1e-5)
    later = explain(model, tmp_path / "a.wav", "low", method="gradient", start=1.0)
    same = explain(model, tmp_path / "b.wav", "low", method="gradient")
    assert later.label == "low"
    assert np.array_equal(later.branches[0].importance, same.branches[0].importance)


def test_bad_input_is_refused(tmp_path: Path) -> None:
    model = load(write_model(tmp_path / "model.safetensors"))
    rate = model.audio_spec.sample_rate
    soundfile.write(tmp_path / "a.wav", np.ones(rate) * 0.1, rate)
    with pytest.raises(OptionsError, match=r"magic.*mask, attention, gradient"):
        explain(model, tmp_path / "a.wav", method="magic")
    with pytest.raises(OptionsError, match="start is -1"):
        explain(model, tmp_path / "a.wav", start=-1)
    with pytest.raises(AudioError, match="does not exist"):
        explain(model, tmp_path / "none.wav")
