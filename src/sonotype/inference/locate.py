"""Find the file of a model by its path, its run folder, or its address on the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.core.errors import ModelFileError
from sonotype.core.io import is_folder
from sonotype.core.json_text import read_json
from sonotype.data.readers.walk import sounds_below
from sonotype.data.suffixes import (
    CHECKPOINT_SUFFIXES,
    MODEL_SUFFIXES,
    SOUND_SUFFIXES,
    TABLE_SUFFIXES,
)
from sonotype.modelfile.hub_address import is_hub_address, parse_address

NAMES = ("model.safetensors", "model.onnx")
"""File names of the model in a run folder, the preferred one first."""

CONFIG = "config.json"
RUN_FOLDERS = ("fold_*", "runs/*/*")
"""Run folders of a cross-validation and of a grid of experiments."""


def find_model(path: str | Path) -> Path:
    """The model file at a path, in the run folder at a path, or at an address ``hf://user/name``.

    A missing file is returned as it is: opening it raises the error. The file at an address is
    downloaded into the cache, see :func:`sonotype.modelfile.hub_download.hub_model`.

    Raises:
        MissingExtraError: an address, but huggingface_hub is not installed.
        ModelFileError: the path is something else; says what it is, and where the model is. The
            file at an address cannot be downloaded, or does not fit its checksum.
        OptionsError: an invalid address.
    """
    if is_hub_address(path):
        from sonotype.modelfile.hub_download import hub_model

        return hub_model(path)
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
    if is_hub_address(path):
        return True
    if is_folder(path):
        return _is_run(path) and not sounds_below(path)
    return path.suffix.lower() in (*MODEL_SUFFIXES, *CHECKPOINT_SUFFIXES)


def beside_model(model: str | Path, name: str) -> Path:
    """A new file beside a model; of a model on the Hub in the working folder.

    Args:
        model: as for :func:`find_model`.
        name: of the new file; ``{}`` is the name of the model, without its suffix.
    """
    if is_hub_address(model):
        return Path(name.replace("{}", parse_address(model).repository.rpartition("/")[2]))
    file = find_model(model)
    return file.with_name(name.replace("{}", file.stem))


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
        config = read_json(path) if path.is_file() else None
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
