"""What a model file says of itself besides its weights, as one JSON document.

Nothing here imports torch: files for other runtimes carry the same document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sonotype.audio.clip import AudioSpec
from sonotype.config import ScoreOptions, SystemOptions, from_dict, to_dict
from sonotype.core.errors import ModelFileError, OptionsError
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource
from sonotype.core.json_text import json_text
from sonotype.core.types import Labels
from sonotype.modelfile.older_formats import upgrade

FORMAT_VERSION = 4
KEY = "sonotype"
"""Under which the document stands among a file's metadata."""
RATE_STEP, HIGHEST_RATE = 16_000, 192_000
"""A network takes a whole multiple of 16 kHz."""


@dataclass(frozen=True)
class ModelCard:
    """All that a model file says besides its weights.

    Attributes:
        options: rebuild the network.
        labels: names of the outputs.
        sample_rate: of the waveforms that the network takes, in Hz.
        front_ends: names of the log-mel front ends, in the order of the branches.
        category_source: how the category is read unless asked otherwise.
        tta_shifts: over so many shifted versions of a clip the answers are averaged.
        training: recipe and options, split, data source and its fingerprint, best epoch.
        scores: of the test part, as :func:`sonotype.evaluation.metrics.scores_to_json` gives them.
        versions: of Python and the packages that trained it.
        licences: of the pretrained weights inside and of the training data, where known.
    """

    options: SystemOptions
    labels: Labels
    sample_rate: int
    front_ends: tuple[str, ...]
    category_source: CategorySource = "head"
    tta_shifts: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def audio_spec(self) -> AudioSpec:
        """What sounds are brought to before they meet the network."""
        return audio_spec_of(self.options, self.sample_rate)


def audio_spec_of(options: SystemOptions, sample_rate: int) -> AudioSpec:
    """What sounds are brought to before they meet a network that takes this sample rate."""
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
        {"format_version": FORMAT_VERSION, **asdict(card), "options": to_dict(card.options)},
        ensure_ascii=True,  # names from file systems may hold what UTF-8 has no bytes for
        sort_keys=True,
    )


def card_of(document: str, path: str | Path) -> ModelCard:
    """Read what :func:`document_of` wrote.

    Raises:
        ModelFileError: it is no such document, an entry of it is wrong, or it is from a newer
            version; names the file and the entry.
    """
    try:
        values = json.loads(document)
        version = values.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise ModelFileError(f"{path}: the header is no readable description of a model") from None
    if type(version) is not int or version < 1:
        raise ModelFileError(
            f"{path}: the header does not describe a model (format_version is "
            f"{_shown(version)}, an integer from 1 to {FORMAT_VERSION} is wanted)"
        )
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: was written by a newer sonotype (format {version}, this one reads up to "
            f"{FORMAT_VERSION}); upgrade sonotype"
        )
    try:
        values = upgrade(values, version)
        labels = _labels_of(values.pop("labels"))
        tta_shifts = values.get("tta_shifts", 1)
        from_dict(ScoreOptions, {"tta_shifts": tta_shifts})  # refuses what is no number
        card = ModelCard(
            options=from_dict(SystemOptions, _object("options", values.pop("options"))),
            labels=labels,
            front_ends=_strings("front_ends", values.pop("front_ends")),
            **values,
        )
        _check_rest(card)
    except (OptionsError, TypeError, KeyError, AttributeError, ValueError) as error:
        raise ModelFileError(f"{path}: the header does not describe a model ({error})") from None
    if card.category_source not in CATEGORY_SOURCES:
        raise ModelFileError(
            f"{path}: category_source is {card.category_source!r}, not a known way"
        )
    return card


def _labels_of(values: Any) -> Labels:
    """The labels; a ``TypeError`` or ``ValueError`` where their entries do not fit each other."""
    lists = {name: _list(name, entries) for name, entries in _object("labels", values).items()}
    for name in ("categories", "events"):
        entries = _strings(name, lists.get(name, []))
        if twice := sorted({one for one in entries if entries.count(one) > 1}):
            raise ValueError(f"{name} has {_shown(twice[0])} twice")
    labels = Labels(**{name: tuple(entries) for name, entries in lists.items()})
    if not labels.categories:
        raise ValueError("categories is empty")
    if len(labels.event_category) != len(labels.events):
        raise ValueError(
            f"event_category has {len(labels.event_category)} entries for {len(labels.events)} "
            "events"
        )
    last = len(labels.categories) - 1
    for index in labels.event_category:
        if type(index) is not int or not 0 <= index <= last:
            raise ValueError(f"event_category has {_shown(index)}, an index from 0 to {last} fits")
    return labels


def _check_rest(card: ModelCard) -> None:
    """A ``TypeError`` or ``ValueError`` where an entry is of another type than it has to be."""
    rate = card.sample_rate
    if type(rate) is not int or rate % RATE_STEP or not RATE_STEP <= rate <= HIGHEST_RATE:
        raise ValueError(
            f"sample_rate is {_shown(rate)}, a multiple of {RATE_STEP} up to {HIGHEST_RATE} is "
            "wanted"
        )
    for name in ("training", "scores", "versions", "licences"):
        _object(name, getattr(card, name))
    for name in ("clips", "split", "teaching"):
        _object(f"training.{name}", card.training.get(name, {}))
    for name, texts in (("versions", card.versions), ("licences", card.licences)):
        _strings(name, list(texts.values()))


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} is {_shown(value)}, an object is wanted")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{name} is {_shown(value)}, a list is wanted")
    return value


def _strings(name: str, value: Any) -> tuple[str, ...]:
    for one in _list(name, value):
        if not isinstance(one, str):
            raise TypeError(f"{name} has {_shown(one)}, which is not a string")
    return tuple(value)


def _shown(value: Any) -> str:
    """A value in an error; a damaged file can hold a very long one."""
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
