"""A training that is killed or interrupted is resumed to the same weights."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_training import INTERRUPTED, expect_ended, train_until
from safetensors.torch import load_file
from training_data import SMALL, write_tones

import sonotype
from sonotype.core.errors import OptionsError
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.run_options import RunOptions

OPTIONS = SMALL | {"epochs": 4, "patience": 4}
"""Those of the fixture ``run``."""


def kill_at(beginning: str, tones: Path, run: Path, options: dict[str, Any]) -> None:
    assert train_until(beginning, tones, run, options) == -signal.SIGKILL
    assert not (run / "scores.json").exists()


def same_weights(first: Path, second: Path) -> None:
    left, right = (load_file(run / "model.safetensors") for run in (first, second))
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def test_a_seed_gives_the_same_weights_and_another_seed_others(
    tones: Path, run: TrainResult, tmp_path: Path
) -> None:
    sonotype.train(tones, tmp_path / "same", **OPTIONS)
    same_weights(tmp_path / "same", run.folder)
    sonotype.train(tones, tmp_path / "other", **OPTIONS | {"seed": 1})
    first, second = (load_file(r / "model.safetensors") for r in (tmp_path / "other", run.folder))
    assert not torch.equal(
        first["classifiers.category.weight"], second["classifiers.category.weight"]
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_training_leaves_no_loading_process(tones: Path, tmp_path: Path) -> None:
    options = OPTIONS | {"system": "cbir_3", "workers": 2, "n_augmented": 0}
    train_until("epoch   1/4", tones, tmp_path / "run", options, started=tmp_path / "started")
    started = [int(pid) for pid in (tmp_path / "started").read_text().split()]
    assert len(started) >= 2
    expect_ended(started)


@pytest.mark.parametrize(
    ("extra", "last"),
    [
        ({}, "epoch   2/4"),
        ({}, "cbir_2"),  # before the first epoch
        ({"cache": False, "ema_decay": 0.9, "epochs": 2}, "epoch   1/2"),
        (
            {"n_augmented": 0, "ema_decay": 0.8, "checkpoint": "last", "epochs": 2},
            "epoch   1/2",
        ),
        ({"system": "cbir_3", "workers": 1, "n_augmented": 0, "epochs": 2}, "epoch   1/2"),
    ],
)
def test_a_killed_run_is_resumed_to_the_same_weights(
    tones: Path, run: TrainResult, tmp_path: Path, extra: dict[str, Any], last: str
) -> None:
    options, whole = OPTIONS | extra, run.folder
    if extra:
        whole = sonotype.train(tones, tmp_path / "whole", **options | {"workers": 0}).folder
    kill_at(last, tones, tmp_path / "killed", options)
    resumed = sonotype.train(None, tmp_path / "killed", resume=True)
    assert not resumed.interrupted
    same_weights(tmp_path / "killed", whole)
    scores = [json.loads((r / "scores.json").read_text()) for r in (tmp_path / "killed", whole)]
    assert scores[0] == scores[1]


def test_a_moved_run_on_a_relative_path_is_resumed_to_the_same_weights(
    tones: Path, run: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tones.parent)
    kill_at("epoch   3/4", Path(tones.name), tmp_path / "here", OPTIONS)
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    sonotype.train(None, "there", resume=True)
    same_weights(tmp_path / "there", run.folder)


def test_ctrl_c_leaves_a_usable_model_and_a_run_to_resume(tones: Path, tmp_path: Path) -> None:
    run, options = tmp_path / "run", OPTIONS | {"epochs": 4000, "patience": 4000, "verbose": True}
    code = train_until("epoch   2/", tones, run, options, sent=signal.SIGINT, delay=0.1)
    assert code == INTERRUPTED
    model = sonotype.load(run / "model.safetensors")
    prediction = model.predict(tones / "low" / "hum" / "hum_0.wav")
    assert sum(prediction.probabilities["event"].values()) == pytest.approx(1, abs=1e-5)
    assert model.card.training["interrupted"] is True
    assert model.card.scores == {}, "the test subset must not have been read"
    config = run / "config.json"
    config.write_text(config.read_text().replace('"epochs": 4000', '"epochs": 12'))
    finished = sonotype.train(None, run, resume=True)
    assert not finished.interrupted
    assert finished.scores["heads"]["category"]["n"] == 6


def test_a_finished_training_is_only_scored_again(
    run: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = shutil.copytree(run.folder, tmp_path / "run")
    for name in ("scores.json", "model.safetensors"):
        (again / name).unlink()
    monkeypatch.setattr("sonotype.training.trainer._run", None)  # would be called to train on
    sonotype.train(None, again, resume=True)
    same_weights(again, run.folder)
    assert (again / "scores.json").read_text() == (run.folder / "scores.json").read_text()


def test_a_finished_run_takes_no_data_no_options_and_is_not_resumed(
    tones: Path, run: TrainResult
) -> None:
    for data, options, text in (
        (None, {"epochs": 3}, "--resume takes all options from the run; leave out epochs"),
        (tones, {}, "leave out data"),
        (None, {}, r"is finished; its scores are in .*scores\.json"),
    ):
        with pytest.raises(OptionsError, match=text):
            sonotype.train(data, run.folder, resume=True, **options)
    with pytest.raises(OptionsError, match="already holds a run; resume it with --resume"):
        sonotype.train(tones, run.folder, **OPTIONS)
    config = json.loads((run.folder / "config.json").read_text())
    assert RunOptions.of(config["options"]) == RunOptions.of(OPTIONS)


def test_folders_that_hold_no_run(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"holds no run \(config\.json is missing"):
        sonotype.train(None, tmp_path, resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match="is not empty"):
        sonotype.train(tones, tmp_path, **OPTIONS)
    for resume in (True, False):
        with pytest.raises(OptionsError, match=r"notes\.txt.*is (not a folder|a file)"):
            sonotype.train(None if resume else tones, tmp_path / "notes.txt", resume=resume)


def test_a_run_on_other_names_or_groups_or_data_is_not_resumed(
    run: TrainResult, tmp_path: Path
) -> None:
    tones = write_tones(tmp_path / "tones")
    again = shutil.copytree(run.folder, tmp_path / "run")
    (again / "scores.json").unlink()
    config = json.loads((again / "config.json").read_text())
    (again / "config.json").write_text(json.dumps(config | {"data": str(tones)}))
    hum = tones / "low" / "hum"
    (hum / "hum_0.wav").rename(hum / "zzz.wav")
    with pytest.raises(OptionsError, match=r"run was run with other folds or groups of the data"):
        sonotype.train(None, again, resume=True)
    (hum / "zzz.wav").rename(tones / "low" / "buzz" / "moved.wav")
    with pytest.raises(OptionsError, match="run was run with other data;"):
        sonotype.train(None, again, resume=True)
