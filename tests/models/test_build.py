from __future__ import annotations

import dataclasses
from itertools import product
from typing import get_args

import pytest
import torch
from heads import two_heads

from sonotype.audio.clip import AudioSpec
from sonotype.config import GradientRecipe, SystemName, SystemOptions, network_defaults
from sonotype.core.errors import OptionsError
from sonotype.core.types import Head
from sonotype.experiments.run_options import RunOptions
from sonotype.modelfile.card import audio_spec_of
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.build import build_system
from sonotype.models.fusion import JoinedPooling, SeparatePooling
from sonotype.models.pooling import MaxPooling, MeanPooling
from sonotype.models.statistics import STATISTICS, GlobalMaxPooling, StandardisedFeatures
from sonotype.models.system import System

HEADS = two_heads(("a", "b", "c"), ("d", "e"), (0, 1))


def options(**changes: object) -> SystemOptions:
    return SystemOptions(**{"backbone": "mn01", "width": 0.125, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "fusion"),
    [
        ("cbir_1", JoinedPooling),
        ("cbir_2", SeparatePooling),
        ("cbir_3", JoinedPooling),
        ("cbir_4", SeparatePooling),
    ],
)
def test_each_name_gives_its_system(name: str, fusion: type) -> None:
    system = build_system(options(system=name), HEADS)
    assert type(system.pooling) is fusion
    assert (
        system.classifiers["category"].out_features,
        system.classifiers["event"].out_features,
    ) == (3, 2)
    assert (system.branch_2 is None) == (name == "cbir_4")
    if name == "cbir_4":
        assert [type(pooling) for pooling in system.pooling.attentions] == [GlobalMaxPooling]


def test_without_events_there_is_no_event_head() -> None:
    assert set(build_system(options(), two_heads(("a", "b"))).classifiers) == {"category"}


@pytest.mark.parametrize("name", ["type", "keys", "training"])
def test_a_head_cannot_have_the_name_of_an_attribute(name: str) -> None:
    with pytest.raises(OptionsError, match=f"a head cannot be named '{name}'"):
        build_system(options(), (Head(name, ("a", "b")),))


def test_options_reach_the_network() -> None:
    system = build_system(
        options(
            system="cbir_2",
            width=0.25,
            adapters=(3, 1, 3),
            softmax_over="positions",
            unfreeze_from=2,
            dropout=0.5,
        ),
        HEADS,
    )
    assert system.branch_2.channels == 128
    assert system.adapters == (1, 3)
    assert [attention.softmax_over for attention in system.pooling.attentions] == ["positions"] * 2
    assert system.unfreeze_from == 2
    assert (system.embedding[3].p, system.pooling.attentions[0].finish[2].p) == (0.5, 0.5)
    only = build_system(options(system="cbir_4", unfreeze_from=3, dropout=0.4), HEADS)
    assert (only.unfreeze_from, only.embedding[3].p) == (3, 0.4)
    scratch = build_system(options(system="cbir_4", backbone="none", width=0.25), HEADS)
    assert scratch.branch_1.channels == (16, 32, 64, 128)


@pytest.mark.parametrize("adapters", [(), (0,)])
def test_adapter_0_means_none(adapters: tuple[int, ...]) -> None:
    assert build_system(options(adapters=adapters), HEADS).adapters == ()


def test_unfreeze_from_0_keeps_branch_1_frozen() -> None:
    system = build_system(options(unfreeze_from=0), HEADS)
    assert not any(parameter.requires_grad for parameter in system.branch_1.parameters())


def test_a_given_backbone_becomes_branch_1() -> None:
    backbone = MobileNet(width=0.1)
    weights = [parameter.clone() for parameter in backbone.parameters()]
    for name in ("cbir_1", "cbir_4"):
        system = build_system(options(system=name), HEADS, backbone)
        assert system.branch_1 is backbone
    assert all(map(torch.equal, weights, backbone.parameters()))


def test_an_unknown_backbone() -> None:
    with pytest.raises(OptionsError, match=r"backbone is 'mn03', not one of vggish, mn01, .* none"):
        build_system(options(backbone="mn03"), HEADS)


def test_poolings_and_pooled_blocks_reach_the_network() -> None:
    system = build_system(options(width=0, pooling="mean", pool_blocks=(4, 2)), HEADS)
    assert [type(one) for one in system.pooling.attentions] == [MeanPooling] * 2
    assert [one.value.in_features for one in system.pooling.attentions] == [8, 96]
    assert (system.pool_blocks, system.branch_2) == ((2, 4), None)
    joined = build_system(options(system="cbir_3", pooling="max"), HEADS)
    assert type(joined.pooling.attention) is MaxPooling
    alone = build_system(options(system="cbir_4", pool_blocks=(3, 4)), HEADS)
    assert (alone.pool_blocks, alone.embedding[0].in_features) == ((3, 4), 16 + 96)


NO_BRANCH = "width is 0 with backbone none"
TWO_BRANCH_SYSTEMS = "pool_blocks is for cbir_2 and cbir_4"
MAXIMUM = "pooling is for cbir_1 to cbir_3"


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"system": "cbir_2", "backbone": "none", "width": 0}, [NO_BRANCH]),
        ({"system": "cbir_1", "pool_blocks": (3, 4)}, [TWO_BRANCH_SYSTEMS]),
        ({"system": "cbir_3", "pool_blocks": (3,)}, [TWO_BRANCH_SYSTEMS]),
        ({"pool_blocks": ()}, ["pool_blocks is ()"]),
        ({"system": "cbir_4", "pooling": "mean"}, [MAXIMUM]),
        (
            {"system": "cbir_1", "backbone": "none", "width": 0, "pool_blocks": (4, 4)},
            [NO_BRANCH, TWO_BRANCH_SYSTEMS, "pool_blocks is (4, 4)"],
        ),
        (
            {
                "system": "cbir_4",
                "backbone": "none",
                "width": 0,
                "pool_blocks": (2, 2),
                "pooling": "max",
            },
            [NO_BRANCH, "pool_blocks is (2, 2)", MAXIMUM],
        ),
    ],
)
def test_all_contradictions_are_reported(changes: dict[str, object], facts: list[str]) -> None:
    with pytest.raises(OptionsError) as caught:
        build_system(options(**changes), HEADS)
    issues = str(caught.value).split("; ")
    assert len(issues) == len(facts)
    assert all(issue.startswith(fact) for issue, fact in zip(issues, facts, strict=True))


@pytest.mark.parametrize(
    ("recipe", "name", "backbone"),
    [
        *product(get_args(GradientRecipe), get_args(SystemName), ["mn01", "none"]),
        ("linear", "cbir_2", "mn01"),  # linear heads have no other system
    ],
)
def test_the_defaults_of_a_recipe_never_contradict_each_other(
    recipe: str, name: SystemName, backbone: str
) -> None:
    defaults = network_defaults(recipe, name, backbone)
    for of_others in ("category_source", "tta_shifts", "backbone"):
        defaults.pop(of_others, None)
    if defaults["width"]:
        defaults["width"] = 0.05  # as quickly built as it can be
    system = build_system(SystemOptions(system=name, backbone=backbone, **defaults), HEADS)
    assert system.pool_blocks == defaults["pool_blocks"]
    assert (system.branch_2 is None) == (name == "cbir_4" or defaults["width"] == 0)


def test_the_audio_spec() -> None:
    chosen = options(seconds=2.5, pad="repeat", crop="centre", trim=True)
    audio_spec = audio_spec_of(chosen, build_system(chosen, HEADS).sample_rate)
    assert audio_spec == AudioSpec(32_000, 2.5, "repeat", "centre", True)
    usual = options(backbone="vggish")
    assert audio_spec_of(usual, build_system(usual, HEADS).sample_rate) == AudioSpec(16_000)


# Linear heads


def linear(**changes: object) -> System:
    return build_system(options(width=0.0, pooling="statistics", **changes), HEADS)


@pytest.mark.parametrize(
    ("changes", "blocks"),
    [({}, (4,)), ({"pool_blocks": (3, 4)}, (3, 4)), ({"system": "cbir_1"}, (4,))],
)
def test_the_embedding_of_statistics_has_a_value_for_each_channel_and_statistic(
    changes: dict[str, object], blocks: tuple[int, ...]
) -> None:
    system = linear(**changes)
    channels = [system.branch_1.channels[block - 1] for block in blocks]
    assert system.embedding_size == system.pooling.features == len(STATISTICS) * sum(channels)
    assert isinstance(system.embedding, StandardisedFeatures)
    kinds = [type(pooling) for pooling, _ in system.pooling.reductions()]
    assert kinds == list(STATISTICS) * len(blocks)
    trained = {name for name, one in system.named_parameters() if one.requires_grad}
    assert trained == {f"classifiers.{h.name}.{part}" for h in HEADS for part in ("weight", "bias")}


def test_linear_heads_are_for_one_pretrained_branch() -> None:
    """The other systems and backbones are refused by the options of a run."""
    chosen = RunOptions.of({"recipe": "linear", "backbone": "mn01"}).system
    system = build_system(chosen, HEADS)
    assert (system.pool_blocks, system.branch_2) == ((3, 4), None)
    assert isinstance(system.embedding, StandardisedFeatures)
    assert not [weight for weight in system.branch_1.parameters() if weight.requires_grad]
    for changed in ({"system": "cbir_1"}, {"system": "cbir_4"}, {"backbone": "none"}):
        with pytest.raises(OptionsError, match="cannot be set with the recipe linear"):
            RunOptions.of({"recipe": "linear", **changed})
    for changed in ({"width": 0.5}, {"unfreeze_from": 4}):
        with pytest.raises(OptionsError, match="pooling statistics is for a frozen branch 1"):
            build_system(dataclasses.replace(chosen, **changed), HEADS)
