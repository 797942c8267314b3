"""The section of a model card on repeating the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sonotype.config import ScoreOptions, to_dict
from sonotype.core.errors import OptionsError
from sonotype.core.version import __version__
from sonotype.experiments.run_folder import CONFIG, PATHS
from sonotype.experiments.run_options import KINDS, RunOptions
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.pretrained import is_model_file
from sonotype.report.markdown import md, table
from sonotype.report.repeat import repeat_command

KINDS_IN_FILE = ("options", "split", "source", "teaching")
"""Options that a model file records, next to those of its network."""


def repeat_lines(
    card: ModelCard, options: RunOptions | None, *, unreadable: bool = False
) -> Iterator[str]:
    """The command, and the versions of the packages.

    Args:
        card: of the model file.
        options: of the run; ``None`` to take those that the model file records.
        unreadable: whether the options of the run cannot be read.
    """
    if unreadable:
        yield (
            f"The command is not known: sonotype {__version__} cannot read the options in "
            f"`{CONFIG}`, which may be of another version."
        )
        return
    data = md(card.training.get("data", ""))
    options = _recorded(card) if options is None else options
    if options is None or not data:
        yield "The model file does not record how it was trained."
        return
    yield f"With the data {data} in the folder `DATA`:"
    yield "\n".join(["```sh", repeat_command("DATA", _without_folders(options), "RUN"), "```"])
    if fingerprint := card.training.get("fingerprint"):
        yield f"Fingerprint of the data (in `config.json` of a run): `{fingerprint}`."
    yield table(["package", "version"], [[md(a), md(b)] for a, b in sorted(card.versions.items())])


def _recorded(card: ModelCard) -> RunOptions | None:
    """The options in a model file; ``None`` if it lacks them."""
    known = {item.name for kind in KINDS for item in fields(kind)}
    parts: list[Mapping[str, Any]] = [
        to_dict(card.options),
        *(card.training.get(kind, {}) for kind in KINDS_IN_FILE),
        to_dict(ScoreOptions(category_source=card.category_source, tta_shifts=card.tta_shifts)),
        {"backbone": card.training.get("backbone", card.options.backbone)},
    ]
    if "recipe" not in card.training.get("options", {}):
        return None
    values = {name: value for part in parts for name, value in part.items() if name in known}
    try:
        return RunOptions.of(values)
    except (OptionsError, TypeError, ValueError):  # an option of an earlier version
        return None


def _without_folders(options: RunOptions) -> RunOptions:
    """Paths cut to their last two parts: a card must not reveal the folders of a machine."""
    system, teaching = options.system, options.teaching
    if is_model_file(system.backbone):
        system = replace(system, backbone=_short(system.backbone))
    paths: Any = {name: tuple(map(_short, getattr(teaching, name))) for name in PATHS}
    return replace(options, system=system, teaching=replace(teaching, **paths))


def _short(path: str) -> str:
    return "/".join(Path(path).parts[-2:])
