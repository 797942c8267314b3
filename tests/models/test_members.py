"""An ensemble in one network: the mean of its members' probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ensembles import OWN_TEMPERATURE, with_members
from torch import Tensor

from sonotype.config import SystemOptions
from sonotype.core.errors import ModelFileError
from sonotype.core.types import Head, Heads
from sonotype.inference.torch_engine import TorchEngine
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import load_model, save_model
from sonotype.models.build import build_system
from sonotype.models.members import Member, member_of
from sonotype.models.summary import summarise
from sonotype.models.system import System
from sonotype.models.unknown import UnknownScore

HEADS = (
    Head("category", ("a", "b", "c")),
    Head("event", ("d", "e", "f", "g"), parent="category", parent_index=(0, 0, 1, 2)),
)
OPTIONS = SystemOptions(
    backbone="compact", width=0.0, pooling="statistics", pool_blocks=(3, 4), seconds=1.0
)


def ensemble(heads: Heads = HEADS, *, members: int = 3) -> System:
    torch.manual_seed(3)
    return with_members(build_system(OPTIONS, heads), members).eval()


def sounds(clips: int = 2) -> Tensor:
    return 0.1 * torch.randn(clips, 16_000, generator=torch.manual_seed(1))


def members_of(system: System) -> list[Member]:
    assert system.members is not None
    return [one for one in system.members.networks if isinstance(one, Member)]


@torch.no_grad()
def test_the_result_is_the_mean_of_the_probabilities() -> None:
    system = ensemble()
    maps = system.pooled_maps(system.frozen_part(sounds()))
    own, embedding = system.heads(system.pooling(maps)[0])
    output = system(sounds())
    for head in HEADS:
        each = [(own[head.name] / OWN_TEMPERATURE).softmax(1)]
        for member in members_of(system):
            vector = member.embedding(member.pooling(maps[-member.maps :])[0])
            each.append(member.classifiers[head.name](vector).softmax(1))
        wanted = torch.stack(each).mean(0)
        torch.testing.assert_close(output.logits[head.name].softmax(1), wanted)
        assert not torch.allclose(wanted, each[0], atol=1e-3)
    torch.testing.assert_close(output.embedding, embedding)


@torch.no_grad()
def test_the_attention_is_the_mean_of_the_members() -> None:
    system = ensemble()
    third, fourth = system.pooled_maps(system.frozen_part(sounds()))
    first, *others = members_of(system)
    found = [other.pooling([third, fourth])[1] for other in others]
    wanted = [
        torch.stack([each[0] for each in found]).mean(0),
        torch.stack([first.pooling([fourth])[1][0], *(each[1] for each in found)]).mean(0),
    ]
    attention = system(sounds()).attention
    assert len(attention) == len(wanted)
    for one, expected in zip(attention, wanted, strict=True):
        torch.testing.assert_close(one, expected)
        torch.testing.assert_close(one.sum((1, 2)), torch.ones(len(one)))


@torch.no_grad()
def test_the_unknown_score_is_that_of_the_own_heads() -> None:
    system = ensemble()
    score = UnknownScore(4, system.embedding_size, 2)
    torch.nn.init.normal_(score.centres, generator=torch.manual_seed(5))
    system.set_unknown("event", score)
    own, embedding = system.heads(
        system.pooling(system.pooled_maps(system.frozen_part(sounds())))[0]
    )
    torch.testing.assert_close(system(sounds()).unknown, score(embedding, own["event"]))


@torch.no_grad()
def test_the_logits_of_a_member_are_divided_by_its_temperatures() -> None:
    member = member_of(build_system(OPTIONS, HEADS).eval())
    pooled = torch.randn(2, member.pooling.features, generator=torch.manual_seed(2))
    before = member.logits(pooled)
    member.divide_logits({"category": 2.0, "event": 0.5})
    after = member.logits(pooled)
    torch.testing.assert_close(after["category"], before["category"] / 2)
    torch.testing.assert_close(after["event"], before["event"] * 2)


@pytest.mark.parametrize("members", [1, 11])
def test_a_model_file_has_all_members(tmp_path: Path, members: int) -> None:
    system = ensemble(members=members)
    card = ModelCard(OPTIONS, HEADS, system.sample_rate, ("VGGishLogMel",))
    loaded, _ = load_model(save_model(tmp_path / "model.safetensors", system, card))
    assert [member.maps for member in members_of(loaded)] == [1] + [2] * (members - 1)
    with torch.no_grad():
        for name, logits in system(sounds()).logits.items():
            torch.testing.assert_close(loaded(sounds()).logits[name], logits)


@pytest.mark.parametrize(
    "wrong",
    [
        {"system": "cbir_1", "pool_blocks": (4,)},
        {"pooling": "attention_mean"},
        {"pool_blocks": (4,)},
    ],
)
def test_a_header_that_does_not_fit_the_members_is_refused(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    system = ensemble()
    card = ModelCard(replace(OPTIONS, **wrong), HEADS, system.sample_rate, ("VGGishLogMel",))
    path = save_model(tmp_path / "model.safetensors", system, card)
    with pytest.raises(ModelFileError, match="the weights do not fit the header"):
        load_model(path)


def test_the_engine_gives_the_same_probabilities() -> None:
    system = ensemble()
    with torch.no_grad():
        wanted = system(sounds()).logits["event"].softmax(1).numpy()
    found = TorchEngine(system, HEADS)(sounds().numpy()).proba["event"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_summary_counts_the_members() -> None:
    alone = summarise(build_system(OPTIONS, HEADS), 1.0).total
    together = summarise(ensemble(), 1.0)
    part = next(one for one in together.parts if one.name == "members")
    assert part.parameters == together.total.parameters - alone.parameters > 0
    assert part.multiply_adds > 0
