from __future__ import annotations

from typing import get_args

import pytest
import torch

from sonotype.audio.clip import AudioSpec
from sonotype.config import Recipe, SystemName, SystemOptions, network_defaults
from sonotype.core.errors import OptionsError
from sonotype.core.types import Labels
from sonotype.modelfile.card import audio_spec_of
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.build import build_system
from sonotype.models.pooling import MaxPooling, MeanPooling
from sonotype.models.system import JoinedAttention, MaxOnly, SeparateAttention

LABELS = Labels(("a", "b", "c"), ("d", "e"), (0, 1))


def options(**changes: object) -> SystemOptions:
    return SystemOptions(**{"backbone": "mn01", "width": 0.125, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "pooling"),
    [
        ("cbir_1", JoinedAttention),
        ("cbir_2", SeparateAttention),
        ("cbir_3", JoinedAttention),
        ("cbir_4", MaxOnly),
    ],
)
def test_each_name_gives_its_system(name: str, pooling: type) -> None:
    system = build_system(options(system=name), LABELS)
    assert type(system.pooling) is pooling
    assert (system.category.out_features, system.event.out_features) == (3, 2)
    assert (system.branch_2 is None) == (name == "cbir_4")


def test_without_events_there_is_no_event_head() -> None:
    assert build_system(options(), Labels(("a", "b"))).event is None


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
        LABELS,
    )
    assert system.branch_2.channels == 128
    assert system.adapters == (1, 3)
    assert [attention.softmax_over for attention in system.pooling.attentions] == ["positions"] * 2
    assert system.unfreeze_from == 2
    assert (system.embedding[3].p, system.pooling.attentions[0].finish[2].p) == (0.5, 0.5)
    only = build_system(options(system="cbir_4", unfreeze_from=3, dropout=0.4), LABELS)
    assert (only.unfreeze_from, only.embedding[3].p) == (3, 0.4)
    scratch = build_system(options(system="cbir_4", backbone="none", width=0.25), LABELS)
    assert scratch.branch_1.channels == (16, 32, 64, 128)


@pytest.mark.parametrize("adapters", [(), (0,)])
def test_zero_stands_for_no_adapter(adapters: tuple[int, ...]) -> None:
    assert build_system(options(adapters=adapters), LABELS).adapters == ()


def test_zero_keeps_all_of_branch_1_frozen() -> None:
    system = build_system(options(unfreeze_from=0), LABELS)
    assert not any(parameter.requires_grad for parameter in system.branch_1.parameters())


def test_a_given_backbone_is_taken_in() -> None:
    backbone = MobileNet(width=0.1)
    weights = [parameter.clone() for parameter in backbone.parameters()]
    for name in ("cbir_1", "cbir_4"):
        system = build_system(options(system=name), LABELS, backbone)
        assert system.branch_1 is backbone
    assert all(map(torch.equal, weights, backbone.parameters()))


def test_an_unknown_backbone() -> None:
    with pytest.raises(OptionsError) as caught:
        build_system(options(backbone="mn03"), LABELS)
    assert str(caught.value) == (
        "backbone is 'mn03', not one of vggish, mn01, mn02, mn04, mn05, mn10, mn20, mn30, mn40, "
        "compact, builtin, none"
    )


def test_poolings_and_pooled_blocks_reach_the_network() -> None:
    system = build_system(options(width=0, pooling="mean", pool_blocks=(4, 2)), LABELS)
    assert [type(one) for one in system.pooling.attentions] == [MeanPooling] * 2
    assert [one.value.in_features for one in system.pooling.attentions] == [8, 96]
    assert (system.pool_blocks, system.branch_2) == ((2, 4), None)
    joined = build_system(options(system="cbir_3", pooling="max"), LABELS)
    assert type(joined.pooling.attention) is MaxPooling
    alone = build_system(options(system="cbir_4", pool_blocks=(3, 4)), LABELS)
    assert (alone.pool_blocks, alone.embedding[0].in_features) == ((3, 4), 16 + 96)


NO_EARS = "width is 0: with backbone none nothing is left to listen; give a width"
ONE_HEIGHT = "pool_blocks is for cbir_2 and cbir_4: {} joins two maps of one height"
MAXIMUM = "pooling is for cbir_1 to cbir_3: cbir_4 takes the global maximum"


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({"system": "cbir_2", "backbone": "none", "width": 0}, [NO_EARS]),
        ({"system": "cbir_1", "pool_blocks": (3, 4)}, [ONE_HEIGHT.format("cbir_1")]),
        ({"system": "cbir_3", "pool_blocks": (3,)}, [ONE_HEIGHT.format("cbir_3")]),
        ({"pool_blocks": ()}, ["pool_blocks is (), different blocks are wanted"]),
        ({"system": "cbir_4", "pooling": "mean"}, [MAXIMUM]),
        (
            {"system": "cbir_1", "backbone": "none", "width": 0, "pool_blocks": (4, 4)},
            [
                NO_EARS,
                ONE_HEIGHT.format("cbir_1"),
                "pool_blocks is (4, 4), different blocks are wanted",
            ],
        ),
        (
            {
                "system": "cbir_4",
                "backbone": "none",
                "width": 0,
                "pool_blocks": (2, 2),
                "pooling": "max",
            },
            [NO_EARS, "pool_blocks is (2, 2), different blocks are wanted", MAXIMUM],
        ),
    ],
)
def test_contradictions_are_told_all_at_once(changes: dict[str, object], texts: list[str]) -> None:
    with pytest.raises(OptionsError) as caught:
        build_system(options(**changes), LABELS)
    assert str(caught.value) == "; ".join(texts)


@pytest.mark.parametrize("recipe", get_args(Recipe))
@pytest.mark.parametrize("name", get_args(SystemName))
@pytest.mark.parametrize("backbone", ["mn01", "none"])
def test_what_a_recipe_says_never_contradicts_itself(
    recipe: Recipe, name: SystemName, backbone: str
) -> None:
    said = network_defaults(recipe, name, backbone)
    del said["category_source"]
    said.pop("backbone", None)
    if said["width"]:
        said["width"] = 0.05  # as quickly built as it can be
    system = build_system(SystemOptions(system=name, backbone=backbone, **said), LABELS)
    assert system.pool_blocks == said["pool_blocks"]
    assert (system.branch_2 is None) == (name == "cbir_4" or said["width"] == 0)


def test_the_format_of_its_clips() -> None:
    chosen = options(seconds=2.5, pad="repeat", crop="centre", trim=True)
    audio_spec = audio_spec_of(chosen, build_system(chosen, LABELS).sample_rate)
    assert audio_spec == AudioSpec(32_000, 2.5, "repeat", "centre", True)
    usual = options(backbone="vggish")
    assert audio_spec_of(usual, build_system(usual, LABELS).sample_rate) == AudioSpec(16_000)
