"""All options of a run: defaults of the recipes, and errors."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sonotype.config import NETWORKS, ScoreOptions, SystemOptions, TrainOptions, resolve
from sonotype.core.errors import OptionsError
from sonotype.experiments.run_options import RunOptions, evaluation_of
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


def of_network(recipe: str) -> tuple[SystemOptions, ScoreOptions]:
    """The options of the network and of the scores that a recipe sets."""
    score = {field.name for field in dataclasses.fields(ScoreOptions)}
    network = NETWORKS[recipe]
    return (
        SystemOptions(**{name: value for name, value in network.items() if name not in score}),
        ScoreOptions(**{name: value for name, value in network.items() if name in score}),
    )


def test_a_recipe_has_defaults_of_the_network() -> None:
    paper = RunOptions.of({"recipe": "paper"})
    assert (paper.system, paper.score) == (SystemOptions(), ScoreOptions())
    for recipe in NETWORKS:
        options = RunOptions.of({"recipe": recipe})
        system, score = of_network(recipe)
        if recipe == "student":  # trained from its first block on
            system = dataclasses.replace(system, unfreeze_from=1)
        assert (options.system, options.score) == (system, score)
        assert RunOptions.of(options.flat()) == options
    mine = {"width": 0.5, "pooling": "max", "pool_blocks": [2], "category_source": "both"}
    chosen = RunOptions.of(mine)
    assert chosen.system == SystemOptions(width=0.5, pooling="max", pool_blocks=(2,))
    assert chosen.score == ScoreOptions(category_source="both")
    assert RunOptions.of({"system": "cbir_1"}).system == SystemOptions(
        system="cbir_1", pooling="attention_mean"
    )


@pytest.mark.parametrize(
    ("values", "recipe"),
    [
        ({}, "linear"),
        ({"backbone": "mn10", "seconds": 2.0, "pool_blocks": (4,), "seed": 3}, "linear"),
        ({"class_weights": True, "tta_shifts": 1, "keep_known": 0.9}, "linear"),
        ({"recipe": "auto"}, "linear"),
        ({"epochs": 5}, "modern"),
        ({"system": "cbir_2"}, "modern"),
        ({"select_on": "test"}, "modern"),
        ({"teachers": ("a",)}, "modern"),
        ({"backbone": "compact"}, "modern"),
        ({"backbone": "none"}, "modern"),
        ({"recipe": "paper", "epochs": 5}, "paper"),
    ],
)
def test_the_recipe_follows_from_the_options(values: dict[str, Any], recipe: str) -> None:
    assert RunOptions.of(values).train.recipe == recipe


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"epochs": 5, "mixup": 0.1}, "epochs, mixup"),
        ({"system": "cbir_4"}, "system"),
        ({"unfreeze_from": 4}, "unfreeze_from"),
        ({"width": 1.0, "pooling": "attention"}, "pooling, width"),
        ({"backbone": "none"}, "backbone none"),
        ({"backbone": "compact"}, "backbone compact"),
        ({"teachers": ("a",)}, "teachers"),
    ],
)
def test_options_that_linear_heads_do_not_have(values: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionsError) as caught:
        RunOptions.of({"recipe": "linear", **values})
    assert named in str(caught.value)
    assert "set recipe to modern" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "own_subsets", "how"),
    [
        ({}, False, "crossfit"),
        ({}, True, "holdout"),
        ({"protocol": "grouped"}, False, "crossfit"),
        ({"protocol": "random"}, False, "holdout"),
        ({"protocol": "all"}, False, "none"),
        ({"test_fraction": 0.3}, False, "holdout"),
        ({"test_folds": (2,)}, False, "holdout"),
        ({"evaluation": "none"}, True, "none"),
        ({"evaluation": "holdout"}, False, "holdout"),
        ({"evaluation": "crossfit"}, True, "crossfit"),
        ({"recipe": "modern"}, False, "holdout"),
    ],
)
def test_how_a_run_is_scored(values: dict[str, Any], own_subsets: bool, how: str) -> None:
    assert evaluation_of(RunOptions.of(values), own_subsets=own_subsets) == how


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        ({"evaluation": "none", "test_fraction": 0.3}, "evaluation none"),
        ({"evaluation": "crossfit", "test_folds": (2,)}, "evaluation crossfit makes folds"),
        ({"evaluation": "crossfit", "recipe": "modern"}, "sonotype crossval"),
    ],
)
def test_contradictions_of_the_evaluation(values: dict[str, Any], fact: str) -> None:
    with pytest.raises(OptionsError, match=fact):
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
