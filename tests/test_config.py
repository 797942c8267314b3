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
    EventOptions,
    GradientRecipe,
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
from sonotype.data.source_options import SourceOptions

KINDS = (SystemOptions, TrainOptions, SplitOptions, ScoreOptions, SourceOptions)

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
    SplitOptions(evaluation="crossfit", protocol="grouped"),
    ScoreOptions(category_source="both", tta_shifts=4, keep_known=0.99),
)


POOLINGS = "one of attention, mean, max, attention_mean, statistics"


def message(options: Any) -> str:
    with pytest.raises(OptionsError) as caught:
        check(options)
    return str(caught.value)


# Checks


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_valid(kind: type) -> None:
    check(kind())


@pytest.mark.parametrize("options", UNUSUAL)
def test_other_values_are_valid(options: Any) -> None:
    check(options)


@pytest.mark.parametrize(
    ("kind", "name", "value", "rule"),
    [
        (SystemOptions, "system", "cbir_5", "one of cbir_1, cbir_2, cbir_3, cbir_4"),
        (SystemOptions, "width", -0.5, "at least 0"),
        (SystemOptions, "width", 4.5, "at most 4"),
        (SystemOptions, "width", True, "of type float"),
        (SystemOptions, "width", "1", "of type float"),
        (SystemOptions, "width", None, "of type float"),
        (SystemOptions, "width", float("nan"), "finite"),
        (SystemOptions, "seconds", float("inf"), "finite"),
        (SystemOptions, "adapters", (5,), "at most 4"),
        (SystemOptions, "adapters", (4, -1), "at least 0"),
        (SystemOptions, "adapters", (1.5,), "of type int"),
        (SystemOptions, "adapters", 4, "a list"),
        (SystemOptions, "adapters", [4], "a list"),
        (SystemOptions, "pooling", "median", POOLINGS),
        (SystemOptions, "pool_blocks", (4, 0), "at least 1"),
        (SystemOptions, "pool_blocks", (5,), "at most 4"),
        (SystemOptions, "event_head", 0, "of type bool"),
        (SystemOptions, "unfreeze_from", 1.0, "of type int"),
        (SystemOptions, "unfreeze_from", True, "of type int"),
        (SystemOptions, "unfreeze_from", 9, "at most 4"),
        (SystemOptions, "trim", 1, "of type bool"),
        (SystemOptions, "backbone", 4, "of type str"),
        (SystemOptions, "pad", "left", "one of centre, start, repeat"),
        (SystemOptions, "crop", "random", "one of front, centre"),
        (TrainOptions, "epochs", 0, "at least 1"),
        (TrainOptions, "batch_size", 1, "at least 2"),
        (TrainOptions, "epochs", 2.0, "of type int"),
        (TrainOptions, "label_smoothing", 1.5, "at most 1"),
        (TrainOptions, "schedule", "warm", "one of constant, cosine"),
        (TrainOptions, "recipe", None, "one of auto, linear, modern, paper, student"),
        (TrainOptions, "seed", -1, "at least 0"),
        (TrainOptions, "seed", 2**32, "at most 4294967295"),
        (TrainOptions, "device", "tpu", "one of auto, cpu, cuda, mps"),
        (TrainOptions, "min_steps", -1, "at least 0"),
        (TrainOptions, "backbone_lr_scale", 1.5, "at most 1"),
        (TrainOptions, "backbone_lr_scale", -0.1, "at least 0"),
        (TrainOptions, "ema_decay", 1.0, "at most 0.9999"),
        (TrainOptions, "ema_decay", -0.1, "at least 0"),
        (TrainOptions, "checkpoint", "first", "one of best, last"),
        (SplitOptions, "select_on", "train", "one of val, test"),
        (EventOptions, "median", 1e9, "at most 600"),
        (EventOptions, "step", 601.0, "at most 600"),
        (EventOptions, "max_length", 1e300, "at most 1000000"),
        (ScoreOptions, "tta_shifts", 0, "at least 1"),
        (ScoreOptions, "tta_shifts", 17, "at most 16"),
        (ScoreOptions, "tta_shifts", 2.0, "of type int"),
        (ScoreOptions, "keep_known", 1.0, "at most 0.999"),
        (ScoreOptions, "keep_known", 0.4, "at least 0.6"),
        (SplitOptions, "evaluation", "folds", "one of auto, crossfit, holdout, none"),
        (SplitOptions, "test_fraction", 0, "at least 0.01"),
        (SplitOptions, "train_folds", ("1",), "of type int"),
        (ScoreOptions, "category_source", "stars", "one of head, events, both"),
        (SourceOptions, "label_set", "esc10", "one of esc50, msos"),
        (SourceOptions, "rare_events", "drop", "one of error, unlabel"),
    ],
)
def test_an_error_has_name_rule_and_value(kind: type, name: str, value: Any, rule: str) -> None:
    assert message(kind(**{name: value})) == f"{name} must be {rule}, got {value!r}"


def test_limits_are_inclusive() -> None:
    check(SystemOptions(width=0, adapters=(0, 4), pool_blocks=(1, 4), dropout=0.95, seconds=60))
    check(SystemOptions(width=4, dropout=0, seconds=1))
    check(TrainOptions(seed=2**32 - 1, backbone_lr_scale=0, ema_decay=0.9999))
    check(TrainOptions(backbone_lr_scale=1, ema_decay=0))
    check(ScoreOptions(tta_shifts=16))


def test_all_invalid_values_are_reported_at_once() -> None:
    options = SystemOptions(system="x", width=-1, adapters=(9,), trim=None)  # type: ignore[arg-type]
    found = [part.partition(" must be ")[0] for part in message(options).split("; ")]
    assert found == ["system", "width", "adapters", "trim"]


# To JSON and back


@pytest.mark.parametrize("options", [*(kind() for kind in KINDS), *UNUSUAL])
def test_options_survive_json(options: Any) -> None:
    values = json.loads(json.dumps(to_dict(options)))
    assert from_dict(type(options), values) == options


def test_tuples_are_lists_in_json() -> None:
    assert to_dict(SystemOptions(adapters=(1, 2)))["adapters"] == [1, 2]
    assert from_dict(SystemOptions, {"adapters": []}).adapters == ()
    assert from_dict(SplitOptions, {"train_folds": [1, 2]}).train_folds == (1, 2)


def test_missing_fields_have_their_defaults() -> None:
    assert from_dict(SystemOptions, {}) == SystemOptions()
    assert from_dict(TrainOptions, {"seed": 3}) == TrainOptions(seed=3)


def test_unknown_names_and_invalid_values_are_reported_together() -> None:
    with pytest.raises(OptionsError) as caught:
        from_dict(ScoreOptions, {"category_source": "stars", "colour": 1, "category": 2})
    text = str(caught.value)
    assert "category_source must be one of head, events, both" in text
    assert (
        "unknown options category, colour; known options: category_source, keep_known, "
        "threshold_target, thresholds, tta_shifts" in text
    )


# Recipes


@pytest.mark.parametrize("system", ["cbir_1", "cbir_2", "cbir_3", "cbir_4"])
@pytest.mark.parametrize("recipe", get_args(GradientRecipe))
def test_a_recipe_fills_unset_fields(recipe: GradientRecipe, system: str) -> None:
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


@pytest.mark.parametrize("recipe", get_args(GradientRecipe))
def test_set_fields_have_priority(recipe: GradientRecipe) -> None:
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
    mixing = TrainOptions(recipe=recipe, mix_same_class=True)
    assert resolve(mixing, "cbir_1").mix_same_class is True


@pytest.mark.parametrize("recipe", ["auto", "linear"])
def test_linear_heads_have_no_settings_of_gradient_training(recipe: Recipe) -> None:
    """They learn from all clips that are not test clips."""
    chosen = TrainOptions(recipe=recipe, seed=3, class_weights=True)
    resolved = resolve(chosen, "cbir_2")
    assert resolved == replace(chosen, checkpoint="last")
    settings = [*RECIPES["modern"], "mix_same_class"]
    assert {getattr(resolved, name) for name in settings} == {None}


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
def test_min_steps_of_a_recipe_does_not_extend_set_epochs(
    given: dict[str, Any], epochs: int, min_steps: int
) -> None:
    resolved = resolve(TrainOptions(**{"recipe": "modern", **given}), "cbir_2")
    assert (resolved.epochs, resolved.min_steps) == (epochs, min_steps)


def test_resolving_twice_changes_nothing() -> None:
    modern = TrainOptions(recipe="modern")
    for given in (TrainOptions(), modern, replace(modern, epochs=2), replace(modern, min_steps=7)):
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


def test_all_recipes_set_the_same_fields() -> None:
    names = {item.name for item in fields(TrainOptions) if item.default is None}
    assert set(RECIPES) == set(get_args(GradientRecipe))
    for recipe in RECIPES.values():
        assert set(recipe) == names - {"mix_same_class"}


def test_network_defaults_are_valid() -> None:
    assert {*NETWORKS, "auto"} == set(get_args(Recipe))
    score_names = {item.name for item in fields(ScoreOptions)}
    for recipe, network in NETWORKS.items():
        more = {"linear": ["seconds", "tta_shifts"], "student": ["backbone"]}.get(recipe, [])
        assert set(network) == {*NETWORKS["paper"], *more}
        own = {name: value for name, value in network.items() if name not in score_names}
        check(SystemOptions(**own))
        own = {name: value for name, value in network.items() if name in score_names}
        check(ScoreOptions(**own))
    # Fields that a model file lacks have the values of the paper.
    defaults = to_dict(SystemOptions()) | to_dict(ScoreOptions())
    for name, value in NETWORKS["paper"].items():
        assert defaults[name] == (list(value) if isinstance(value, tuple) else value), name


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
def test_network_defaults_of_a_system_and_backbone(
    system: str, backbone: str, changed: dict[str, Any]
) -> None:
    modern = network_defaults("modern", system, backbone)
    assert modern == NETWORKS["modern"] | changed
    assert network_defaults("paper", system, backbone) == NETWORKS["paper"]


def test_the_type_of_an_optional_field() -> None:
    assert without_none(int | None) is int
    assert without_none(float) is float
    assert without_none(tuple[int, ...]) == tuple[int, ...]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_a_help_text(kind: type) -> None:
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
