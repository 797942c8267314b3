"""The folder of a run: its files, and the checks that a resumed run is still the same run.

A run folder holds ``config.json`` (all options and the fingerprint of the data), ``split.csv`` (the
subset of each clip), checkpoints and logs under ``training/``, and at the end
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
from sonotype.data.splits.split_file import SPLIT, rows_of, same_split, split_table
from sonotype.experiments.context import RunContext
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.locate import find_model
from sonotype.modelfile.pretrained import is_model_file, model_file_of
from sonotype.training.provenance import SEEN_CLIPS

CONFIG, MODEL, SCORES = "config.json", "model.safetensors", "scores.json"
PREDICTIONS, HISTORY = "predictions.npz", "training.csv"
PATHS = frozenset({"teachers", "unlabelled"})
"""Options that name files and folders; the backbone may name a file as well."""
NOT_COMPARED = frozenset({"cache_gb"})
"""Options that change no result; a resumed run may have others."""


def require_free(folder: Path) -> None:
    """Raise an ``OptionsError`` if a new run cannot use this folder."""
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"{folder} is a file; name a new folder")
    if (folder / CONFIG).exists():
        raise OptionsError(
            f"{folder} already holds a run; resume it with --resume {folder}, or name another --out"
        )
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionsError(f"{folder} is not empty; a run needs an empty folder")


def lock_config(context: RunContext) -> None:
    """Write ``config.json``; if it exists, first check that the files it names are unchanged.

    Raises:
        OptionsError: a file has changed since the run was started.
        SonotypeError: the folder cannot be written.
    """
    folder, options = context.folder, context.options
    path, files = folder / CONFIG, made_from(options)
    if path.exists() and (changed := changed_files(read_json(path), options, files)):
        raise OptionsError(
            f"{', '.join(changed)}: changed since {folder} was started; restore it, or train a "
            "new run"
        )
    transform = context.transform
    try:
        folder.mkdir(parents=True, exist_ok=True)
        config = {
            "sonotype": __version__,
            "data": str(Path(context.data).resolve()),
            "fingerprint": context.fingerprint,
            "transform": None if transform is None else repr(transform),
            "options": options.flat(),
            "files": files,
        }
        write_text(path, json_text(config, indent=2) + "\n")
    except OSError as error:
        raise SonotypeError(f"{folder}: cannot be written ({error.strerror})") from error


def read_config(
    folder: Path, options: Mapping[str, Any], transform: Transform | None
) -> tuple[str, RunOptions, str]:
    """Data, options and fingerprint of the run to resume.

    Raises:
        OptionsError: there is no run, it is finished, or other options were set.
    """
    if fixed := options.keys() - NOT_COMPARED:
        names = ", ".join(sorted(fixed))
        raise OptionsError(f"--resume takes all options from the run; leave out {names}")
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--resume {folder}: is not a folder; name a run folder")
    if not (folder / CONFIG).exists():
        raise OptionsError(f"--resume {folder}: holds no run ({CONFIG} is missing)")
    config = read_json(folder / CONFIG)
    try:
        data, chosen, fingerprint = config["data"], options_of(config), config["fingerprint"]
    except (KeyError, AttributeError, TypeError) as error:
        raise OptionsError(f"{folder / CONFIG} cannot be read ({error})") from None
    used = config.get("transform")
    if used and transform is None:
        raise OptionsError(f"{folder} was trained with the transform {used}; pass it again")
    if transform is not None and not used:
        raise OptionsError(f"{folder} was trained without a transform; leave it out")
    if (folder / SCORES).exists():
        raise OptionsError(f"{folder} is finished; its scores are in {folder / SCORES}")
    return data, RunOptions.of({**chosen.flat(), **options}), fingerprint


def check_same_config(context: RunContext) -> None:
    """Raise an ``OptionsError`` if the run was started with other options, data or split."""
    path, split = context.folder / CONFIG, context.folder / SPLIT
    if not path.exists():
        return
    try:
        names = _changed_names(read_json(path), context)
    except (KeyError, AttributeError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None
    # The same sounds with other folds or groups give another split.
    if not names and split.exists():
        rows = rows_of(split_table(context.manifest, context.split))
        names += [] if same_split(split, rows) else ["folds or groups of the data"]
    if names:
        raise OptionsError(
            f"{context.folder} was run with other {', '.join(names)}; remove it to run it again, "
            "or name another --out"
        )


def _changed_names(config: Mapping[str, Any], context: RunContext) -> list[str]:
    """Names of what differs from a config: options, files, ``transform`` and ``data``."""
    before, now = (comparable(options.flat()) for options in (options_of(config), context.options))
    names = sorted(name for name in now if before[name] != now[name])
    names += changed_files(config, context.options, made_from(context.options))
    if bool(config.get("transform")) != (context.transform is not None):
        names.append("transform")
    return names + (["data"] if config["fingerprint"] != context.fingerprint else [])


def options_of(config: Mapping[str, Any]) -> RunOptions:
    """The options of a ``config.json``; defaults for those that did not exist when it was written.

    Raises:
        OptionsError: invalid options.
        KeyError: no options.
    """
    flat = config["options"]
    before = {**NETWORKS["paper"]}
    if flat.get("teachers"):
        before["frame_weight"] = 0.0
    return RunOptions.of({**before, **flat})


def with_absolute_paths(options: RunOptions) -> RunOptions:
    """The options with absolute paths, which are valid in any working directory."""
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


def absolute(name: str | Path) -> str:
    """An absolute path; if its last part is a link, that stays a link."""
    path = Path(name)
    return str(path.resolve() if path.name in ("", "..") else path.parent.resolve() / path.name)


def comparable(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Flat options that change the result, with only the last two parts of paths.

    The contents of the files are compared by :func:`changed_files`.
    """
    values = {name: value for name, value in flat.items() if name not in NOT_COMPARED}
    for name in PATHS & values.keys():
        values[name] = [_last_parts(path) for path in values[name]]
    if is_model_file(str(values.get("backbone", ""))):
        values["backbone"] = _last_parts(values["backbone"])
    return values


def _last_parts(name: str) -> list[str]:
    return list(Path(absolute(name)).parts[-2:])


def made_from(options: RunOptions) -> dict[str, str]:
    """Digests of the files that a run uses beside its data, by role.

    The files are teachers with their seen clips, unlabelled sounds, and a backbone's model file.
    """
    return {role: _digest(paths) for role, (_, paths) in _files_of(options).items()}


def changed_files(
    config: Mapping[str, Any], options: RunOptions, now: Mapping[str, str]
) -> list[str]:
    """Role and name of each file whose digest differs from the one in ``config.json``.

    Args:
        config: as it was recorded.
        options: of the run.
        now: the digests, from :func:`made_from`.
    """
    recorded = config.get("files") or {}
    return [
        f"{role} ({name})"
        for role, (name, _) in _files_of(options).items()
        if recorded.get(role, now[role]) != now[role]
    ]


def _files_of(options: RunOptions) -> dict[str, tuple[str, list[Path]]]:
    """By role: the name in the options, and the files."""
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
    """Digest of the names and contents of the files that exist."""
    there = [f"{path.name} {file_sha256(path)}" for path in paths if path.is_file()]
    return hashlib.sha256("\n".join(there).encode("utf-8", "surrogateescape")).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        OptionsError: the file cannot be read, or holds something else.
    """
    try:
        return {**json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write losses and scores as CSV, one row per epoch."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
