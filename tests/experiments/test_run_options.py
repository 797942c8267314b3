"""All options of a run: defaults of the recipes, and errors."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from sonotype.config import NETWORKS, ScoreOptions, SystemOptions, TrainOptions, resolve
from sonotype.core.errors import OptionsError
from sonotype.experiments.run_options import GRADIENT, RunOptions, evaluation_of, recipe_of
from sonotype.training.sources import augmentation


def test_unknown_and_invalid_options_of_all_classes_are_reported_together() -> None:
    values = {"epochs": 0, "recipe": "newer", "width": 9, "test_fraction": 2, "sytem": "cbir_1"}
    with pytest.raises(OptionsError) as caught:
        RunOptions.of(values)
    for fact in (
        "recipe must be one of auto, linear, modern, paper, student, got 'newer'",
        "epochs must be at least 1, got 0",
        "width must be at most 4, got 9",
        "test_fraction must be at most 0.9, got 2",
        "unknown options sytem; known options: adapters, ",
    ):
        assert fact in str(caught.value)


def test_a_run_that_was_started_with_more_steps_keeps_them() -> None:
    started = RunOptions.of({"recipe": "modern"}).flat() | {"epochs": 2, "min_steps": 400}
    assert RunOptions.of(started).train.min_steps == 400


SCORED = {field.name for field in dataclasses.fields(ScoreOptions)}


@pytest.mark.parametrize("recipe", ["linear", "modern"])
def test_a_recipe_has_defaults_of_the_network(recipe: str) -> None:
    made = RunOptions.of({"recipe": recipe})
    defaults = NETWORKS[recipe]
    network = {name: value for name, value in defaults.items() if name not in SCORED}
    assert made.system == SystemOptions(**network)
    scored = {name: value for name, value in defaults.items() if name in SCORED}
    assert made.score == ScoreOptions(**scored)
    assert RunOptions.of(made.flat()) == made


def test_the_users_options_have_priority_over_the_recipe() -> None:
    paper = RunOptions.of({"recipe": "paper"})
    assert (paper.system, paper.score) == (SystemOptions(), ScoreOptions())
    mine = {"width": 0.5, "pooling": "max", "pool_blocks": [2], "category_source": "both"}
    chosen = RunOptions.of(mine)
    assert chosen.system == SystemOptions(width=0.5, pooling="max", pool_blocks=(2,))
    assert chosen.score == ScoreOptions(category_source="both")
    assert RunOptions.of({"system": "cbir_1"}).system == SystemOptions(
        system="cbir_1", pooling="attention_mean"
    )
    linear = RunOptions.of({"pool_blocks": [4], "tta_shifts": 5, "backbone": "mn10"})
    assert linear.train.recipe == "linear"
    assert linear.system.pool_blocks == (4,)
    assert linear.score == ScoreOptions(category_source="events", tta_shifts=5)


# The recipe


@pytest.mark.parametrize(
    ("values", "recipe"),
    [
        ({}, "linear"),
        ({"recipe": "auto"}, "linear"),
        ({"seed": 3, "device": "cpu", "class_weights": True, "cache_gb": 2.0}, "linear"),
        ({"seconds": 2.0, "backbone": "mn04", "pool_blocks": [3], "tta_shifts": 1}, "linear"),
        ({"keep_known": 0.9, "evaluation": "holdout", "test_fraction": 0.3}, "linear"),
        ({"epochs": 5}, "modern"),
        ({"recipe": "auto", "learning_rate": 1e-3}, "modern"),
        ({"system": "cbir_1"}, "modern"),
        ({"width": 0.5}, "modern"),
        ({"select_on": "test"}, "modern"),
        ({"teachers": ["m.safetensors"]}, "modern"),
        ({"backbone": "compact"}, "modern"),
        ({"backbone": "none"}, "modern"),
        ({"recipe": "paper", "epochs": 5}, "paper"),
        ({"recipe": "linear", "epochs": 5}, "linear"),
        ({"recipe": "student"}, "student"),
    ],
)
def test_auto_is_linear_unless_an_option_needs_gradients(
    values: dict[str, Any], recipe: str
) -> None:
    assert recipe_of(values) == recipe
    if not (recipe == "linear" and "epochs" in values):
        made = RunOptions.of(values)
        assert made.train.recipe == recipe
        assert RunOptions.of(made.flat()) == made, "a resumed run has the same recipe"
        assert RunOptions.of(json.loads(json.dumps(made.flat()))) == made


def test_every_option_of_gradient_training_exists() -> None:
    assert RunOptions.of({}).flat().keys() >= GRADIENT


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"epochs": 5}, "epochs"),
        ({"epochs": 5, "mixup": 0.2, "width": 0.5}, "epochs, mixup, width"),
        ({"unfreeze_from": 3, "pooling": "mean"}, "pooling, unfreeze_from"),
        ({"backbone": "compact"}, "backbone compact, unfreeze_from"),
        ({"teachers": ["m.safetensors"]}, "teachers"),
        ({"random_crop": True, "select_on": "test"}, "random_crop, select_on"),
    ],
)
def test_options_that_linear_heads_do_not_have_are_named(
    values: dict[str, Any], names: str
) -> None:
    with pytest.raises(OptionsError) as caught:
        RunOptions.of({"recipe": "linear", **values})
    text = f"{names} cannot be set with the recipe linear; set recipe to modern"
    assert str(caught.value).startswith(text)


def test_values_that_are_the_defaults_of_the_recipe_linear_can_be_set() -> None:
    named = {"pooling": "statistics", "width": 0.0, "adapters": (4,), "checkpoint": "last"}
    assert RunOptions.of({"recipe": "linear", **named}) == RunOptions.of({})


# The evaluation


@pytest.mark.parametrize(
    ("values", "plain", "own"),
    [
        ({}, "crossfit", "holdout"),
        ({"evaluation": "crossfit"}, "crossfit", "crossfit"),
        ({"evaluation": "crossfit", "protocol": "grouped"}, "crossfit", "crossfit"),
        ({"evaluation": "holdout"}, "holdout", "holdout"),
        ({"evaluation": "none"}, "none", "none"),
        ({"protocol": "all"}, "none", "none"),
        ({"protocol": "grouped"}, "crossfit", "holdout"),
        ({"protocol": "random"}, "holdout", "holdout"),
        ({"test_fraction": 0.3}, "holdout", "holdout"),
        ({"test_folds": (1,)}, "holdout", "holdout"),
        ({"recipe": "modern"}, "holdout", "holdout"),
        ({"recipe": "modern", "protocol": "all", "checkpoint": "last"}, "none", "none"),
        ({"recipe": "paper", "evaluation": "none", "checkpoint": "last"}, "none", "none"),
    ],
)
def test_how_a_run_is_scored(values: dict[str, Any], plain: str, own: str) -> None:
    """Subsets of the data themselves are held out, unless the user wants something else."""
    options = RunOptions.of(values)
    assert evaluation_of(options, own_subsets=False) == plain
    assert evaluation_of(options, own_subsets=True) == own
    again = RunOptions.of(options.flat())
    assert evaluation_of(again, own_subsets=False) == plain


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"evaluation": "none", "test_fraction": 0.3}, "evaluation none leaves no test clips"),
        ({"evaluation": "crossfit", "test_folds": (1,)}, "evaluation crossfit makes folds"),
        ({"evaluation": "crossfit", "protocol": "all"}, "evaluation crossfit makes folds"),
        ({"evaluation": "holdout", "protocol": "all"}, "evaluation holdout needs test clips"),
        (
            {"evaluation": "none", "recipe": "modern", "checkpoint": "best"},
            "evaluation none leaves no clips to select the epoch on; set checkpoint to last",
        ),
        ({"evaluation": "some"}, "evaluation must be one of auto, crossfit, holdout, none"),
    ],
)
def test_contradictory_evaluations(values: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionsError, match=text):
        RunOptions.of(values)


def test_cbir_3_mixes_by_default_and_the_others_do_not() -> None:
    for system in ("cbir_1", "cbir_2", "cbir_3", "cbir_4"):
        how = augmentation(resolve(TrainOptions(recipe="paper"), system))
        assert (how.mixing is not None) is (system == "cbir_3")
        assert how.fresh is (system == "cbir_3")
        modern = augmentation(resolve(TrainOptions(recipe="modern"), system))
        assert (modern.mixing, modern.n_augmented, modern.fresh) == (how.mixing, 4, False)


def test_one_copy_without_augmentation() -> None:
    options = resolve(TrainOptions(recipe="modern", time_shift=0.0, gain=0.0), "cbir_2")
    assert augmentation(options).n_augmented == 1
