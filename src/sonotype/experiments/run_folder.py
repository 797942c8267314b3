"""The folder of a run: what lies where, and what binds a run that is gone on with.

A run folder holds ``config.json`` (all options and the data's fingerprint), ``split.csv`` (which
clip is in which part), checkpoints and logs under ``training/``, and at the end
``model.safetensors``, ``scores.json``, ``scores.txt``, ``predictions.csv``, ``predictions.npz``,
``training.csv`` and ``plots/``.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sonotype.config import NETWORKS
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import file_sha256, replacing, write_text
from sonotype.core.json_text import json_text
from sonotype.core.version import __version__
from sonotype.data.augment.augmented_copies import Transform
from sonotype.data.readers.walk import sounds_below
from sonotype.data.splits.split_file import SPLIT
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.locate import find_model
from sonotype.modelfile.pretrained import is_model_file, model_file_of
from sonotype.training.provenance import SEEN_CLIPS

CONFIG, MODEL, SCORES = "config.json", "model.safetensors", "scores.json"
PREDICTIONS, HISTORY = "predictions.npz", "training.csv"
PATHS = frozenset({"teachers", "unlabelled"})
"""Options that name files and folders; the backbone may name a file as well."""


def refuse_occupied(folder: Path) -> None:
    """Raise an ``OptionsError`` where a new run cannot have this folder."""
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"{folder} is a file; a run needs a folder of its own")
    if (folder / CONFIG).exists():
        raise OptionsError(
            f"{folder} holds a run already; --resume {folder} goes on with it, or name "
            "another --out"
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionsError(f"{folder} is not empty; a run needs a folder of its own")


def lock_config(
    folder: Path,
    data: str | Path,
    options: RunOptions,
    fingerprint: str,
    transform: Transform | None,
) -> None:
    """Note what the run is made of, for :func:`read_config`, or compare with what was noted.

    Raises:
        OptionsError: a file that the run was begun with has another content now.
        SonotypeError: the folder cannot be written.
    """
    files = made_from(options)
    _refuse_changed(folder / CONFIG, options, files)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "sonotype": __version__,
            "data": str(Path(data).resolve()),
            "fingerprint": fingerprint,
            "transform": None if transform is None else repr(transform),
            "options": located(options).flat(),
            "files": files,
        }
        write_text(folder / CONFIG, json_text(config, indent=2) + "\n")
    except OSError as error:
        raise SonotypeError(f"{folder}: cannot be written ({error.strerror})") from error


def located(options: RunOptions) -> RunOptions:
    """The options with absolute paths, so that they hold in any working directory."""
    backbone, teaching = options.system.backbone, options.teaching
    teachers, unlabelled = (
        tuple(map(absolute, names)) for names in (teaching.teachers, teaching.unlabelled)
    )
    if is_model_file(backbone):
        backbone = absolute(backbone)
    return replace(
        options,
        system=replace(options.system, backbone=backbone),
        teaching=replace(teaching, teachers=teachers, unlabelled=unlabelled),
    )


def absolute(name: str) -> str:
    """An absolute path; the last part stays as it is, also where it is a link."""
    path = Path(name)
    return str(path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name)


def comparable(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Flat options, with paths by their last two parts, wherever these lie.

    What the files hold is compared by :func:`changed_files`.
    """
    values = dict(flat)
    for name in PATHS & values.keys():
        values[name] = [_last_parts(one) for one in values[name]]
    if is_model_file(str(values.get("backbone", ""))):
        values["backbone"] = _last_parts(values["backbone"])
    return values


def _last_parts(name: str) -> list[str]:
    return list(Path(absolute(name)).parts[-2:])


def made_from(options: RunOptions) -> dict[str, str]:
    """Digests of all that a run is made from beside its data.

    These are teachers with what they have heard, unlabelled sounds, and a backbone's model file.
    """
    return {role: _digest(paths) for role, (_, paths) in _files_of(options).items()}


def changed_files(
    config: Mapping[str, Any], options: RunOptions, now: Mapping[str, str]
) -> list[str]:
    """What a run is made from that is not as its ``config.json`` says it was; as far as it says.

    Args:
        config: what was noted.
        options: of the run.
        now: from :func:`made_from`.
    """
    noted = config.get("files") or {}
    return [
        f"{role} ({name})"
        for role, (name, _) in _files_of(options).items()
        if noted.get(role, now[role]) != now[role]
    ]


def _files_of(options: RunOptions) -> dict[str, tuple[str, list[Path]]]:
    """By its role, how each is named and which files it is."""
    files: dict[str, tuple[str, list[Path]]] = {}
    for number, name in enumerate(options.teaching.teachers, start=1):
        model = find_model(name)
        files[f"teacher {number}"] = name, [model, model.parent / SPLIT, model.parent / SEEN_CLIPS]
    for number, name in enumerate(options.teaching.unlabelled, start=1):
        files[f"unlabelled folder {number}"] = name, sounds_below(Path(name))
    if file := model_file_of(options.system.backbone):
        files["backbone"] = options.system.backbone, [file]
    return files


def _digest(paths: Sequence[Path]) -> str:
    """Of the names and contents of those files that are there."""
    there = [f"{path.name} {file_sha256(path)}" for path in paths if path.is_file()]
    return hashlib.sha256("\n".join(there).encode("utf-8", "surrogateescape")).hexdigest()


def _refuse_changed(path: Path, options: RunOptions, now: Mapping[str, str]) -> None:
    """Compare what a run is made from with what was noted when it began, if it was."""
    if path.exists() and (changed := changed_files(_config(path), options, now)):
        raise OptionsError(
            f"{', '.join(changed)}: changed since {path.parent} was begun; put it back to go on, "
            "or train a new run"
        )


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        return {**config}
    except (OSError, ValueError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None


def options_of(config: Mapping[str, Any]) -> RunOptions:
    """The options of a ``config.json``; one that does not name some was written before they were.

    Raises:
        OptionsError: there are none in it, or none that will do.
        KeyError: it names no options.
    """
    flat = config["options"]
    before = {**NETWORKS["paper"]}
    if flat.get("teachers"):
        before["frame_weight"] = 0.0
    return RunOptions.of({**before, **flat})


def read_config(
    folder: Path, options: Mapping[str, Any], transform: Transform | None
) -> tuple[str, RunOptions, str]:
    """Data, options and fingerprint of the run that is in a folder.

    Raises:
        OptionsError: there is none, it is finished, or more was asked for than it can give.
    """
    if fixed := options.keys() - {"cache_gb"}:  # which changes no result
        names = ", ".join(sorted(fixed))
        raise OptionsError(f"--resume takes all options from the run; leave out {names}")
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--resume {folder}: is no folder; name the run folder")
    if not (folder / CONFIG).exists():
        raise OptionsError(f"{folder} holds no run to go on with ({CONFIG} is missing)")
    config = _config(folder / CONFIG)
    try:
        data, chosen, found = config["data"], options_of(config), config["fingerprint"]
    except (KeyError, AttributeError, TypeError) as error:
        raise OptionsError(f"{folder / CONFIG} cannot be read ({error})") from None
    if bool(config.get("transform")) != (transform is not None):
        wanted = config.get("transform")
        raise OptionsError(
            f"{folder} was trained with the transform {wanted}; give it again to go on"
            if wanted
            else f"{folder} was trained without a transform; leave it out to go on"
        )
    if (folder / SCORES).exists():
        raise OptionsError(f"{folder} is finished; its scores are in {folder / SCORES}")
    return data, RunOptions.of({**chosen.flat(), **options}), found


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write losses and scores as CSV, a row an epoch."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
