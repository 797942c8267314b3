"""What a model file says of itself besides its weights, as one JSON document.

Nothing here imports torch: files for other runtimes carry the same document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sonotype.audio.clip import ClipFormat
from sonotype.config import ScoreOptions, SystemOptions, from_dict, to_dict
from sonotype.errors import ModelFileError, OptionsError
from sonotype.json_text import json_text
from sonotype.readout import CATEGORY_FROM, CategoryFrom
from sonotype.types import Labels

FORMAT_VERSION = 3
KEY = "sonotype"
"""Under which the document stands among a file's metadata."""


@dataclass(frozen=True)
class ModelCard:
    """All that a model file says besides its weights.

    Attributes:
        options: rebuild the network.
        labels: names of the outputs.
        sample_rate: of the waveforms that the network takes, in Hz.
        front_ends: names of the log-mel front ends, in the order of the branches.
        category_from: how the category is read unless asked otherwise.
        shifts: over so many shifted versions of a clip the answers are averaged.
        training: recipe and options, split, data source and its fingerprint, best epoch.
        scores: of the test part, as :func:`sonotype.evaluation.scores.scores_to_json` gives them.
        versions: of Python and the packages that trained it.
        licences: of the pretrained weights inside and of the training data, where known.
    """

    options: SystemOptions
    labels: Labels
    sample_rate: int
    front_ends: tuple[str, ...]
    category_from: CategoryFrom = "head"
    shifts: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)

    @property
    def form(self) -> ClipFormat:
        """What sounds are brought to before they meet the network."""
        return clip_format(self.options, self.sample_rate)


def clip_format(options: SystemOptions, sample_rate: int) -> ClipFormat:
    """What sounds are brought to before they meet a network that takes this sample rate."""
    return ClipFormat(
        sample_rate=sample_rate,
        seconds=options.seconds,
        pad=options.pad,
        cut=options.cut,
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
        ModelFileError: it is no such document, or from a newer version; names the file.
    """
    try:
        values = json.loads(document)
        version = values.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ModelFileError(f"{path}: the header is no readable description of a model") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: was written by a newer sonotype (format {version}, this one reads up to "
            f"{FORMAT_VERSION}); upgrade sonotype"
        )
    try:
        labels = {name: tuple(entries) for name, entries in values.pop("labels").items()}
        from_dict(ScoreOptions, {"shifts": values.get("shifts", 1)})  # refuses what is no number
        card = ModelCard(
            options=from_dict(SystemOptions, values.pop("options")),
            labels=Labels(**labels),
            front_ends=tuple(values.pop("front_ends")),
            **values,
        )
    except (OptionsError, TypeError, KeyError, AttributeError, ValueError) as error:
        raise ModelFileError(f"{path}: the header does not describe a model ({error})") from None
    if card.category_from not in CATEGORY_FROM:
        raise ModelFileError(f"{path}: category_from is {card.category_from!r}, not a known way")
    return card
