"""All options of a training, from flat names to their kinds and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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


@dataclass(frozen=True)
class RunOptions:
    """All options of a training, each kind in its own frozen dataclass."""

    system: SystemOptions
    train: TrainOptions
    split: SplitOptions
    source: SourceOptions
    score: ScoreOptions
    teaching: TeachingOptions

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunOptions:
        """Sort flat options (``system="cbir_4", epochs=10, ...``) into their kinds; checked.

        Raises:
            OptionsError: every unknown name, or every value that will not do.
        """
        kinds = {
            "system": SystemOptions,
            "train": TrainOptions,
            "split": SplitOptions,
            "source": SourceOptions,
            "score": ScoreOptions,
            "teaching": TeachingOptions,
        }
        names = {
            kind: {one.name for one in dataclasses.fields(what)} for kind, what in kinds.items()
        }
        known = set().union(*names.values())
        unknown = sorted(set(values) - known)
        if unknown:
            raise OptionsError(
                f"unknown options {', '.join(unknown)}; there are {', '.join(sorted(known))}"
            )
        given = {**_of_recipe(values), **values}
        sorted_out: dict[str, Any] = {
            kind: from_dict(what, {name: given[name] for name in names[kind] if name in given})
            for kind, what in kinds.items()
        }
        options = cls(**sorted_out)
        resolved = resolve(options.train, options.system.system)
        check(resolved)
        options = dataclasses.replace(options, train=resolved, system=_learning(options.system))
        _refuse_contradictions(options)
        return options

    def flat(self) -> dict[str, Any]:
        """All options under their names, as JSON values."""
        parts = (self.system, self.train, self.split, self.source, self.score, self.teaching)
        return {name: value for part in parts for name, value in to_dict(part).items()}


def _of_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the recipe says of the network; nothing where there is no such recipe, a fault."""
    recipe = values.get("recipe", TrainOptions().recipe)
    if recipe not in NETWORKS:
        return {}
    system = values.get("system", SystemOptions().system)
    backbone = NETWORKS[recipe].get("backbone", SystemOptions().backbone)
    return network_defaults(recipe, system, values.get("backbone", backbone))


def _learning(system: SystemOptions) -> SystemOptions:
    """Of a branch 1 for which there are no weights, every block learns."""
    if system.backbone == "compact" and not system.unfreeze_from:
        return dataclasses.replace(system, unfreeze_from=1)
    return system


def _refuse_contradictions(options: RunOptions) -> None:
    train, teaching = options.train, options.teaching
    wrong = []
    if teaching.unlabelled and not teaching.teachers:
        wrong.append("unlabelled sounds can be learnt from teachers alone; name teachers")
    if train.between_class_mix and train.mix_same_class:
        wrong.append("blend mixes clips of two classes, mix_same_class of one; choose one")
    if options.split.protocol == "all" and train.checkpoint != "last":
        wrong.append("protocol all leaves nothing to choose the epoch on; keep the last")
    if wrong:
        raise OptionsError("; ".join(wrong))
