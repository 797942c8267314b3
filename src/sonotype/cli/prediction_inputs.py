"""Inputs of ``sonotype predict``: a model, sound files, folders and standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from sonotype.core.errors import OptionsError
from sonotype.core.io import is_folder, is_link
from sonotype.data.readers.walk import BROKEN_LINK, in_order, walk
from sonotype.data.suffixes import (
    CHECKPOINT_SUFFIXES,
    COMMON_SOUNDS,
    MODEL_SUFFIXES,
    SOUND_SUFFIXES,
    TABLE_SUFFIXES,
)
from sonotype.evaluation.outputs import require_free
from sonotype.inference.locate import find_model, names_model
from sonotype.inference.prediction import Failure
from sonotype.modelfile.hub_address import is_hub_address

Item = Path | Failure | bytes
"""A file, a path that is known to be unreadable, or audio from standard input."""

STANDARD_INPUT = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
STDIN = "<stdin>"


def split_model(paths: list[Path]) -> tuple[Path | None, list[Path]]:
    """The model, if the first path is a model or run folder, and the sounds.

    Raises:
        ModelFileError: the first path is a checkpoint, or a run folder without a model.
        OptionsError: there are no sounds, or models among the sounds.
    """
    model, sounds = None, paths
    if names_model(paths[0]):
        model, sounds = find_model(paths[0]), paths[1:]
        if not sounds:
            raise OptionsError(f"{paths[0]} is a model; add sound files or folders after it")
    for path in sounds:
        if _is_model(path):
            advice = "put it before the sounds" if model is None else "use --also"
            raise OptionsError(f"{path} is a model, not a sound; {advice}")
    return model, sounds


def _is_model(path: Path) -> bool:
    if is_hub_address(path):
        return True
    if not is_folder(path):
        return path.suffix.lower() in MODEL_SUFFIXES
    return os.access(path, os.R_OK | os.X_OK) and names_model(path)


def check_output(out: Path, inputs: list[Path], *, force: bool) -> None:
    """Check that ``--out`` may be written, before anything is computed.

    Raises:
        OptionsError: the name is that of a sound or a model, or the file must not be replaced.
    """
    suffix = out.suffix.lower()
    if suffix in {*SOUND_SUFFIXES, *MODEL_SUFFIXES, *CHECKPOINT_SUFFIXES}:
        kind = "a sound" if suffix in SOUND_SUFFIXES else "a model"
        raise OptionsError(
            f"--out {out}: has the suffix of {kind}, but predictions are text; use a name such "
            "as predictions.csv"
        )
    require_free(out, inputs=inputs, force=force)


def collect_items(paths: list[Path]) -> list[Item]:
    """All files in order without repetition; of a folder, all sounds below it, sorted.

    Raises:
        OptionsError: a folder without sounds.
    """
    causes: dict[Path, str] = {}
    for path in paths:
        causes |= _in_folder(path) if is_folder(path) else {path: _why_no_sound(path)}
    return [
        _standard_input()
        if str(path) in STANDARD_INPUT
        else (Failure(str(path), causes[path]) if causes[path] else path)
        for path in in_order(causes)
    ]


def files_of(items: list[Item]) -> list[Path]:
    """The readable files among the items."""
    return [item for item in items if isinstance(item, Path)]


def _in_folder(folder: Path) -> dict[Path, str]:
    """All sounds below a folder, sorted, and why they cannot be read, if that is known."""
    found = walk(folder)
    causes = dict.fromkeys(found.sounds(), "") | dict(found.broken)
    if not causes:
        raise OptionsError(
            f"{folder}: contains no sound files ({', '.join(COMMON_SOUNDS)}, or one of "
            f"{len(SOUND_SUFFIXES) - len(COMMON_SOUNDS)} other suffixes); name another folder"
        )
    return dict(sorted(causes.items()))


def _why_no_sound(path: Path) -> str:
    """Why a path is known to be no sound; empty if it is not known."""
    suffix, is_file = path.suffix.lower(), os.path.isfile(path)  # noqa: PTH113 (raises nothing)
    broken = is_link(path) and not os.path.exists(path)  # noqa: PTH110 (raises nothing)
    if broken and str(path) not in STANDARD_INPUT:
        return BROKEN_LINK
    if suffix in TABLE_SUFFIXES and is_file:
        return "is a table or a text, not a sound; to score a model, use sonotype evaluate"
    if suffix in CHECKPOINT_SUFFIXES and is_file:
        return "is a checkpoint or another model, not a sound"
    return ""


def _standard_input() -> bytes | Failure:
    if sys.stdin is None or sys.stdin.isatty():
        return Failure(STDIN, "is a terminal; pipe audio into the command, or pass a file")
    return sys.stdin.buffer.read()
