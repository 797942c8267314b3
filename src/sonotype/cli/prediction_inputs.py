"""Inputs of ``sonotype predict``: a model, sound files, folders and standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from sonotype.core.errors import OptionsError
from sonotype.data.readers.walk import BROKEN_LINK, in_order, walk
from sonotype.data.records import SOUND_SUFFIXES
from sonotype.data.suffixes import CHECKPOINT_SUFFIXES, MODEL_SUFFIXES, TABLE_SUFFIXES
from sonotype.evaluation.outputs import require_free
from sonotype.inference.locate import find_model, names_model
from sonotype.inference.prediction import Failure

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
        if path.suffix.lower() in MODEL_SUFFIXES and not path.is_dir():
            advice = "put it before the sounds" if model is None else "use --also"
            raise OptionsError(f"{path} is a model, not a sound; {advice}")
    return model, sounds


def check_output(out: Path, inputs: list[Path], *, force: bool) -> None:
    """Check that ``--out`` may be written, before anything is computed.

    Raises:
        OptionsError: the name is that of a sound or a model, or the file must not be replaced.
    """
    for suffixes, kind in (
        (SOUND_SUFFIXES, "a sound"),
        ((*MODEL_SUFFIXES, *CHECKPOINT_SUFFIXES), "a model"),
    ):
        if out.suffix.lower() in suffixes:
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
    files: list[Path] = []
    failures: dict[Path, Failure] = {}
    for path in paths:
        found, unreadable = _in_folder(path) if path.is_dir() else ([path], _not_audio(path))
        files += found
        failures |= {Path(failure.source): failure for failure in unreadable}
    return [
        _standard_input() if str(path) in STANDARD_INPUT else failures.get(path, path)
        for path in in_order(files)
    ]


def files_of(items: list[Item]) -> list[Path]:
    """The readable files among the items."""
    return [item for item in items if isinstance(item, Path)]


def _in_folder(folder: Path) -> tuple[list[Path], list[Failure]]:
    """All sounds below a folder, sorted, and the failures among them."""
    found = walk(folder)
    failures = [Failure(str(path), cause) for path, cause in found.broken]
    paths = sorted([*found.sounds(), *(path for path, _ in found.broken)])
    if not paths:
        suffixes = ", ".join(sorted(suffix[1:] for suffix in SOUND_SUFFIXES))
        raise OptionsError(f"{folder}: contains no sound files ({suffixes}); use another folder")
    return paths, failures


def _not_audio(path: Path) -> list[Failure]:
    """A failure if the path is known to be no sound."""
    suffix, cause = path.suffix.lower(), ""
    if path.is_symlink() and not path.exists() and str(path) not in STANDARD_INPUT:
        cause = BROKEN_LINK
    elif suffix in TABLE_SUFFIXES and path.is_file():
        cause = "is a table or a text, not a sound; to score a model, use sonotype evaluate"
    elif suffix in CHECKPOINT_SUFFIXES and path.is_file():
        cause = "is a checkpoint or another model, not a sound"
    return [Failure(str(path), cause)] if cause else []


def _standard_input() -> bytes | Failure:
    if sys.stdin is None or sys.stdin.isatty():
        return Failure(STDIN, "is a terminal; pipe audio into the command, or pass a file")
    return sys.stdin.buffer.read()
