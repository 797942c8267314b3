"""The card of a model: everything in a model file except the weights, as one JSON document.

This file does not import torch: ONNX files carry the same document.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sonotype.audio.clip import AudioSpec
from sonotype.config import ScoreOptions, SystemOptions, from_dict, shortest_clip, to_dict
from sonotype.core.errors import ModelFileError, OptionsError
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource
from sonotype.core.json_text import json_text, json_value
from sonotype.core.types import Head, Heads
from sonotype.modelfile.detection import Detection, detection_of
from sonotype.modelfile.older_formats import upgrade

FORMAT_VERSION = 7
KEY = "sonotype"
"""Key of the document in the metadata of a file."""
LARGEST = sys.float_info.max
RATE_STEP, HIGHEST_RATE = 16_000, 192_000
"""The sample rate of a network is a multiple of 16 kHz."""


@dataclass(frozen=True)
class ModelCard:
    """Everything in a model file except the weights.

    Attributes:
        options: rebuild the network.
        heads: the outputs: names of the classes, hierarchy, temperatures, thresholds.
        sample_rate: of the network's input, in Hz.
        front_ends: names of the log-mel front ends, in the order of the branches.
        category_source: how to read coarse levels by default.
        tta_shifts: number of circular shifts of a clip to average over by default.
        unknown_head: name of the head whose classes are the known ones; empty if the network has no
            unknown score.
        unknown_threshold: score above which a sound counts as unknown; ``None`` if not known.
        detection: how to detect events in recordings; ``None`` if this was not fitted.
        training: recipe and options, split, data source and its fingerprint, best epoch.
        scores: of the test split, from :func:`sonotype.evaluation.metrics.scores_to_json`.
        versions: of Python and the packages at training time.
        licences: of the pretrained weights inside and of the training data, if known.
    """

    options: SystemOptions
    heads: Heads
    sample_rate: int
    front_ends: tuple[str, ...]
    category_source: CategorySource = "head"
    tta_shifts: int = 1
    unknown_head: str = ""
    unknown_threshold: float | None = None
    detection: Detection | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def audio_spec(self) -> AudioSpec:
        """Sample rate, length and padding of the clips for the network."""
        return audio_spec_of(self.options, self.sample_rate)


def audio_spec_of(options: SystemOptions, sample_rate: int) -> AudioSpec:
    """Sample rate, length and padding of the clips for a network of this sample rate."""
    return AudioSpec(
        sample_rate=sample_rate,
        seconds=options.seconds,
        pad=options.pad,
        crop=options.crop,
        trim=options.trim,
    )


def document_of(card: ModelCard) -> str:
    """The card as JSON, in ASCII."""
    return json_text(
        {
            "format_version": FORMAT_VERSION,
            **asdict(card),
            "options": to_dict(card.options),
            "detection": None if card.detection is None else card.detection.to_json(),
        },
        ensure_ascii=True,  # file names may hold characters that UTF-8 cannot encode
        sort_keys=True,
    )


def card_of(document: str, path: str | Path) -> ModelCard:
    """Read a document that :func:`document_of` wrote.

    Raises:
        ModelFileError: another document, an invalid entry, or a newer format; names the file and
            the entry.
    """
    try:
        values = json_value(document, wide=True)
        version = values.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ModelFileError(f"{path}: the header is no readable description of a model") from None
    if type(version) is not int or version < 1:
        raise ModelFileError(
            f"{path}: the header does not describe a model (format_version is "
            f"{_shown(version)}, must be an integer from 1 to {FORMAT_VERSION})"
        )
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: was written by a newer sonotype (format {version}, this one reads up to "
            f"{FORMAT_VERSION}); upgrade sonotype"
        )
    try:
        values = upgrade(values, version)
        heads = _heads_of(values.pop("heads"))
        classes = {head.name: len(head.classes) for head in heads}
        detection = detection_of(values.pop("detection", None), classes)
        # Refuses other types and values below 1.
        from_dict(ScoreOptions, {"tta_shifts": values.get("tta_shifts", 1)})
        card = ModelCard(
            options=from_dict(SystemOptions, _object("options", values.pop("options"))),
            heads=heads,
            front_ends=_strings("front_ends", values.pop("front_ends")),
            detection=detection,
            **values,
        )
        _check_rest(card)
        for name in ("training", "scores"):
            _require_usual_integers(name, getattr(card, name))
        if detection is not None:
            _require_usual_integers("detection.tuned", detection.tuned)
    except (OptionsError, TypeError, KeyError, AttributeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ModelFileError(f"{path}: the header does not describe a model ({reason})") from None
    if card.category_source not in CATEGORY_SOURCES:
        raise ModelFileError(
            f"{path}: category_source is {card.category_source!r}, must be one of "
            f"{', '.join(CATEGORY_SOURCES)}"
        )
    return card


def _heads_of(values: Any) -> Heads:
    """The heads; a ``TypeError`` or ``ValueError`` if their entries do not fit each other."""
    heads: dict[str, Head] = {}
    for entry in _list("heads", values):
        head = _head_of(_object("heads", entry))
        if head.name in heads:
            raise ValueError(f"heads has {head.name!r} twice")
        if head.parent is not None and head.parent not in heads:
            raise ValueError(
                f"parent of head {head.name!r} is {_shown(head.parent)}, must be a head above it"
            )
        _check_parent_index(head, len(heads[head.parent].classes) if head.parent else 0)
        heads[head.name] = head
    if not heads:
        raise ValueError("heads is [], must name at least one head")
    return tuple(heads.values())


def _head_of(entries: Mapping[str, Any]) -> Head:
    numbers = ("parent_index", "unlabelled", "thresholds")
    _numbers("temperature", [entries.get("temperature", 1.0)])
    _strings("name", [entries.get("name")])
    if entries.get("parent") is not None:
        _strings("parent", [entries["parent"]])
    return Head(
        **{
            **entries,
            "classes": _strings("classes", entries.get("classes")),
            **{name: tuple(_numbers(name, entries.get(name, []))) for name in numbers},
        }
    )


def _check_parent_index(head: Head, parents: int) -> None:
    for index in head.parent_index:
        if type(index) is not int or not 0 <= index < parents:
            raise ValueError(
                f"parent_index of head {head.name!r} has {_shown(index)}, must be an index from 0 "
                f"to {parents - 1}"
            )
    if head.unlabelled and len(head.unlabelled) != parents:
        raise ValueError(
            f"unlabelled of head {head.name!r} has {len(head.unlabelled)} shares for {parents} "
            "classes of its parent"
        )


def _check_rest(card: ModelCard) -> None:
    """Raise a ``TypeError`` or ``ValueError`` if an entry has the wrong type."""
    rate = card.sample_rate
    if type(rate) is not int or rate % RATE_STEP or not RATE_STEP <= rate <= HIGHEST_RATE:
        raise ValueError(
            f"sample_rate is {_shown(rate)}, must be a multiple of {RATE_STEP} up to {HIGHEST_RATE}"
        )
    shortest = shortest_clip(card.options)
    if card.options.seconds < shortest:
        raise ValueError(f"seconds is {card.options.seconds:g}, must be at least {shortest:g}")
    if card.unknown_head not in ("", *(head.name for head in card.heads)):
        raise ValueError(f"unknown_head is {_shown(card.unknown_head)}, must be a head")
    if card.unknown_threshold is not None:
        _numbers("unknown_threshold", [card.unknown_threshold])
        if abs(card.unknown_threshold) > LARGEST:  # an integer that no float holds
            raise ValueError(f"unknown_threshold is {_shown(card.unknown_threshold)}, too large")
    for name in ("training", "scores", "versions", "licences"):
        _object(name, getattr(card, name))
    _check_training(card.training)
    for name, texts in (("versions", card.versions), ("licences", card.licences)):
        _strings(name, list(texts.values()))


def _check_training(training: Mapping[str, Any]) -> None:
    """Raise a ``TypeError`` if an entry that commands read has the wrong type."""
    for name in ("clips", "options", "split", "source", "teaching"):
        _object(f"training.{name}", training.get(name, {}))
    for name in ("data", "backbone"):
        _strings(f"training.{name}", [training.get(name, "")])
    for name in ("fingerprint", "protocol"):
        if training.get(name) is not None:
            _strings(f"training.{name}", [training[name]])
    if training.get("seen") is not None:  # ``None``: not known
        _strings("training.seen", training["seen"])
    for name in ("teachers", "unlabelled"):
        _strings(f"training.teaching.{name}", training.get("teaching", {}).get(name, []))
    for name, default in (("seed", 0), ("class_weights", False)):
        value = training.get("options", {}).get(name, default)
        if type(value) is not type(default):
            raise TypeError(f"training.options.{name} is {_shown(value)}, which is another type")


def _require_usual_integers(name: str, value: Any) -> None:
    """Raise a ``ValueError`` for an integer of more than 64 bits, which many functions refuse."""
    if isinstance(value, Mapping):
        for entry, part in value.items():
            _require_usual_integers(f"{name}.{entry}", part)
    elif isinstance(value, list):
        for part in value:
            _require_usual_integers(name, part)
    elif type(value) is int and not -(2**63) <= value < 2**64:
        raise ValueError(f"{name} has {_shown(value)}, which has more than 64 bits")


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {_shown(value)}, must be an object")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{name} is {_shown(value)}, must be a list")
    return value


def _numbers(name: str, value: Any) -> list[Any]:
    for entry in _list(name, value):
        if type(entry) not in (int, float) or not -math.inf < entry < math.inf:
            raise TypeError(f"{name} has {_shown(entry)}, which is not a finite number")
    return list(value)


def _strings(name: str, value: Any) -> tuple[str, ...]:
    for entry in _list(name, value):
        if not isinstance(entry, str):
            raise TypeError(f"{name} has {_shown(entry)}, which is not a string")
    return tuple(value)


def _shown(value: Any) -> str:
    """A value for a message, shortened: a damaged file can hold a very long value."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
