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
    to_dict,
)
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions

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
        options = cls(*from_flat(KINDS, {**_recipe_defaults(values), **values}))
        system = options.system
        if system.backbone == "compact" and not system.unfreeze_from:
            # A backbone without pretrained weights is trained from its first block on.
            system = dataclasses.replace(system, unfreeze_from=1)
        train = resolve(options.train, system.system)
        options = dataclasses.replace(options, train=train, system=system)
        _check_contradictions(options)
        return options

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


def _recipe_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe's options of the network; none for an unknown recipe, which is reported later."""
    recipe = values.get("recipe", TrainOptions().recipe)
    if recipe not in NETWORKS:
        return {}
    system = values.get("system", SystemOptions().system)
    backbone = NETWORKS[recipe].get("backbone", SystemOptions().backbone)
    return network_defaults(recipe, system, values.get("backbone", backbone))


def _check_contradictions(options: RunOptions) -> None:
    train, teaching = options.train, options.teaching
    rules = {
        "unlabelled sounds are labelled by teachers only; set teachers": (
            teaching.unlabelled and not teaching.teachers
        ),
        "between_class_mix mixes clips of two classes, mix_same_class of one; set only one": (
            train.between_class_mix and train.mix_same_class
        ),
        "protocol all leaves no clips to select the epoch on; set checkpoint to last": (
            options.split.protocol == "all" and train.checkpoint != "last"
        ),
    }
    if wrong := [text for text, broken in rules.items() if broken]:
        raise OptionsError("; ".join(wrong))
