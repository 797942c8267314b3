"""A training that is killed or interrupted is resumed to the same weights."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from killed_training import INTERRUPTED, train_until
from safetensors.torch import load_file
from training_data import SMALL, write_tones

import sonotype
from sonotype.core.errors import OptionsError
from sonotype.experiments.run_options import RunOptions

OPTIONS = SMALL | {"epochs": 4, "patience": 4}


@pytest.fixture(scope="module")
def uninterrupted(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    sonotype.train(tones, run, **OPTIONS)
    return run


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data that a test may change, and a killed run on them."""
    here = tmp_path_factory.mktemp("started")
    tones = write_tones(here / "tones")
    kill_at("epoch   1/4", tones, here / "run", OPTIONS)
    return tones, here / "run"


def kill_at(beginning: str, tones: Path, run: Path, options: dict[str, object]) -> None:
    assert train_until(beginning, tones, run, options) == -signal.SIGKILL
    assert not (run / "scores.json").exists()


def same_weights(first: Path, second: Path) -> None:
    left, right = (load_file(run / "model.safetensors") for run in (first, second))
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def test_two_runs_of_one_seed_give_the_same_weights(
    tones: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    sonotype.train(tones, tmp_path / "run", **OPTIONS)
    same_weights(tmp_path / "run", uninterrupted)


def test_another_seed_gives_other_weights(tones: Path, uninterrupted: Path, tmp_path: Path) -> None:
    sonotype.train(tones, tmp_path / "run", **OPTIONS | {"seed": 1})
    first, second = (load_file(r / "model.safetensors") for r in (tmp_path / "run", uninterrupted))
    assert not torch.equal(first["category.weight"], second["category.weight"])


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"cache": False},
        {"n_augmented": 0},
        {"ema_decay": 0.9},
        {"ema_decay": 0.8, "checkpoint": "last"},
    ],
)
def test_a_killed_run_is_resumed_to_the_same_weights(
    tones: Path, uninterrupted: Path, tmp_path: Path, extra: dict[str, object]
) -> None:
    options, whole = OPTIONS | extra, uninterrupted
    if extra:
        whole = sonotype.train(tones, tmp_path / "whole", **options).folder
    kill_at("epoch   2/4", tones, tmp_path / "killed", options)
    resumed = sonotype.train(None, tmp_path / "killed", resume=True)
    assert not resumed.interrupted
    same_weights(tmp_path / "killed", whole)
    scores = [json.loads((r / "scores.json").read_text()) for r in (tmp_path / "killed", whole)]
    assert scores[0] == scores[1]


def test_a_run_killed_before_its_first_epoch_is_resumed(
    tones: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    kill_at("cbir_2", tones, tmp_path / "run", OPTIONS)
    sonotype.train(None, tmp_path / "run", resume=True)
    same_weights(tmp_path / "run", uninterrupted)


def test_ctrl_c_leaves_a_usable_model_and_a_run_to_resume(tones: Path, tmp_path: Path) -> None:
    run, options = tmp_path / "run", OPTIONS | {"epochs": 4000, "patience": 4000}
    code = train_until("epoch   1/", tones, run, options, sent=signal.SIGINT, delay=0.2)
    assert code == INTERRUPTED
    model = sonotype.load(run / "model.safetensors")
    prediction = model.predict(tones / "low" / "hum" / "hum_0.wav")
    assert sum(prediction.probabilities["event"].values()) == pytest.approx(1, abs=1e-5)
    assert model.card.training["interrupted"] is True
    assert model.card.scores == {}, "the test subset must not have been read"
    config = run / "config.json"
    config.write_text(config.read_text().replace('"epochs": 4000', '"epochs": 5'))
    finished = sonotype.train(None, run, resume=True)
    assert not finished.interrupted
    assert finished.scores["heads"]["category"]["n"] == 6


def test_a_moved_run_is_resumed_to_the_same_weights(
    tones: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    kill_at("epoch   3/4", tones, tmp_path / "here", OPTIONS)
    (tmp_path / "here").rename(tmp_path / "there")
    sonotype.train(None, tmp_path / "there", resume=True)
    same_weights(tmp_path / "there", uninterrupted)


def test_cbir_3_with_loading_processes_is_resumed_to_the_same_weights(
    tones: Path, tmp_path: Path
) -> None:
    options = OPTIONS | {"system": "cbir_3", "workers": 1, "epochs": 2, "n_augmented": 0}
    sonotype.train(tones, tmp_path / "whole", **options | {"workers": 0})
    kill_at("epoch   1/2", tones, tmp_path / "killed", options)
    sonotype.train(None, tmp_path / "killed", resume=True)
    same_weights(tmp_path / "killed", tmp_path / "whole")


def test_a_finished_training_is_only_scored_again(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sonotype.train(tones, tmp_path / "run", **OPTIONS | {"epochs": 12, "patience": 2})
    before = load_file(tmp_path / "run" / "model.safetensors")
    for name in ("scores.json", "model.safetensors"):
        (tmp_path / "run" / name).unlink()
    monkeypatch.setattr("sonotype.training.trainer._run", None)  # would be called to train on
    sonotype.train(None, tmp_path / "run", resume=True)
    after = load_file(tmp_path / "run" / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_a_finished_run_takes_no_data_no_options_and_is_not_resumed(
    tones: Path, uninterrupted: Path
) -> None:
    for data, options, text in (
        (None, {"epochs": 3}, "--resume takes all options from the run; leave out epochs"),
        (tones, {}, "leave out data"),
        (None, {}, r"is finished; its scores are in .*scores\.json"),
    ):
        with pytest.raises(OptionsError, match=text):
            sonotype.train(data, uninterrupted, resume=True, **options)
    with pytest.raises(OptionsError, match="already holds a run; resume it with --resume"):
        sonotype.train(tones, uninterrupted, **OPTIONS)


def test_folders_that_hold_no_run(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"holds no run \(config\.json is missing"):
        sonotype.train(None, tmp_path, resume=True)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match="is not empty"):
        sonotype.train(tones, tmp_path, **OPTIONS)
    for resume in (True, False):
        with pytest.raises(OptionsError, match=r"notes\.txt.*is (not a folder|a file)"):
            sonotype.train(None if resume else tones, tmp_path / "notes.txt", resume=resume)


def test_a_run_on_other_names_or_groups_or_data_is_not_resumed(started: tuple[Path, Path]) -> None:
    tones, run = started
    hum = tones / "low" / "hum"
    (hum / "hum_0.wav").rename(hum / "zzz.wav")
    with pytest.raises(OptionsError, match=r"split\.csv"):
        sonotype.train(None, run, resume=True)
    (hum / "zzz.wav").rename(tones / "low" / "buzz" / "moved.wav")
    with pytest.raises(OptionsError, match="has changed"):
        sonotype.train(None, run, resume=True)


def test_options_are_those_of_the_run_folder(uninterrupted: Path) -> None:
    config = json.loads((uninterrupted / "config.json").read_text())
    assert RunOptions.of(config["options"]) == RunOptions.of(OPTIONS)


def test_data_named_relative_to_the_working_directory(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tones.parent)
    run = tmp_path / "run"
    sonotype.train(tones.name, run, **OPTIONS | {"epochs": 1})
    scores = (run / "scores.json").read_text()
    (run / "scores.json").unlink()  # as after a kill at the very end
    monkeypatch.chdir(tmp_path)
    sonotype.train(None, run, resume=True)
    assert (run / "scores.json").read_text() == scores
