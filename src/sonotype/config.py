"""What can be set: frozen dataclasses whose fields carry the help that the command line shows.

A recipe is a set of defaults for the fields of :class:`TrainOptions` that are ``None``, and for
some of :class:`SystemOptions` and :class:`ScoreOptions`; what a user sets stands. The fields' own
defaults are the paper's, and those that a model file which does not name them was made with.
Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import CategorySource

Options = TypeVar("Options")

SystemName = Literal["cbir_1", "cbir_2", "cbir_3", "cbir_4"]
Recipe = Literal["paper", "modern", "student"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32", "bf16-mixed", "16-mixed"]
Schedule = Literal["constant", "cosine"]
Protocol = Literal["auto", "folds", "grouped", "random", "all"]


def option(default: Any, help_text: str, **more: Any) -> Any:
    """A dataclass field with its help.

    ``low`` and ``high`` are its inclusive limits, ``flag`` and ``metavar`` what the command line
    calls it and shows for its value where that is not its name and its kind.
    """
    return field(default=default, metadata={"help": help_text, **more})


@dataclass(frozen=True, kw_only=True)
class SystemOptions:
    """Everything that rebuilds a network but its labels; stored in the model file."""

    system: SystemName = option("cbir_2", "The paper's system")
    backbone: str = option(
        "auto",
        "Branch 1: auto (mn04, or builtin where that cannot be had), vggish, mn01 to mn40, "
        "builtin, a model file, or from scratch: compact, none",
    )
    width: float = option(
        1.0, "Multiplier of the trained branch's channels; 0 leaves it out", low=0, high=4
    )
    adapters: tuple[int, ...] = option(
        (4,), "Blocks (1 to 4) where branch 1 joins branch 2; 0 for nowhere", low=0, high=4
    )
    softmax_over: Literal["channels", "positions"] = option(
        "channels", "Attention: the authors' softmax over channels, or over positions"
    )
    pooling: Literal["attention", "mean", "max", "attention_mean"] = option(
        "attention", "What pools the maps of cbir_1 to cbir_3: the paper's attention, or another"
    )
    pool_blocks: tuple[int, ...] = option(
        (4,), "Blocks (1 to 4) of branch 1 that cbir_2 and cbir_4 pool", low=1, high=4
    )
    event_head: bool = option(True, "Learn the events beside the categories, where there are any")
    unfreeze_from: int = option(
        0, "First block of branch 1 (1 to 4) that is trained; 0 keeps all frozen", low=0, high=4
    )
    dropout: float = option(0.2, "After pooling and after the embedding", low=0, high=0.95)
    seconds: float = option(5.0, "Length of a clip in seconds", low=1, high=60)
    pad: Literal["centre", "start", "repeat"] = option("centre", "How short clips are filled up")
    crop: Literal["front", "centre"] = option("front", "What stays of long clips")
    trim: bool = option(False, "Trim leading and trailing silence (60 dB) first")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How a network is trained; ``None`` means: as the recipe says."""

    recipe: Recipe = option(
        "modern", "paper: the paper's settings; modern: better defaults; student: a small network"
    )
    epochs: int | None = option(
        None, "Maximum number; if given, the recipe's least steps do not extend it", low=1
    )
    min_steps: int | None = option(
        None,
        "Minimum number of training steps: where clips are few, the epochs are extended",
        low=0,
    )
    patience: int | None = option(None, "Stop after so many epochs without a better one", low=1)
    batch_size: int | None = option(None, "Clips in a step", low=2)
    learning_rate: float | None = option(None, "Adam's", low=0)
    backbone_lr_scale: float = option(
        1.0, "Learning rate of branch 1's unfrozen blocks, as a share of the others'", low=0, high=1
    )
    weight_decay: float | None = option(None, "AdamW's; 0 is plain Adam", low=0)
    schedule: Schedule | None = option(None, "Of the learning rate")
    ema_decay: float | None = option(
        None, "Decay a step of a moving average of the weights; 0 for none", low=0, high=0.9999
    )
    checkpoint: Literal["best", "last"] = option(
        "best", "Epoch: the best on validation, or the last; then all but the test part is learnt"
    )
    label_smoothing: float | None = option(None, "Share of the target given to all", low=0, high=1)
    mixup: float | None = option(None, "Alpha of mixup between clips; 0 for none", low=0)
    time_mask: float | None = option(
        None, "Largest share of time masked in the log-mel of what starts untrained", low=0, high=1
    )
    frequency_mask: float | None = option(
        None, "Largest share of bands masked in the log-mel of what starts untrained", low=0, high=1
    )
    log_mel_roll: bool | None = option(
        None, "Turn the log-mel of a single branch that starts untrained in time, in each step"
    )
    freq_shift: int | None = option(
        None, "Move that log-mel by up to so many bands up or down", low=0, high=16
    )
    time_shift: float | None = option(None, "Largest circular shift in seconds", low=0)
    gain: float | None = option(None, "Largest change of level in dB", low=0)
    n_augmented: int | None = option(
        None,
        "Versions of a clip, augmented, the first as recorded; 0: new in each epoch",
        low=0,
    )
    between_class_mix: float | None = option(
        None, "Share of training sounds that sound with one of another class", low=0, high=1
    )
    mix_same_class: bool | None = option(None, "Mix two clips of a class (CBIR_3's augmentation)")
    mix_delay: float = option(2.5, "Same-class mixing: largest delay in seconds", low=0)
    mix_gain: float = option(6.0, "Same-class mixing: largest gain in dB, up or down", low=0)
    mix_equaliser: float = option(10.0, "Same-class mixing: largest equaliser gain in dB", low=0)
    class_weights: bool = option(False, "Weigh classes by the inverse of their count")
    event_weight: float = option(1.0, "Weight of the event loss beside the category's", low=0)
    random_crop: bool = option(False, "Train on random parts of long clips, fresh in each epoch")
    seed: int = option(0, "Of splits, weights, order and augmentation", low=0, high=2**32 - 1)
    device: Device = option("auto", "Where to train")
    precision: Precision = option("32", "Of the arithmetic in training")
    workers: int = option(
        0, "Processes that decode ahead where maps are not cached; 0 for threads", low=0
    )
    cache: bool = option(True, "Keep the frozen branch's maps instead of computing them again")
    cache_gb: float = option(20.0, "What the maps of all runs may take on the disk, in GB", low=0.1)
    tensorboard: bool = option(False, "Write TensorBoard logs beside the CSV log")


RECIPES: dict[Recipe, dict[str, Any]] = {
    "paper": {
        "epochs": 50,
        "min_steps": 0,
        "patience": 10,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "constant",
        "ema_decay": 0.0,
        "label_smoothing": 0.0,
        "mixup": 0.0,
        "time_mask": 0.0,
        "frequency_mask": 0.0,
        "log_mel_roll": False,
        "freq_shift": 0,
        "time_shift": 0.0,
        "gain": 0.0,
        "between_class_mix": 0.0,
        "n_augmented": 0,
    },
    "modern": {
        "epochs": 40,
        "min_steps": 400,
        "patience": 12,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "weight_decay": 1e-2,
        "schedule": "cosine",
        "ema_decay": 0.0,
        "label_smoothing": 0.1,
        "mixup": 0.3,
        "time_mask": 0.2,
        "frequency_mask": 0.15,
        "log_mel_roll": False,
        "freq_shift": 0,
        "time_shift": 1.0,
        "gain": 8.0,
        "between_class_mix": 0.0,
        "n_augmented": 4,
    },
    "student": {
        "epochs": 150,
        "min_steps": 2000,
        "patience": 40,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "weight_decay": 2e-2,
        "schedule": "cosine",
        "ema_decay": 0.995,
        "label_smoothing": 0.0,
        "mixup": 0.0,
        "time_mask": 0.3,
        "frequency_mask": 0.25,
        "log_mel_roll": True,
        "freq_shift": 2,
        "time_shift": 2.5,
        "gain": 8.0,
        "between_class_mix": 0.75,
        "n_augmented": 24,
    },
}

NETWORKS: dict[Recipe, dict[str, Any]] = {
    "paper": {"width": 1.0, "pooling": "attention", "pool_blocks": (4,), "category_source": "head"},
    "modern": {
        "width": 0.0,
        "pooling": "attention_mean",
        "pool_blocks": (3, 4),
        "category_source": "events",
    },
    "student": {
        "backbone": "compact",
        "width": 0.0,
        "pooling": "attention_mean",
        "pool_blocks": (4,),
        "category_source": "events",
    },
}
"""What the recipes say of the network and of how its answers are read."""

TWO_MAPS = ("cbir_1", "cbir_3")
"""Systems that join the last maps of two branches, and so have no other blocks to pool."""


def network_defaults(recipe: Recipe, system: str, backbone: str) -> dict[str, Any]:
    """What a recipe says of the network, as far as it can hold for a system and a backbone."""
    defaults = dict(NETWORKS[recipe])
    paper = NETWORKS["paper"]
    if system in TWO_MAPS or backbone == "none":
        defaults["width"] = paper["width"]
    if system in TWO_MAPS:
        defaults["pool_blocks"] = paper["pool_blocks"]
    if system == "cbir_4":
        defaults["pooling"] = paper["pooling"]
    return defaults


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How a source is parted into training, validation and test."""

    protocol: Protocol = option(
        "auto",
        "folds: official ones; grouped: recordings stay together; random: the paper's; "
        "all: learn from every clip, test nothing",
    )
    test_fraction: float = option(0.2, "Share of the test part", low=0.01, high=0.9)
    val_fraction: float = option(0.15, "Share of the validation part", low=0.01, high=0.9)
    train_folds: tuple[int, ...] = option((), "Folds to train on, such as 1,2")
    val_folds: tuple[int, ...] = option((), "Folds that choose the epoch")
    test_folds: tuple[int, ...] = option((), "Folds that are scored at the end")
    select_on: Literal["val", "test"] = option(
        "val", "What chooses the epoch; test is the paper's way, its scores are too high"
    )


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """How answers become scores."""

    category_source: CategorySource = option(
        "head", "Read the category from its head, from the sum of its events, or both averaged"
    )
    tta_shifts: int = option(
        1, "Average the answers to so many versions of a clip, shifted in a circle", low=1, high=16
    )


@dataclass(frozen=True, kw_only=True)
class TeachingOptions:
    """Whose answers a student learns, and how much of them."""

    teachers: tuple[str, ...] = option(
        (), "A model, or its run folder, that teaches; give one for each", flag="teacher",
        metavar="MODEL",
    )  # fmt: skip
    unlabelled: tuple[str, ...] = option(
        (), "A folder of sounds that are learnt from the teachers alone", metavar="FOLDER"
    )
    teacher_weight: float = option(
        0.9, "Share of the teachers in the loss; the rest is the labels'", low=0, high=1
    )
    temperature: float = option(2.0, "That softens the teachers' answers", low=0.1, high=20)
    feature_weight: float = option(
        1.0, "Weight of the distance to the teachers' embeddings; 0 for none", low=0
    )
    frame_weight: float = option(
        10.0, "Weight of the distance to what the teachers hear in each moment; 0 for none", low=0
    )


def resolve(options: TrainOptions, system: str) -> TrainOptions:
    """Fill every ``None`` from the recipe; CBIR_3 is the system that mixes clips of a class.

    Where ``epochs`` is set, the recipe's ``min_steps`` does not make more of them.
    """
    defaults = {**RECIPES[options.recipe], "mix_same_class": system == "cbir_3"}
    if options.epochs is not None:
        defaults["min_steps"] = 0
    missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    return dataclasses.replace(options, **missing)


def check(options: Any) -> None:
    """Compare every field with its type, its choices and its limits.

    Raises:
        OptionsError: names every field that is wrong, with its value and what would do.
    """
    wrong = _issues(options)
    if wrong:
        raise OptionsError("; ".join(wrong))


def to_dict(options: Any) -> dict[str, Any]:
    """Plain JSON values of a flat options dataclass."""
    values = dataclasses.asdict(options)
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }


def from_dict(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """The options that :func:`to_dict` wrote; checked.

    Raises:
        OptionsError: names that do not exist, or values that :func:`check` refuses.
    """
    known = {item.name for item in fields(kind)}  # type: ignore[arg-type]
    options = kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in known
        }
    )
    wrong = _issues(options)
    unknown = sorted(set(values) - known)
    if unknown:
        wrong.append(f"unknown options {', '.join(unknown)}; {', '.join(sorted(known))} exist")
    if wrong:
        raise OptionsError("; ".join(wrong))
    return options


def without_none(hint: Any) -> Any:
    """The type that an optional field has where it is set."""
    if get_origin(hint) in (UnionType, Union):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _issues(options: Any) -> list[str]:
    hints = get_type_hints(type(options))
    return [
        f"{item.name} is {getattr(options, item.name)!r}, {complaint}"
        for item in fields(options)
        if (complaint := _complaint(getattr(options, item.name), hints[item.name], item.metadata))
    ]


def _complaint(value: Any, hint: Any, limits: Mapping[str, Any]) -> str:
    """What is wrong with a value, or nothing."""
    if value is None and type(None) in get_args(hint):
        return ""
    hint = without_none(hint)
    if get_origin(hint) is Literal:
        choices = ", ".join(map(str, get_args(hint)))
        return "" if value in get_args(hint) else f"not one of {choices}"
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return "not a list"
        return next(filter(None, (_complaint(one, get_args(hint)[0], limits) for one in value)), "")
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    fits = numeric if hint is float else isinstance(value, hint)
    if not fits or (hint is int and isinstance(value, bool)):
        return f"not of type {hint.__name__}"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    low, high = limits.get("low"), limits.get("high")
    if low is not None and value < low:
        return f"at least {low} is wanted"
    if high is not None and value > high:
        return f"at most {high} is wanted"
    return ""
