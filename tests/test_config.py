from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any, get_args

import pytest

from sonotype.config import (
    NETWORKS,
    RECIPES,
    Recipe,
    ScoreOptions,
    SplitOptions,
    SystemOptions,
    TrainOptions,
    check,
    from_dict,
    network_defaults,
    resolve,
    to_dict,
    without_none,
)
from sonotype.core.errors import OptionsError

KINDS = (SystemOptions, TrainOptions, SplitOptions, ScoreOptions)

UNUSUAL = (
    SystemOptions(
        system="cbir_3",
        backbone="vggish",
        width=0.5,
        adapters=(1, 3),
        softmax_over="positions",
        pooling="attention_mean",
        pool_blocks=(2, 4),
        event_head=False,
        unfreeze_from=4,
        dropout=0,
        seconds=2.5,
        pad="repeat",
        crop="centre",
        trim=True,
    ),
    TrainOptions(recipe="paper", epochs=3, mixup=0.0, mix_same_class=True, seed=7, precision="32"),
    TrainOptions(backbone_lr_scale=0.1, ema_decay=0.99, checkpoint="last"),
    SplitOptions(protocol="folds", train_folds=(1, 2), val_folds=(3,), test_folds=(4,)),
    SplitOptions(select_on="test"),
    ScoreOptions(category_source="both", tta_shifts=4),
)


def complaint(options: Any) -> str:
    with pytest.raises(OptionsError) as caught:
        check(options)
    return str(caught.value)


# One kind of fault after the other


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_without_asking_is_right(kind: type) -> None:
    check(kind())


@pytest.mark.parametrize("options", UNUSUAL)
def test_what_may_be_asked_for_is_right(options: Any) -> None:
    check(options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            SystemOptions(system="cbir_5"),  # type: ignore[arg-type]
            "system is 'cbir_5', not one of cbir_1, cbir_2, cbir_3, cbir_4",
        ),
        (SystemOptions(width=-0.5), "width is -0.5, at least 0 is wanted"),
        (SystemOptions(width=4.5), "width is 4.5, at most 4 is wanted"),
        (SystemOptions(width=True), "width is True, not of type float"),
        (SystemOptions(width="1"), "width is '1', not of type float"),  # type: ignore[arg-type]
        (SystemOptions(width=None), "width is None, not of type float"),  # type: ignore[arg-type]
        (SystemOptions(width=float("nan")), "width is nan, not a finite number"),
        (SystemOptions(seconds=float("inf")), "seconds is inf, not a finite number"),
        (SystemOptions(adapters=(5,)), "adapters is (5,), at most 4 is wanted"),
        (SystemOptions(adapters=(4, -1)), "adapters is (4, -1), at least 0 is wanted"),
        (SystemOptions(adapters=(1.5,)), "adapters is (1.5,), not of type int"),  # type: ignore[arg-type]
        (SystemOptions(adapters=4), "adapters is 4, not a list"),  # type: ignore[arg-type]
        (SystemOptions(adapters=[4]), "adapters is [4], not a list"),  # type: ignore[arg-type]
        (
            SystemOptions(pooling="median"),  # type: ignore[arg-type]
            "pooling is 'median', not one of attention, mean, max, attention_mean",
        ),
        (SystemOptions(pool_blocks=(4, 0)), "pool_blocks is (4, 0), at least 1 is wanted"),
        (SystemOptions(pool_blocks=(5,)), "pool_blocks is (5,), at most 4 is wanted"),
        (SystemOptions(event_head=0), "event_head is 0, not of type bool"),  # type: ignore[arg-type]
        (SystemOptions(unfreeze_from=1.0), "unfreeze_from is 1.0, not of type int"),  # type: ignore[arg-type]
        (SystemOptions(unfreeze_from=True), "unfreeze_from is True, not of type int"),
        (SystemOptions(unfreeze_from=9), "unfreeze_from is 9, at most 4 is wanted"),
        (SystemOptions(trim=1), "trim is 1, not of type bool"),  # type: ignore[arg-type]
        (SystemOptions(backbone=4), "backbone is 4, not of type str"),  # type: ignore[arg-type]
        (SystemOptions(pad="left"), "pad is 'left', not one of centre, start, repeat"),  # type: ignore[arg-type]
        (SystemOptions(crop="random"), "crop is 'random', not one of front, centre"),  # type: ignore[arg-type]
        (TrainOptions(epochs=0), "epochs is 0, at least 1 is wanted"),
        (TrainOptions(batch_size=1), "batch_size is 1, at least 2 is wanted"),
        (TrainOptions(epochs=2.0), "epochs is 2.0, not of type int"),  # type: ignore[arg-type]
        (
            TrainOptions(label_smoothing=1.5),
            "label_smoothing is 1.5, at most 1 is wanted",
        ),
        (TrainOptions(schedule="warm"), "schedule is 'warm', not one of constant, cosine"),  # type: ignore[arg-type]
        (TrainOptions(recipe=None), "recipe is None, not one of paper, modern, student"),  # type: ignore[arg-type]
        (TrainOptions(seed=-1), "seed is -1, at least 0 is wanted"),
        (TrainOptions(seed=2**32), "seed is 4294967296, at most 4294967295 is wanted"),
        (
            TrainOptions(device="tpu"),  # type: ignore[arg-type]
            "device is 'tpu', not one of auto, cpu, cuda, mps",
        ),
        (TrainOptions(min_steps=-1), "min_steps is -1, at least 0 is wanted"),
        (TrainOptions(backbone_lr_scale=1.5), "backbone_lr_scale is 1.5, at most 1 is wanted"),
        (TrainOptions(backbone_lr_scale=-0.1), "backbone_lr_scale is -0.1, at least 0 is wanted"),
        (TrainOptions(ema_decay=1.0), "ema_decay is 1.0, at most 0.9999 is wanted"),
        (TrainOptions(ema_decay=-0.1), "ema_decay is -0.1, at least 0 is wanted"),
        (TrainOptions(checkpoint="first"), "checkpoint is 'first', not one of best, last"),  # type: ignore[arg-type]
        (SplitOptions(select_on="train"), "select_on is 'train', not one of val, test"),  # type: ignore[arg-type]
        (ScoreOptions(tta_shifts=0), "shifts is 0, at least 1 is wanted"),
        (ScoreOptions(tta_shifts=17), "shifts is 17, at most 16 is wanted"),
        (ScoreOptions(tta_shifts=2.0), "shifts is 2.0, not of type int"),  # type: ignore[arg-type]
        (SplitOptions(test_fraction=0), "test_fraction is 0, at least 0.01 is wanted"),
        (SplitOptions(train_folds=("1",)), "train_folds is ('1',), not of type int"),  # type: ignore[arg-type]
        (
            ScoreOptions(category_source="stars"),  # type: ignore[arg-type]
            "category_source is 'stars', not one of head, events, both",
        ),
    ],
)
def test_each_kind_of_fault_has_its_sentence(options: Any, text: str) -> None:
    assert complaint(options) == text


def test_limits_themselves_are_allowed() -> None:
    check(SystemOptions(width=0, adapters=(0, 4), pool_blocks=(1, 4), dropout=0.95, seconds=60))
    check(SystemOptions(width=4, dropout=0, seconds=1))
    check(TrainOptions(seed=2**32 - 1, backbone_lr_scale=0, ema_decay=0.9999))
    check(TrainOptions(backbone_lr_scale=1, ema_decay=0))
    check(ScoreOptions(tta_shifts=16))


def test_all_faults_are_named_at_once() -> None:
    options = SystemOptions(system="x", width=-1, adapters=(9,), trim=None)  # type: ignore[arg-type]
    assert complaint(options) == (
        "system is 'x', not one of cbir_1, cbir_2, cbir_3, cbir_4; "
        "width is -1, at least 0 is wanted; "
        "adapters is (9,), at most 4 is wanted; "
        "trim is None, not of type bool"
    )


# To JSON and back


@pytest.mark.parametrize("options", [*(kind() for kind in KINDS), *UNUSUAL])
def test_options_come_back_from_json(options: Any) -> None:
    values = json.loads(json.dumps(to_dict(options)))
    assert from_dict(type(options), values) == options


def test_lists_stand_for_tuples() -> None:
    assert to_dict(SystemOptions(adapters=(1, 2)))["adapters"] == [1, 2]
    assert from_dict(SystemOptions, {"adapters": []}).adapters == ()
    assert from_dict(SplitOptions, {"train_folds": [1, 2]}).train_folds == (1, 2)


def test_what_is_not_said_is_as_usual() -> None:
    assert from_dict(SystemOptions, {}) == SystemOptions()
    assert from_dict(TrainOptions, {"seed": 3}) == TrainOptions(seed=3)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(OptionsError) as caught:
        from_dict(ScoreOptions, {"colour": 1, "category": 2})
    assert str(caught.value) == "unknown options category, colour; category_source, shifts exist"


def test_unknown_names_and_wrong_values_are_named_together() -> None:
    with pytest.raises(OptionsError) as caught:
        from_dict(ScoreOptions, {"category_source": "stars", "colour": 1})
    assert str(caught.value) == (
        "category_source is 'stars', not one of head, events, both; "
        "unknown options colour; category_source, shifts exist"
    )


# Recipes


@pytest.mark.parametrize("system", ["cbir_1", "cbir_2", "cbir_3", "cbir_4"])
@pytest.mark.parametrize("recipe", get_args(Recipe))
def test_a_recipe_fills_what_is_not_set(recipe: Recipe, system: str) -> None:
    resolved = resolve(TrainOptions(recipe=recipe), system)
    check(resolved)
    for item in fields(TrainOptions):
        value = getattr(resolved, item.name)
        if item.name in RECIPES[recipe]:
            assert value == RECIPES[recipe][item.name]
        elif item.name == "mix_same_class":
            assert value is (system == "cbir_3")
        elif item.name != "recipe":
            assert value == item.default
    assert not [item.name for item in fields(resolved) if getattr(resolved, item.name) is None]


@pytest.mark.parametrize("recipe", get_args(Recipe))
def test_what_is_set_stands(recipe: Recipe) -> None:
    mine = TrainOptions(recipe=recipe, epochs=3, mixup=0.0, mix_same_class=False, n_augmented=0)
    resolved = resolve(mine, "cbir_3")
    assert (resolved.epochs, resolved.mixup, resolved.n_augmented) == (3, 0.0, 0)
    assert resolved.mix_same_class is False
    assert (
        replace(
            resolve(TrainOptions(recipe=recipe), "cbir_1"),
            epochs=3, min_steps=0, mixup=0.0, n_augmented=0,
        )
        == resolved
    )  # fmt: skip
    assert resolve(TrainOptions(mix_same_class=True), "cbir_1").mix_same_class is True


@pytest.mark.parametrize(
    ("given", "epochs", "min_steps"),
    [
        ({}, 40, 400),
        ({"epochs": 2}, 2, 0),
        ({"epochs": 40}, 40, 0),
        ({"min_steps": 500}, 40, 500),
        ({"min_steps": 0}, 40, 0),
        ({"epochs": 2, "min_steps": 500}, 2, 500),
        ({"epochs": 2, "min_steps": 0}, 2, 0),
        ({"recipe": "student"}, 150, 2000),
        ({"recipe": "student", "epochs": 2}, 2, 0),
        ({"recipe": "paper", "epochs": 2}, 2, 0),
    ],
)
def test_epochs_that_are_set_are_not_stretched(
    given: dict[str, Any], epochs: int, min_steps: int
) -> None:
    resolved = resolve(TrainOptions(**given), "cbir_2")
    assert (resolved.epochs, resolved.min_steps) == (epochs, min_steps)


def test_resolving_twice_changes_nothing() -> None:
    for given in (TrainOptions(), TrainOptions(epochs=2), TrainOptions(min_steps=7)):
        once = resolve(given, "cbir_3")
        assert resolve(once, "cbir_3") == once


def test_the_papers_settings() -> None:
    paper = resolve(TrainOptions(recipe="paper"), "cbir_2")
    assert (paper.epochs, paper.batch_size, paper.learning_rate) == (50, 32, 1e-3)
    assert (paper.weight_decay, paper.schedule, paper.event_weight) == (0.0, "constant", 1.0)
    assert (paper.mixup, paper.time_mask, paper.frequency_mask, paper.time_shift, paper.gain) == (
        0,
    ) * 5
    assert (paper.label_smoothing, paper.mix_same_class) == (0.0, False)
    assert paper.mix_equaliser == 10.0


def test_recipes_set_the_same_fields_which_exist() -> None:
    names = {item.name for item in fields(TrainOptions) if item.default is None}
    for recipe in get_args(Recipe):
        assert set(RECIPES[recipe]) == names - {"mix_same_class"}


def test_networks_set_the_same_fields_to_what_is_allowed() -> None:
    for recipe in get_args(Recipe):
        network = NETWORKS[recipe]
        own = {name: value for name, value in network.items() if name != "backbone"}
        assert list(own) == list(NETWORKS["paper"])
        own = {name: value for name, value in network.items() if name != "category_source"}
        check(SystemOptions(**own))
        check(ScoreOptions(category_source=network["category_source"]))
    # What a model file does not say, it was made with: the paper's network.
    usual = to_dict(SystemOptions()) | to_dict(ScoreOptions())
    for name, value in NETWORKS["paper"].items():
        assert usual[name] == (list(value) if isinstance(value, tuple) else value), name


@pytest.mark.parametrize(
    ("system", "backbone", "changed"),
    [
        ("cbir_2", "mn01", {}),
        ("cbir_2", "none", {"width": 1.0}),
        ("cbir_1", "mn01", {"width": 1.0, "pool_blocks": (4,)}),
        ("cbir_3", "none", {"width": 1.0, "pool_blocks": (4,)}),
        ("cbir_4", "mn01", {"pooling": "attention"}),
        ("cbir_4", "none", {"width": 1.0, "pooling": "attention"}),
    ],
)
def test_a_recipes_network_as_far_as_it_can_hold(
    system: str, backbone: str, changed: dict[str, Any]
) -> None:
    modern = network_defaults("modern", system, backbone)
    assert modern == NETWORKS["modern"] | changed
    assert network_defaults("paper", system, backbone) == NETWORKS["paper"]


def test_the_type_of_an_optional_field() -> None:
    assert without_none(int | None) is int
    assert without_none(float) is float
    assert without_none(tuple[int, ...]) == tuple[int, ...]


# What the command line is made of


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_its_help(kind: type) -> None:
    for item in fields(kind):
        assert len(item.metadata["help"]) > 5, item.name


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, sonotype.config, sonotype.core.errors, sonotype.core.types;"
        "import sonotype.core.hierarchy;"
        "print(*{'torch', 'numpy', 'pandas', 'soundfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
