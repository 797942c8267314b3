"""The command that repeats a run, and the one for its learning curve."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from sonotype.config import CurveOptions, ScoreOptions, SystemOptions, TrainOptions
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions
from sonotype.experiments.run_options import KINDS, RunOptions

FIELDS = {item.name: item for kind in KINDS for item in fields(kind)}
NETWORK = ("recipe", "system", "backbone")
"""Options from which others get their defaults."""


def repeat_command(data: str, options: RunOptions, out: str) -> str:
    """A command that trains with the same options on the same data.

    Args:
        data: the source.
        options: of the run.
        out: the new folder.
    """
    values = set_options(options)
    command = "distill" if values.get("teachers") else "train"
    return _command(command, data, out, values)


def curve_command(data: str, options: RunOptions, out: str) -> str:
    """A command that computes the learning curve of the run's training."""
    kinds = (CurveOptions, SystemOptions, TrainOptions, SourceOptions, ScoreOptions)
    known = {item.name for kind in kinds for item in fields(kind)}
    values = {name: value for name, value in set_options(options).items() if name in known}
    return _command("learning-curve", data, out, values)


def doctor_command(data: str, options: RunOptions) -> str:
    """A command that examines the data, read as the run read them."""
    known = {item.name for item in fields(SourceOptions)}
    values = {name: value for name, value in set_options(options).items() if name in known}
    return shlex.join(["sonotype", "doctor", near(data), *_flags(values)])


def set_options(options: RunOptions) -> dict[str, Any]:
    """The options without those that have their default.

    Options that depend on others, such as those of a recipe, are given only where the recipe has
    another value.
    """
    flat = options.flat()
    values = {name: flat[name] for name in NETWORK}
    while True:
        try:
            defaults = RunOptions.of(values).flat()
        except OptionsError:  # contradictory until another option is set
            defaults = {name: item.default for name, item in FIELDS.items()}
        other = [name for name in flat if name not in values and flat[name] != defaults[name]]
        if not other:
            return values
        values[other[0]] = flat[other[0]]


def _command(name: str, data: str, out: str, values: dict[str, Any]) -> str:
    words = ["sonotype", name, near(data), *_flags(values), "--out", out]
    return shlex.join(words)


def _flags(values: dict[str, Any]) -> Iterable[str]:
    for name, value in values.items():
        flag = str(FIELDS[name].metadata.get("flag", name)).replace("_", "-")
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        elif isinstance(value, list | tuple) and value and isinstance(value[0], str):
            for entry in value:
                yield from (f"--{flag}", entry)
        elif isinstance(value, list | tuple):
            yield from (f"--{flag}", ",".join(map(str, value)))
        elif value is not None:
            yield from (f"--{flag}", f"{value:g}" if isinstance(value, float) else str(value))


def near(path: str | Path) -> str:
    """A path relative to the working directory if it lies below it, else as it is."""
    try:
        inside = Path(path).resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return os.fspath(path)
    return str(inside) if str(inside) != "." else "."
