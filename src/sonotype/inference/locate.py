"""Which file a model is in: named by itself, or by the folder of its run."""

from __future__ import annotations

import json
from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.core.errors import ModelFileError
from sonotype.data.readers.walk import sounds_below
from sonotype.data.records import SOUND_SUFFIXES
from sonotype.data.suffixes import CHECKPOINT_SUFFIXES, MODEL_SUFFIXES, TABLE_SUFFIXES

NAMES = ("model.safetensors", "model.onnx")
"""Of the model in a run folder; the first is taken where both are there."""

CONFIG = "config.json"
SEVERAL = ("fold_*", "runs/*/*")
"""Where the run folders of a cross-validation and of a study are."""


def find_model(path: str | Path) -> Path:
    """The model file that a path names by itself, or by the run folder that it is in.

    A missing file is not looked for; opening it says so.

    Raises:
        ModelFileError: the path names something else; says what, and where the model is.
    """
    path = Path(path)
    if path.is_dir():
        return _in_folder(path)
    if kind := special_kind(path):
        raise ModelFileError(f"{path}: is {kind}, not a model file; name a {NAMES[0]}")
    suffix = path.suffix.lower()
    if not path.exists() or suffix in MODEL_SUFFIXES:
        return path
    if suffix in CHECKPOINT_SUFFIXES:
        raise ModelFileError(f"{path}: {_checkpoint(path)}")
    for suffixes, kind in ((SOUND_SUFFIXES, "a sound"), (TABLE_SUFFIXES, "a table or a text")):
        if suffix in suffixes:
            raise ModelFileError(f"{path}: is {kind}, not a model; name a {' or '.join(NAMES)}")
    return path


def names_model(path: Path) -> bool:
    """Whether a path that may also be a sound, or a folder of sounds, is meant as a model."""
    if path.suffix.lower() in (*MODEL_SUFFIXES, *CHECKPOINT_SUFFIXES) and not path.is_dir():
        return True
    return path.is_dir() and _is_run(path) and not sounds_below(path)


def _in_folder(folder: Path) -> Path:
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    if _is_config(folder / CONFIG):
        raise ModelFileError(
            f"{folder}: is an unfinished run, without a {NAMES[0]} so far; finish it with "
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
    named = any((folder / name).is_file() for name in NAMES)
    return named or _is_config(folder / CONFIG) or bool(_runs_below(folder))


def _is_config(path: Path) -> bool:
    """Whether a file is the ``config.json`` of a run, and not of something else."""
    try:
        config = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and {"sonotype", "options"} <= config.keys()


def _runs_below(folder: Path) -> list[Path]:
    found = [model.parent for place in SEVERAL for model in folder.glob(f"{place}/{NAMES[0]}")]
    return sorted(found)


def _checkpoint(path: Path) -> str:
    """What to say of a checkpoint; it may lie in a run folder or one level below."""
    text = "is a training checkpoint, or a model of another program, not a sonotype model"
    for run in (*path.parents[:2], *path.absolute().parents[:2]):
        if (run / NAMES[0]).is_file():
            return f"{text}; the model is {run / NAMES[0]}"
        if _is_config(run / CONFIG):
            return f"{text}; its run is not finished: sonotype train --resume {run}"
    return f"{text}; the model of a run is RUN/{NAMES[0]}"
