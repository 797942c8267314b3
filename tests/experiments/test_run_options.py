"""All options of a run: defaults of the recipes, and errors."""

from __future__ import annotations

import pytest

from sonotype.config import NETWORKS, ScoreOptions, SystemOptions, TrainOptions, resolve
from sonotype.core.errors import OptionsError
from sonotype.experiments.run_options import RunOptions
from sonotype.training.sources import augmentation


def test_unknown_and_invalid_options_of_all_classes_are_reported_together() -> None:
    values = {"epochs": 0, "recipe": "newer", "width": 9, "test_fraction": 2, "sytem": "cbir_1"}
    with pytest.raises(OptionsError) as caught:
        RunOptions.of(values)
    for fact in (
        "recipe must be one of paper, modern, student, got 'newer'",
        "epochs must be at least 1, got 0",
        "width must be at most 4, got 9",
        "test_fraction must be at most 0.9, got 2",
        "unknown options sytem; known options: adapters, ",
    ):
        assert fact in str(caught.value)


def test_a_run_that_was_started_with_more_steps_keeps_them() -> None:
    started = RunOptions.of({}).flat() | {"epochs": 2, "min_steps": 400}
    assert RunOptions.of(started).train.min_steps == 400


def test_a_recipe_has_defaults_of_the_network() -> None:
    paper = RunOptions.of({"recipe": "paper"})
    assert (paper.system, paper.score) == (SystemOptions(), ScoreOptions())
    modern = RunOptions.of({})
    network = {
        name: value for name, value in NETWORKS["modern"].items() if name != "category_source"
    }
    assert modern.system == SystemOptions(**network)
    assert modern.score == ScoreOptions(category_source=NETWORKS["modern"]["category_source"])
    mine = {"width": 0.5, "pooling": "max", "pool_blocks": [2], "category_source": "both"}
    chosen = RunOptions.of(mine)
    assert chosen.system == SystemOptions(width=0.5, pooling="max", pool_blocks=(2,))
    assert chosen.score == ScoreOptions(category_source="both")
    assert RunOptions.of(modern.flat()) == modern
    assert RunOptions.of({"system": "cbir_1"}).system == SystemOptions(
        system="cbir_1", pooling="attention_mean"
    )


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
