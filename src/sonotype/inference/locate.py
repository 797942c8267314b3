"""Find the file of a model by its path, or by the path of its run folder."""

from __future__ import annotations

import json
from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.core.errors import ModelFileError
from sonotype.core.io import is_folder
from sonotype.data.readers.walk import sounds_below
from sonotype.data.suffixes import (
    CHECKPOINT_SUFFIXES,
    MODEL_SUFFIXES,
    SOUND_SUFFIXES,
    TABLE_SUFFIXES,
)

NAMES = ("model.safetensors", "model.onnx")
"""File names of the model in a run folder, the preferred one first."""

CONFIG = "config.json"
RUN_FOLDERS = ("fold_*", "runs/*/*")
"""Run folders of a cross-validation and of a grid of experiments."""


def find_model(path: str | Path) -> Path:
    """The model file at a path, or in the run folder at a path.

    A missing file is returned as it is: opening it raises the error.

    Raises:
        ModelFileError: the path is something else; says what it is, and where the model is.
    """
    path = Path(path)
    if path.is_dir():
        return _model_in(path)
    if kind := special_kind(path):
        raise ModelFileError(f"{path}: is {kind}, not a model file; name a {NAMES[0]}")
    suffix = path.suffix.lower()
    if not path.exists() or suffix in MODEL_SUFFIXES:
        return path
    if suffix in CHECKPOINT_SUFFIXES:
        raise ModelFileError(f"{path}: {_about_checkpoint(path)}")
    for suffixes, kind in ((SOUND_SUFFIXES, "a sound"), (TABLE_SUFFIXES, "a table or a text")):
        if suffix in suffixes:
            raise ModelFileError(f"{path}: is {kind}, not a model; name a {' or '.join(NAMES)}")
    return path


def names_model(path: Path) -> bool:
    """Whether a path, which may also be a sound or a folder of sounds, names a model."""
    if is_folder(path):
        return _is_run(path) and not sounds_below(path)
    return path.suffix.lower() in (*MODEL_SUFFIXES, *CHECKPOINT_SUFFIXES)


def _model_in(folder: Path) -> Path:
    if model := _model_file(folder):
        return model
    if _has_config(folder):
        raise ModelFileError(
            f"{folder}: is an unfinished run without a {NAMES[0]}; finish it with "
            f"sonotype train --resume {folder}"
        )
    if runs := _runs_below(folder):
        raise ModelFileError(
            f"{folder}: holds {len(runs)} runs; name the folder of one, such as {runs[0]}"
        )
    raise ModelFileError(
        f"{folder}: is a folder without a {' or a '.join(NAMES)}; name a model file or a run folder"
    )


def _is_run(folder: Path) -> bool:
    return bool(_model_file(folder) or _has_config(folder) or _runs_below(folder))


def _model_file(folder: Path) -> Path | None:
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def _has_config(folder: Path) -> bool:
    """Whether a folder holds the ``config.json`` of a run, not one of another program."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and {"sonotype", "options"} <= config.keys()


def _runs_below(folder: Path) -> list[Path]:
    models = [folder.glob(f"{pattern}/{NAMES[0]}") for pattern in RUN_FOLDERS]
    return sorted(model.parent for found in models for model in found)


def _about_checkpoint(path: Path) -> str:
    """Message for a checkpoint, which may lie in a run folder or one level below."""
    text = "is a training checkpoint, or a model of another program, not a sonotype model"
    for run in (*path.parents[:2], *path.absolute().parents[:2]):
        if (run / NAMES[0]).is_file():
            return f"{text}; the model is {run / NAMES[0]}"
        if _has_config(run):
            return f"{text}; its run is not finished: sonotype train --resume {run}"
    return f"{text}; the model of a run is RUN/{NAMES[0]}"
