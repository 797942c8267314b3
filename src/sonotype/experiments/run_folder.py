"""The folder of a run: its files, and the checks that a resumed run is still the same run.

A run folder holds ``config.json`` (all options and the fingerprint of the data), ``split.csv`` (the
subset of each clip), checkpoints and logs under ``training/``, and at the end
``model.safetensors``, ``scores.json``, ``scores.txt``, ``predictions.csv``, ``predictions.npz``,
``training.csv``, ``time.json`` and ``plots/``.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sonotype.core.errors import OptionsError, SonotypeError, UnreadableError
from sonotype.core.io import file_sha256, is_part, replacing, write_text
from sonotype.core.json_text import json_text, read_json
from sonotype.core.text import listed
from sonotype.core.version import __version__
from sonotype.data.readers.walk import sounds_below
from sonotype.data.splits.split_file import SPLIT, same_split
from sonotype.experiments.context import RunContext
from sonotype.experiments.run_files import CONFIG as CONFIG
from sonotype.experiments.run_files import HISTORY as HISTORY
from sonotype.experiments.run_files import MODEL as MODEL
from sonotype.experiments.run_files import PREDICTIONS as PREDICTIONS
from sonotype.experiments.run_files import REPORT as REPORT
from sonotype.experiments.run_files import SCORES as SCORES
from sonotype.experiments.run_files import TIME as TIME
from sonotype.experiments.run_files import finished_at as finished_at
from sonotype.experiments.run_lock import LOCK
from sonotype.experiments.run_options import KINDS, RunOptions
from sonotype.inference.locate import find_model
from sonotype.modelfile.hub_address import is_hub_address
from sonotype.modelfile.pretrained import is_model_file, model_file_of
from sonotype.training.provenance import SEEN_CLIPS

PATHS = ("teachers", "unlabelled")
"""Options that name files and folders; the backbone may name a file as well."""
MAY_DIFFER = frozenset({"cache_gb", "devices", "nodes"})
"""Options that change no result (except by rounding); a resumed run may have others."""


def require_free(folder: Path) -> None:
    """Raise an ``OptionsError`` if a new run cannot use this folder."""
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"{folder} is a file; name a new folder")
    if (folder / CONFIG).exists():
        raise OptionsError(
            f"{folder} already holds a run; resume it with --resume {folder}, or name another --out"
        )
    # A run that was killed while it wrote config.json has left no more than these.
    names = {path.name for path in folder.iterdir()} - {LOCK} if folder.is_dir() else set()
    if not all(map(is_part, names)):
        raise OptionsError(f"{folder} is not empty; a run needs an empty folder")


def config_of(context: RunContext) -> dict[str, Any]:
    """What a run is made from, as ``config.json`` records it."""
    return {
        "sonotype": __version__,
        "data": str(Path(context.data).resolve()),
        "fingerprint": context.fingerprint,
        "transform": None if context.transform is None else repr(context.transform),
        "options": context.options.flat(),
        "files": {role: _digest(paths) for role, (_, paths) in files_of(context.options).items()},
    }


def lock_config(context: RunContext) -> None:
    """Write ``config.json``.

    Raises:
        SonotypeError: the folder cannot be written.
    """
    try:
        context.folder.mkdir(parents=True, exist_ok=True)
        write_text(context.folder / CONFIG, json_text(config_of(context), indent=2) + "\n")
    except OSError as error:
        raise SonotypeError(f"{context.folder}: cannot be written ({error.strerror})") from error


def read_config(folder: Path, options: Mapping[str, Any]) -> tuple[str, RunOptions]:
    """Data and options of the run to resume.

    Raises:
        OptionsError: there is no run, it is finished, or other options were set.
    """
    if fixed := options.keys() - MAY_DIFFER:
        names = ", ".join(sorted(fixed))
        raise OptionsError(f"--resume takes all options from the run; leave out {names}")
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--resume {folder}: is not a folder; name a run folder")
    if not (folder / CONFIG).exists():
        raise OptionsError(f"--resume {folder}: holds no run ({CONFIG} is missing)")
    if (folder / SCORES).exists():
        raise OptionsError(f"{folder} is finished; its scores are in {folder / SCORES}")
    return config_of_folder(folder, options)


def config_of_folder(
    folder: Path, options: Mapping[str, Any] = MappingProxyType({})
) -> tuple[str, RunOptions]:
    """Data and options of a run, with other values of some options.

    Raises:
        OptionsError: ``config.json`` cannot be read, or has options of another version.
    """
    path = folder / CONFIG
    config = _read_json(path)
    try:
        data, values = str(config["data"]), {**config["options"]}
    except (KeyError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None
    known = {item.name for kind in KINDS for item in fields(kind)}
    if unknown := sorted(map(str, values.keys() - known)):
        raise OptionsError(
            f"{path} has options that sonotype {__version__} does not know: {listed(unknown, 5)}; "
            f"the run is of sonotype {config.get('sonotype', '(version unknown)')}"
        )
    try:
        return data, RunOptions.of({**values, **options})
    except (OptionsError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None


def check_same_config(context: RunContext) -> None:
    """Raise an ``OptionsError`` if the run was started with other options, files or data."""
    path, split = context.folder / CONFIG, context.folder / SPLIT
    if not path.exists():
        return
    try:
        before = _compared(_read_json(path))
    except (KeyError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None
    now = _compared(config_of(context))
    files = files_of(context.options)
    names = [
        f"{name} ({files[name][0]})" if name in files else name
        for name in {**now, **before}
        if before.get(name) != now.get(name)
    ]
    # The same sounds with other folds or groups give another split.
    if not names and split.exists() and not same_split(split, context.manifest, context.split):
        names = ["folds or groups of the data"]
    if names:
        raise OptionsError(
            f"{context.folder} was run with other {', '.join(names)}; remove it to run it again, "
            "or name another --out"
        )


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """What must stay the same, by name; of files the contents, since their paths may change."""
    options = RunOptions.of(config["options"]).flat()
    return {
        **{name: options[name] for name in sorted(options.keys() - MAY_DIFFER - {*PATHS})},
        **config["files"],  # has a backbone as well, if it comes from a model file
        "transform": bool(config["transform"]),
        "data": config["fingerprint"],
    }


def with_absolute_paths(options: RunOptions) -> RunOptions:
    """The options with absolute paths, which are valid in any working directory."""
    system, teaching = options.system, options.teaching
    if is_model_file(system.backbone):
        system = replace(system, backbone=absolute(system.backbone))
    paths: Any = {name: tuple(map(absolute, getattr(teaching, name))) for name in PATHS}
    return replace(options, system=system, teaching=replace(teaching, **paths))


def absolute(name: str | Path) -> str:
    """An absolute path without ``..``; links and addresses ``hf://`` stay as they are."""
    if is_hub_address(name):
        return str(name)
    return os.path.abspath(name)  # noqa: PTH100 - resolve() would replace links


def files_of(options: RunOptions) -> dict[str, tuple[str, list[Path]]]:
    """The files that a run uses in addition to its data: by role the name, and the files.

    They are teachers with their seen clips, unlabelled sounds, and a backbone's model file.
    """
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


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        OptionsError: the file cannot be read, or holds something else.
    """
    try:
        return {**read_json(path)}
    except OSError as error:
        kind = OptionsError if isinstance(error, FileNotFoundError) else UnreadableError
        raise kind(f"{path} cannot be read ({error})") from None
    except (ValueError, TypeError) as error:
        raise OptionsError(f"{path} cannot be read ({error})") from None


def held_out_file(run: Path) -> Path:
    """The predictions of a run on clips that its models were not trained on.

    Raises:
        OptionsError: there is no such run, or it has no held-out predictions.
    """
    if (run / PREDICTIONS).is_file():
        return run / PREDICTIONS
    if not (run / CONFIG).is_file():
        raise OptionsError(f"{run}: is not the folder of a run; name one, such as runs/first")
    if not (run / SCORES).exists() and (run / "training").exists():
        raise OptionsError(
            f"{run}: holds no held-out predictions ({PREDICTIONS} is missing); if the run is not "
            f"finished, finish it with sonotype train --resume {run}, else train with "
            "--evaluation crossfit"
        )
    raise OptionsError(
        f"{run}: holds no held-out predictions ({PREDICTIONS} is missing); train with "
        "--evaluation crossfit"
    )


def write_seconds(folder: Path, seconds: float) -> None:
    """Record the wall time of a finished run, and when it ended: now."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    write_text(folder / TIME, json_text({"seconds": seconds, "finished": now}) + "\n")


def seconds_of(folder: Path) -> float:
    """Wall time of a finished run; of a resumed one, the time of its last session.

    0 where it is not known: the run was killed after its scores were written, or is of an earlier
    version.
    """
    try:
        return float(read_json(folder / TIME, finite=True)["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write losses and scores as CSV, one row per epoch."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
