"""Options as frozen dataclasses; each field carries the help text of its command-line flag.

A recipe sets defaults for the fields of :class:`TrainOptions` that are ``None``, and for some
fields of :class:`SystemOptions` and :class:`ScoreOptions`. A value set by the user has priority.
The defaults of the fields are the paper's; they also apply to model files that lack a field.
Nothing here imports torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from sonotype.core.errors import OptionsError
from sonotype.core.hierarchy import CategorySource

Options = TypeVar("Options")

SystemName = Literal["cbir_1", "cbir_2", "cbir_3", "cbir_4"]
Recipe = Literal["auto", "linear", "modern", "paper", "student"]
GradientRecipe = Literal["paper", "modern", "student"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["32", "bf16-mixed", "16-mixed"]
Schedule = Literal["constant", "cosine"]
Protocol = Literal["auto", "folds", "grouped", "random", "all"]
Evaluation = Literal["auto", "crossfit", "holdout", "none"]


def option(default: Any, help_text: str, **more: Any) -> Any:
    """A dataclass field with the help text of its flag.

    Args:
        default: of the field.
        help_text: of the flag.
        more: ``low`` and ``high`` are inclusive limits; ``common=True`` shows the flag in the short
            ``--help``, with the help text up to its first semicolon; ``flag`` and ``metavar``
            replace the flag's name and its placeholder.
    """
    return field(default=default, metadata={"help": help_text, **more})


@dataclass(frozen=True, kw_only=True)
class SystemOptions:
    """All that rebuilds a network except its labels; stored in the model file."""

    system: SystemName = option(
        "cbir_2",
        "Network: cbir_1 to cbir_4",
        common=True,
        metavar="NAME",
    )
    backbone: str = option(
        "auto",
        "Pretrained network; auto (mn04, or builtin if mn04 is not available), vggish, mn01 to "
        "mn40, builtin or a model file; not pretrained: compact, none",
        common=True,
        metavar="NAME",
    )
    width: float = option(
        1.0, "Channel multiplier of the trained branch; 0 removes the branch", low=0, high=4
    )
    adapters: tuple[int, ...] = option(
        (4,), "Blocks (1 to 4) at which branch 1 feeds branch 2; 0 for none", low=0, high=4
    )
    softmax_over: Literal["channels", "positions"] = option(
        "channels", "Axis of the attention softmax; the authors use channels"
    )
    pooling: Literal["attention", "mean", "max", "attention_mean", "statistics"] = option(
        "attention",
        "Pooling of feature maps in cbir_1 to cbir_3; the paper uses attention; statistics is not "
        "trained",
    )
    pool_blocks: tuple[int, ...] = option(
        (4,), "Blocks (1 to 4) of branch 1 that cbir_2 and cbir_4 pool", low=1, high=4
    )
    event_head: bool = option(True, "Add heads for events and finer levels, if the data has them")
    unfreeze_from: int = option(
        0, "First block (1 to 4) of branch 1 to train; 0 freezes all blocks", low=0, high=4
    )
    dropout: float = option(
        0.2, "Dropout rate after the pooling and after the embedding", low=0, high=0.95
    )
    seconds: float = option(
        5.0,
        "Clip length in s; 0: nine of ten clips fit into it, 1 to 5 s",
        low=0,
        high=60,
        common=True,
    )
    pad: Literal["centre", "start", "repeat"] = option("centre", "How to pad short clips")
    crop: Literal["front", "centre"] = option("front", "Which part of a long clip to keep")
    trim: bool = option(False, "Trim leading and trailing silence (60 dB) first")


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How to train a network; ``None`` takes the value of the recipe."""

    recipe: Recipe = option(
        "auto",
        "Presets: linear, modern, paper, student; auto: linear, the best for small data sets, or "
        "modern if an option of gradient training is set",
        common=True,
        metavar="NAME",
    )
    epochs: int | None = option(
        None, "Maximum number of epochs; turns off the recipe's --min-steps", low=1
    )
    min_steps: int | None = option(
        None, "Minimum number of training steps; few clips then take more epochs", low=0
    )
    patience: int | None = option(
        None, "Stop after this number of epochs without improvement", low=1
    )
    batch_size: int | None = option(None, "Clips per step", low=2)
    learning_rate: float | None = option(None, "Learning rate of AdamW", low=0)
    backbone_lr_scale: float = option(
        1.0, "Learning rate of the unfrozen blocks of branch 1, relative to the rest", low=0, high=1
    )
    weight_decay: float | None = option(None, "Weight decay of AdamW; 0 for plain Adam", low=0)
    schedule: Schedule | None = option(None, "Learning rate schedule")
    ema_decay: float | None = option(
        None, "Decay per step of the moving average of the weights; 0 for none", low=0, high=0.9999
    )
    checkpoint: Literal["best", "last"] = option(
        "best", "Epoch to keep: the best on validation, or the last; last also trains on validation"
    )
    label_smoothing: float | None = option(
        None, "Share of the target spread over all classes", low=0, high=1
    )
    mixup: float | None = option(None, "Alpha of mixup; 0 for none", low=0)
    time_mask: float | None = option(
        None,
        "Maximum masked share of time in the log-mel of branches trained from scratch",
        low=0,
        high=1,
    )
    frequency_mask: float | None = option(
        None,
        "Maximum masked share of bands in the log-mel of branches trained from scratch",
        low=0,
        high=1,
    )
    log_mel_roll: bool | None = option(
        None, "Roll the log-mel in time at each step; only for one branch trained from scratch"
    )
    freq_shift: int | None = option(
        None, "Maximum shift of that log-mel in bands, up or down", low=0, high=16
    )
    time_shift: float | None = option(None, "Maximum circular time shift in seconds", low=0)
    gain: float | None = option(None, "Maximum change of level in dB", low=0)
    n_augmented: int | None = option(
        None, "Augmented copies per clip, the first unchanged; 0: new copies in each epoch", low=0
    )
    between_class_mix: float | None = option(
        None, "Share of training clips mixed with a clip of another class", low=0, high=1
    )
    mix_same_class: bool | None = option(
        None, "Mix two clips of the same class; the augmentation of cbir_3"
    )
    mix_delay: float = option(2.5, "Same-class mixing: maximum delay in seconds", low=0)
    mix_gain: float = option(6.0, "Same-class mixing: maximum change of level in dB", low=0)
    mix_equaliser: float = option(10.0, "Same-class mixing: maximum equaliser gain in dB", low=0)
    class_weights: bool = option(False, "Weight classes by the inverse of their count")
    event_weight: float = option(
        1.0, "Weight of the loss of each head except the first, which has 1", low=0
    )
    random_crop: bool = option(False, "Train on random crops of long clips, new in each epoch")
    seed: int = option(0, "Random seed of split and training", low=0, high=2**32 - 1, common=True)
    device: Device = option("auto", "Device: auto, cpu, cuda, mps", common=True, metavar="NAME")
    devices: int = option(
        1, "Processes of a training on this machine, one for each GPU; they share each batch",
        low=1, high=1024,
    )  # fmt: skip
    nodes: int = option(
        1, "Machines of a training, each with that number of devices", low=1, high=1024
    )
    precision: Precision = option("32", "Floating-point precision of training")
    workers: int = option(
        0, "Processes that decode sounds whose feature maps are not cached; 0: threads", low=0
    )
    cache: bool = option(True, "Cache the feature maps of the frozen branch on disk")
    cache_gb: float = option(20.0, "Maximum size of the feature cache in GB", low=0.1)
    ensemble: bool = option(
        False,
        "Average the linear heads with attention networks, one for each fold; trains for minutes",
    )
    tensorboard: bool = option(False, "Write TensorBoard logs in addition to the CSV log")


# fmt: off
_SETTINGS: dict[str, tuple[Any, Any, Any]] = {
    #                     paper       modern    student
    "epochs":            (50,         40,       150),
    "min_steps":         (0,          400,      2000),
    "patience":          (10,         12,       40),
    "batch_size":        (32,         32,       64),
    "learning_rate":     (1e-3,       1e-3,     2e-3),
    "weight_decay":      (0.0,        1e-2,     2e-2),
    "schedule":          ("constant", "cosine", "cosine"),
    "ema_decay":         (0.0,        0.0,      0.995),
    "label_smoothing":   (0.0,        0.1,      0.0),
    "mixup":             (0.0,        0.3,      0.0),
    "time_mask":         (0.0,        0.2,      0.3),
    "frequency_mask":    (0.0,        0.15,     0.25),
    "log_mel_roll":      (False,      False,    True),
    "freq_shift":        (0,          0,        2),
    "time_shift":        (0.0,        1.0,      2.5),
    "gain":              (0.0,        8.0,      8.0),
    "between_class_mix": (0.0,        0.0,      0.75),
    "n_augmented":       (0,          4,        24),
}
# fmt: on
RECIPES: dict[str, dict[str, Any]] = {
    recipe: {name: values[column] for name, values in _SETTINGS.items()}
    for column, recipe in enumerate(get_args(GradientRecipe))
}
"""Training defaults of each recipe that trains by gradient descent."""

NETWORKS: dict[str, dict[str, Any]] = {
    "linear": {
        "width": 0.0,
        "pooling": "statistics",
        "pool_blocks": (3, 4),
        "seconds": 0.0,
        "category_source": "events",
        "tta_shifts": 3,
    },
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
"""Network and score defaults of each recipe."""

TWO_BRANCH_SYSTEMS = ("cbir_1", "cbir_3")
"""Systems that join the last feature maps of both branches; ``pool_blocks`` does not apply."""


def shortest_clip(options: SystemOptions) -> float:
    """Shortest clip in seconds: a patch of VGGish and its hop, or a few frames of other maps."""
    patches = options.width > 0 or options.backbone in ("vggish", "none")
    return 1.0 if patches else 0.25


def network_defaults(recipe: str, system: str, backbone: str) -> dict[str, Any]:
    """The network defaults of a recipe; the paper's where the system or backbone needs them."""
    defaults = dict(NETWORKS[recipe])
    paper = NETWORKS["paper"]
    if system in TWO_BRANCH_SYSTEMS or backbone == "none":
        defaults["width"] = paper["width"]
    if system in TWO_BRANCH_SYSTEMS:
        defaults["pool_blocks"] = paper["pool_blocks"]
    if system == "cbir_4":
        defaults["pooling"] = paper["pooling"]
    return defaults


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How to split the data into training, validation and test sets."""

    evaluation: Evaluation = option(
        "auto",
        "How to score: crossfit, holdout, none; crossfit: train on all clips, and score each clip "
        "by a model that was not trained on its recording; auto: crossfit for linear",
        common=True,
        metavar="NAME",
    )
    protocol: Protocol = option(
        "auto",
        "Split: folds, grouped, random, all; folds: the official folds; grouped: by recording; "
        "random: the paper's; all: train on every clip, without a test set",
        common=True,
        metavar="NAME",
    )
    test_fraction: float = option(0.2, "Share of the test set", low=0.01, high=0.9)
    val_fraction: float = option(0.15, "Share of the validation set", low=0.01, high=0.9)
    train_folds: tuple[int, ...] = option((), "Official folds of the training set, such as 1,2")
    val_folds: tuple[int, ...] = option((), "Official folds of the validation set")
    test_folds: tuple[int, ...] = option((), "Official folds of the test set")
    select_on: Literal["val", "test"] = option(
        "val", "Set that selects the epoch; test, as in the paper, gives scores that are too high"
    )


@dataclass(frozen=True, kw_only=True)
class ScoreOptions:
    """How to compute predictions from the outputs of the network."""

    category_source: CategorySource = option(
        "head", "Compute the category from its head, the sum of its events, or the mean of both"
    )
    tta_shifts: int = option(
        1, "Average the predictions for this number of time-shifted copies", low=1, high=16
    )
    keep_known: float = option(
        0.95, "Share of known clips that must not count as unknown", low=0.6, high=0.999
    )

    thresholds: Literal["f1", "precision", "recall"] = option(
        "f1",
        "Threshold of each class: highest f1; or precision or recall of at least the target",
    )
    threshold_target: float = option(0.9, "The target of the thresholds", low=0.01, high=1)


LONGEST_FILTER = 600
"""Seconds of the longest filter of scores: the time that a filter takes grows with its length."""
LONGEST_EVENT = 1_000_000
"""Seconds, 11 days, that lengths of events and gaps are at most."""


@dataclass(frozen=True, kw_only=True)
class EventOptions:
    """How to make events from the scores of a class over time."""

    method: Literal["threshold", "change_point"] = option(
        "change_point",
        "Where events start and end: where the score crosses the threshold, or changes most",
    )
    threshold: float = option(0.5, "Score from which an event counts", low=0, high=1)
    hysteresis: float = option(
        1.0,
        "Method threshold: an event extends, to both sides, while the score is at least this share "
        "of the threshold; 1 for no hysteresis",
        low=0.01,
        high=1,
    )
    median: float = option(
        0.0, "Length of the median filter in seconds; 0 for none", low=0, high=LONGEST_FILTER
    )
    merge_gap: float = option(
        0.0,
        "Join events of a class with a gap of at most this length in seconds",
        low=0,
        high=LONGEST_EVENT,
    )
    min_length: float = option(
        0.0, "Drop events that are shorter, in seconds", low=0, high=LONGEST_EVENT
    )
    max_length: float = option(
        0.0,
        "End longer events at this length in seconds; 0 for no limit",
        low=0,
        high=LONGEST_EVENT,
    )
    step: float = option(
        0.64,
        "Method change_point: length of the step filter in seconds",
        low=0,
        high=LONGEST_FILTER,
    )
    merge_absolute: float = option(
        0.2,
        "Method change_point: join events if their score is less than this above that of the gap; "
        "0 for off",
        low=0,
        high=1,
    )
    merge_relative: float = option(
        2.0,
        "Method change_point: join events if their score is less than this multiple of that of the "
        "gap; 0 for off",
        low=0,
    )


@dataclass(frozen=True, kw_only=True)
class CurveOptions:
    """Sizes of a learning curve."""

    sizes: tuple[int, ...] = option((1, 2, 4, 8, 16), "Clips per class", low=1, common=True)
    draws: int = option(4, "Folds, if DATA has no official folds", low=2, common=True)
    more: int = option(20, "Predict the gain of this number of new clips", low=1, common=True)


@dataclass(frozen=True, kw_only=True)
class TeachingOptions:
    """Teachers of a student, and the weights of the distillation losses."""

    teachers: tuple[str, ...] = option(
        (), "Model file or run folder of a teacher; repeat the option for more", flag="teacher",
        metavar="MODEL", common=True,
    )  # fmt: skip
    unlabelled: tuple[str, ...] = option(
        (), "Folder of unlabelled sounds; repeat the option for more", metavar="FOLDER", common=True
    )
    teacher_weight: float = option(
        0.9, "Weight of the teacher loss; the label loss has the rest", low=0, high=1
    )
    temperature: float = option(
        2.0, "Temperature that softens the teacher targets", low=0.1, high=20
    )
    feature_weight: float = option(
        1.0, "Weight of the distance between the embeddings; 0 for none", low=0
    )
    frame_weight: float = option(
        10.0, "Weight of the distance between the features per frame; 0 for none", low=0
    )


def resolve(options: TrainOptions, system: str) -> TrainOptions:
    """Replace every ``None`` by the recipe's value; ``mix_same_class`` is on for cbir_3 only.

    If ``epochs`` is set, the recipe's ``min_steps`` does not apply. Linear heads have no such
    settings; they learn from all clips that are not test clips.
    """
    if options.recipe in ("auto", "linear"):
        return dataclasses.replace(options, checkpoint="last")
    defaults = {**RECIPES[options.recipe], "mix_same_class": system == "cbir_3"}
    if options.epochs is not None:
        defaults["min_steps"] = 0
    missing = {name: value for name, value in defaults.items() if getattr(options, name) is None}
    return dataclasses.replace(options, **missing)


def check(options: Any) -> None:
    """Check type, choices and limits of every field.

    Raises:
        OptionsError: lists every invalid field with its value and the rule it breaks.
    """
    if issues := _issues(options):
        raise OptionsError("; ".join(issues))


def to_dict(options: Any) -> dict[str, Any]:
    """An options dataclass as JSON values."""
    values = dataclasses.asdict(options)
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }


def from_dict(kind: type[Options], values: Mapping[str, Any]) -> Options:
    """The inverse of :func:`to_dict`, with checks as in :func:`from_flat`."""
    options: Options = from_flat([kind], values)[0]
    return options


def from_flat(kinds: Iterable[type], values: Mapping[str, Any]) -> list[Any]:
    """Options of several dataclasses from one mapping; missing fields take their defaults.

    Raises:
        OptionsError: lists every unknown name and every invalid value.
    """
    found, issues, known = [], [], set()
    for kind in kinds:
        names = {item.name for item in fields(kind)}
        known |= names
        options = kind(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
                if name in names
            }
        )
        found.append(options)
        issues += _issues(options)
    if unknown := sorted(set(values) - known):
        issues.append(
            f"unknown options {', '.join(unknown)}; known options: {', '.join(sorted(known))}"
        )
    if issues:
        raise OptionsError("; ".join(issues))
    return found


def without_none(hint: Any) -> Any:
    """The type of an optional field without ``None``."""
    if get_origin(hint) in (UnionType, Union):
        return next(kind for kind in get_args(hint) if kind is not type(None))
    return hint


def _issues(options: Any) -> list[str]:
    hints = get_type_hints(type(options))
    values = {item.name: getattr(options, item.name) for item in fields(options)}
    return [
        f"{item.name} must be {rule}, got {values[item.name]!r}"
        for item in fields(options)
        if (rule := _broken_rule(values[item.name], hints[item.name], item.metadata))
    ]


def _broken_rule(value: Any, hint: Any, limits: Mapping[str, Any]) -> str:
    """The first rule that a value breaks, such as ``at least 0``; empty if it is valid."""
    if value is None and type(None) in get_args(hint):
        return ""
    hint = without_none(hint)
    if get_origin(hint) is Literal:
        return "" if value in get_args(hint) else f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        if not isinstance(value, tuple):
            return "a list"
        rules = (_broken_rule(item, get_args(hint)[0], limits) for item in value)
        return next(filter(None, rules), "")
    types = (int, float) if hint is float else get_origin(hint) or hint
    if not isinstance(value, types) or (isinstance(value, bool) and hint is not bool):
        return f"of type {hint.__name__}"
    if isinstance(value, float) and not math.isfinite(value):
        return "finite"
    if "low" in limits and value < limits["low"]:
        return f"at least {limits['low']}"
    if "high" in limits and value > limits["high"]:
        return f"at most {limits['high']}"
    return ""
