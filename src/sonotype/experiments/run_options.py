"""All options of a run: from flat names to their dataclasses and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sonotype.config import (
    NETWORKS,
    ScoreOptions,
    SplitOptions,
    SystemOptions,
    TeachingOptions,
    TrainOptions,
    from_flat,
    network_defaults,
    resolve,
    shortest_clip,
    to_dict,
)
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions
from sonotype.data.splits.subsets import NoteKind
from sonotype.models.backbones.names import COMPACT, NO_BACKBONE

GRADIENT = frozenset(
    {field.name for kind in (TrainOptions, TeachingOptions) for field in dataclasses.fields(kind)}
    - {"recipe", "class_weights", "seed", "device", "workers", "cache", "cache_gb", "ensemble"}
    - {"devices", "nodes"}
    | {"system", "width", "adapters", "softmax_over", "pooling", "unfreeze_from", "dropout"}
    | {"select_on"}
)
"""Options that linear heads do not have."""

KINDS = (SystemOptions, TrainOptions, SplitOptions, SourceOptions, ScoreOptions, TeachingOptions)


@dataclass(frozen=True)
class RunOptions:
    """All options of a run, each kind in its own frozen dataclass; in the order of ``KINDS``."""

    system: SystemOptions
    train: TrainOptions
    split: SplitOptions
    source: SourceOptions
    score: ScoreOptions
    teaching: TeachingOptions

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunOptions:
        """Validated options from flat ones (``system="cbir_4", epochs=10, ...``).

        Raises:
            OptionsError: every unknown name and every invalid value.
        """
        values = {**values, "recipe": recipe_of(values)}
        if values["recipe"] == "linear" and values.get("checkpoint") == "best":
            raise OptionsError("the recipe linear has no epochs; leave out checkpoint")
        if values.get("protocol") == "all" or values.get("evaluation") == "none":
            values.setdefault("checkpoint", "last")  # there is nothing to select an epoch on
        options = cls(*from_flat(KINDS, {**_recipe_defaults(values), **values}))
        system = options.system
        if system.backbone == "compact" and not system.unfreeze_from:
            # A backbone without pretrained weights is trained from its first block on.
            system = dataclasses.replace(system, unfreeze_from=1)
        train = resolve(options.train, system.system)
        options = dataclasses.replace(options, train=train, system=system)
        _check_contradictions(options)
        return options

    @property
    def validation_note(self) -> NoteKind:
        """Why the validation clips of a split are training clips, if they are."""
        return NoteKind.LEARNT if self.train.recipe == "linear" else NoteKind.LAST_EPOCH

    def flat(self) -> dict[str, Any]:
        """All options by name, as JSON values."""
        kinds = (getattr(self, field.name) for field in dataclasses.fields(self))
        return {name: value for kind in kinds for name, value in to_dict(kind).items()}


def require_no_split_options(names: Iterable[str]) -> None:
    """Raise an ``OptionsError`` for options of the split, which folds or draws replace."""
    split = {field.name for field in dataclasses.fields(SplitOptions)}
    if wrong := sorted(split & set(names)):
        raise OptionsError(
            f"folds and draws are split without options; leave out {', '.join(wrong)}"
        )


def recipe_of(values: Mapping[str, Any]) -> str:
    """The recipe of flat options; ``auto`` is linear, or modern where an option needs gradients."""
    recipe: str = values.get("recipe", TrainOptions().recipe)
    if recipe != "auto":
        return recipe
    untrained = values.get("backbone") in (COMPACT, NO_BACKBONE)
    return "modern" if untrained or GRADIENT & values.keys() else "linear"


def _recipe_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's options of the network; none for an unknown recipe, which is reported later."""
    recipe = values["recipe"]
    if recipe not in NETWORKS:
        return {}
    system = values.get("system", SystemOptions().system)
    backbone = NETWORKS[recipe].get("backbone", SystemOptions().backbone)
    return network_defaults(recipe, system, values.get("backbone", backbone))


def _check_contradictions(options: RunOptions) -> None:
    train, teaching, split = options.train, options.teaching, options.split
    wrong = _not_linear(options) if train.recipe == "linear" else []
    shortest, several = shortest_clip(options.system), train.devices * train.nodes > 1
    rules = {
        f"{', '.join(wrong)} cannot be set with the recipe linear; set recipe to modern": wrong,
        "ensemble is for the recipe linear; leave it out, or the options of gradient training": (
            train.ensemble and train.recipe != "linear"
        ),
        f"seconds is {options.system.seconds:g}, must be 0 or at least {shortest:g}": (
            0 < options.system.seconds < shortest
        ),
        "the recipe linear trains in one process, in seconds; leave out devices and nodes, or set "
        "recipe to modern": several and train.recipe == "linear",
        "evaluation crossfit trains a network for each fold in one process; leave out devices and "
        "nodes, or set evaluation to holdout": (
            several and train.recipe != "linear" and split.evaluation == "crossfit"
        ),
        "evaluation none leaves no test clips; leave out the options of the split": (
            split.evaluation == "none" and _splits(split)
        ),
        "evaluation crossfit makes folds; leave out the options of the test set": (
            split.evaluation == "crossfit" and _splits(split)
        ),
        "evaluation holdout needs test clips; leave out protocol all": (
            split.evaluation == "holdout" and split.protocol == "all"
        ),
        "evaluation none leaves no clips to select the epoch on; set checkpoint to last": (
            split.evaluation == "none" and train.checkpoint != "last"
        ),
        "unlabelled sounds are labelled by teachers only; set teachers": (
            teaching.unlabelled and not teaching.teachers
        ),
        "between_class_mix mixes clips of two classes, mix_same_class of one; set only one": (
            train.between_class_mix and train.mix_same_class
        ),
        "protocol all leaves no clips to select the epoch on; set checkpoint to last": (
            split.protocol == "all" and train.checkpoint != "last"
        ),
    }
    if broken := [text for text, is_broken in rules.items() if is_broken]:
        raise OptionsError("; ".join(broken))


def _not_linear(options: RunOptions) -> list[str]:
    """Names of the options whose values are not those of the recipe linear."""
    own = NETWORKS["linear"] | {"checkpoint": "last"}
    defaults = {
        field.name: own.get(field.name, field.default)
        for kind in KINDS
        for field in dataclasses.fields(kind)
    }
    values = options.flat()
    wrong = {
        name
        for name in GRADIENT
        if values[name] != (list(d) if isinstance(d := defaults[name], tuple) else d)
    }
    if options.system.backbone in (COMPACT, NO_BACKBONE):
        wrong.add(f"backbone {options.system.backbone}")
    return sorted(wrong)


def _splits(options: SplitOptions) -> bool:
    """Whether options of a test set are set."""
    plain = SplitOptions(evaluation=options.evaluation, protocol=options.protocol)
    return options != plain or options.protocol in ("random", "all")


def evaluation_of(options: RunOptions, *, own_subsets: bool) -> str:
    """How a run is scored: ``crossfit``, ``holdout`` or ``none``.

    Args:
        options: of the run.
        own_subsets: whether the data have their own training and test subsets.
    """
    split = options.split
    if split.evaluation != "auto":
        return split.evaluation
    if split.protocol == "all":
        return "none"
    if options.train.recipe != "linear" or own_subsets or _splits(split):
        return "holdout"
    return "crossfit"
