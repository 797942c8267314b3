"""Runs are trained once, resumed, or skipped; failures are recorded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from training_data import SMALL

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.experiments.opening import open_run
from sonotype.experiments.run_folder import config_of_folder, finished_at, seconds_of
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import (
    FAILURE,
    FailedRunsError,
    failure_of,
    headline,
    run_many,
    train_or_resume,
)

OPTIONS = SMALL | {"backbone": "compact", "epochs": 1, "checkpoint": "last"}


@pytest.mark.parametrize("protocol", ["grouped", "all"])
def test_a_training_is_run_once(tones: Path, tmp_path: Path, protocol: str) -> None:
    run = tmp_path / "run"
    options = OPTIONS | {"protocol": protocol}
    messages: list[str] = []
    train_or_resume(tones, run, on_message=messages.append, **options)
    assert any(re.match(r"epoch +1/1 ", line) for line in messages)
    assert (run / "log.txt").read_text() == "\n".join(messages) + "\n"
    assert (run / "scores.json").exists() is (protocol != "all")
    assert not list(run.rglob("*.ckpt"))
    before = (run / "model.safetensors").stat().st_mtime_ns
    again: list[str] = []
    train_or_resume(tones, run, on_message=again.append, **options)
    assert again == [f"{run}: already finished"]
    assert (run / "model.safetensors").stat().st_mtime_ns == before
    if protocol != "all":  # a run that lost its scores is trained again
        scores = (run / "scores.json").read_text()
        (run / "scores.json").unlink()
        train_or_resume(tones, run, **options)
        assert (run / "scores.json").read_text() == scores
    with pytest.raises(OptionsError, match="was run with other epochs; remove it to run it again"):
        train_or_resume(tones, run, **options | {"epochs": 2})


def test_a_failure_names_the_run(tones: Path, tmp_path: Path) -> None:
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(SonotypeError, match=f"/run: device {missing} is not there; this machine"):
        train_or_resume(tones, tmp_path / "run", **OPTIONS | {"device": missing})


def test_a_run_that_is_its_own_teacher_fails(tones: Path, tmp_path: Path) -> None:
    """It does not wait for itself."""
    run = tmp_path / "run"
    context = open_run(tones, run, RunOptions.of(OPTIONS | {"teachers": (str(run),)}))
    with pytest.raises(FailedRunsError, match="1 of 1 run failed:\n  own: "):
        run_many({"own": context}, "study")
    assert json.loads((run / "failure.json").read_text())["error"]


def test_a_run_killed_before_its_time_was_written(tmp_path: Path) -> None:
    assert seconds_of(tmp_path) == 0.0
    scores = {"heads": {"category": {"f1": {"value": 0.5}}}}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert headline(tmp_path) == "category F1 0.500"


@pytest.mark.parametrize("text", ["", "[]", "{", "5", '{"heads": []}', "[" * 100_000])
def test_damaged_files_of_a_run_are_named(tmp_path: Path, text: str) -> None:
    """The other runs of a study go on."""
    for name in (FAILURE, "scores.json", "time.json"):
        (tmp_path / name).write_text(text)
    assert seconds_of(tmp_path) == 0
    assert finished_at(tmp_path) is None
    assert f"{FAILURE} cannot be read" in failure_of(tmp_path)
    if text != '{"heads": []}':  # no clip was scored
        assert "scores.json cannot be read" in headline(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"options": {"epochs": 1' + "0" * 400 + "}}"])
def test_a_config_that_no_run_wrote(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(OptionsError, match=r"config\.json cannot be read \(.*"):
        config_of_folder(tmp_path)
