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
    check,
    from_dict,
    network_defaults,
    resolve,
    to_dict,
)
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions

KINDS: dict[str, type] = {
    "system": SystemOptions,
    "train": TrainOptions,
    "split": SplitOptions,
    "source": SourceOptions,
    "score": ScoreOptions,
    "teaching": TeachingOptions,
}


@dataclass(frozen=True)
class RunOptions:
    """All options of a run, each kind in its own frozen dataclass."""

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
            OptionsError: every unknown name, or every invalid value.
        """
        names = {
            kind: {field.name for field in dataclasses.fields(options)}
            for kind, options in KINDS.items()
        }
        known = set().union(*names.values())
        if unknown := sorted(set(values) - known):
            raise OptionsError(
                f"unknown options {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        given = {**_recipe_defaults(values), **values}
        kinds: dict[str, Any] = {
            kind: from_dict(cls_, {name: given[name] for name in names[kind] if name in given})
            for kind, cls_ in KINDS.items()
        }
        options = cls(**kinds)
        train = resolve(options.train, options.system.system)
        check(train)
        options = dataclasses.replace(options, train=train, system=_unfrozen(options.system))
        _check_contradictions(options)
        return options

    def flat(self) -> dict[str, Any]:
        """All options by name, as JSON values."""
        kinds = (getattr(self, kind) for kind in KINDS)
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


def _unfrozen(system: SystemOptions) -> SystemOptions:
    """A backbone without pretrained weights is trained from its first block on."""
    if system.backbone == "compact" and not system.unfreeze_from:
        return dataclasses.replace(system, unfreeze_from=1)
    return system


def _check_contradictions(options: RunOptions) -> None:
    train, teaching = options.train, options.teaching
    wrong = []
    if teaching.unlabelled and not teaching.teachers:
        wrong.append("unlabelled sounds are labelled by teachers only; set teachers")
    if train.between_class_mix and train.mix_same_class:
        wrong.append(
            "between_class_mix mixes clips of two classes, mix_same_class of one; set only one"
        )
    if options.split.protocol == "all" and train.checkpoint != "last":
        wrong.append("protocol all leaves no clips to select the epoch on; set checkpoint to last")
    if wrong:
        raise OptionsError("; ".join(wrong))
