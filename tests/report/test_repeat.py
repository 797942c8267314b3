"""The command of a run gives the options of the run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from sonotype.cli.main import program
from sonotype.experiments.run_options import RunOptions
from sonotype.report.repeat import curve_command, doctor_command, repeat_command


def parsed(command: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The options that a command passes on."""
    found: dict[str, Any] = {}

    def remember(data: Path, out: Path, **options: Any) -> None:
        found.update(options, data=str(data), out=str(out))
        raise typer.Exit

    name = shlex.split(command)[1]
    target = {
        "train": "sonotype.experiments.pipeline.train",
        "distill": "sonotype.experiments.pipeline.train",
        "learning-curve": "sonotype.experiments.learning_curve.run_learning_curve",
    }[name]
    monkeypatch.setattr(target, remember)
    monkeypatch.setattr("sonotype.cli.distill_command.clips_of", lambda _: {})
    with pytest.raises(SystemExit) as stop:
        program()(args=shlex.split(command)[1:], prog_name="sonotype")
    assert stop.value.code == 0
    for name in ("progress", "verbose", "on_message", "resume"):
        found.pop(name, None)
    return found


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"backbone": "builtin", "seconds": 1.5, "seed": 3},
        {"recipe": "modern", "epochs": 7, "class_weights": True, "unfreeze_from": 3},
        {"recipe": "paper", "system": "cbir_4", "test_folds": (1, 2), "cache": False},
        {"evaluation": "none", "column": ("event=species", "group=site")},
        {"group_pattern": r"^site \d+", "protocol": "grouped", "evaluation": "holdout"},
        {"teachers": ("runs/a b", "runs/c"), "recipe": "student", "backbone": "compact"},
    ],
)
def test_the_command_repeats_the_options(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = RunOptions.of(values)
    found = parsed(repeat_command("some data", options, "runs/again"), monkeypatch)
    assert (found.pop("data"), found.pop("out")) == ("some data", "runs/again")
    assert RunOptions.of(found) == options


def test_the_doctor_reads_the_data_like_the_run() -> None:
    column = ("path=the file", "category=species")
    options = RunOptions.of({"column": column, "seed": 3, "backbone": "builtin"})
    words = shlex.split(doctor_command("some data.csv", options))
    assert words[:3] == ["sonotype", "doctor", "some data.csv"]
    assert words[3:] == ["--column", "path=the file", "--column", "category=species"]
    command: Any = typer.main.get_command(program())
    command.commands["doctor"].make_context("doctor", words[2:])
    plain = RunOptions.of({"backbone": "builtin", "seed": 3})
    assert doctor_command("data", plain) == "sonotype doctor data"


def test_the_learning_curve_has_no_options_of_the_split(monkeypatch: pytest.MonkeyPatch) -> None:
    options = RunOptions.of({"evaluation": "crossfit", "seconds": 2.0, "backbone": "builtin"})
    found = parsed(curve_command("data", options, "c"), monkeypatch)
    assert (found["seconds"], found["backbone"]) == (2.0, "builtin")
    assert "evaluation" not in found
