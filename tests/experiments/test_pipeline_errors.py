"""Runs that cannot start, or that fail: the error, and the files that are left."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from training_data import RATE, SMALL, write_tones

from sonotype.config import TrainOptions, resolve
from sonotype.core.device import device_of
from sonotype.core.errors import (
    DataError,
    MissingExtraError,
    OptionsError,
    SonotypeError,
    StoppedError,
    WeightsError,
)
from sonotype.experiments import pipeline
from sonotype.experiments.pipeline import train
from sonotype.models.build import cbir_2
from sonotype.training import trainer
from sonotype.training.checkpoint import load_chosen_weights
from sonotype.training.module import Learner


def test_a_diverging_training_stops_and_is_not_finished(tones: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(
        SonotypeError, match=r"the \w+ loss is nan in epoch \d on .*\.wav"
    ) as caught:
        train(tones, folder, **SMALL | {"learning_rate": 1e30})
    assert "lower --learning-rate" in str(caught.value)
    there = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not there & {"model.safetensors", "scores.json", "done.json", "best.ckpt"}
    with pytest.raises(SonotypeError, match="loss is nan"):
        train(None, folder, resume=True)


def test_a_last_step_that_breaks_the_weights_writes_no_model(tones: Path, tmp_path: Path) -> None:
    """No loss follows it: there is one step in all, and nothing to validate on."""
    folder = tmp_path / "run"
    options = SMALL | {"protocol": "all", "checkpoint": "last", "epochs": 1, "batch_size": 32}
    for name in ("val_fraction", "test_fraction"):
        options.pop(name)

    def broken(self: Any, batch: Any, number: int) -> torch.Tensor:
        loss = training_step(self, batch, number)
        return loss + (loss - loss.detach()) * float("inf")  # the loss as it is, and its gradient

    training_step = Learner.training_step
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Learner, "training_step", broken)
        with pytest.raises(SonotypeError, match="are not finite") as caught:
            train(tones, folder, **options)
    assert "last.ckpt: the weights " in str(caught.value)
    assert "of epoch 1 are not finite; train again with a lower --learning-rate" in str(
        caught.value
    )
    there = {path.name for path in folder.rglob("*") if path.is_file()}
    assert not there & {"model.safetensors", "scores.json", "done.json"}


def test_select_on_contradicts_the_last_epoch(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"checkpoint is last.*leave out select_on"):
        train(tones, tmp_path / "run", **SMALL | {"checkpoint": "last", "select_on": "test"})
    assert not (tmp_path / "run").exists()


def test_contradictions_of_the_network_stop_it_before_any_training(
    tones: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionsError, match=r"width is 0.*backbone none"):
        train(tones, tmp_path / "run", **SMALL | {"width": 0})
    assert not (tmp_path / "run").exists()


def test_tensorboard_without_its_package_names_the_extra(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sonotype\[tensorboard\]'"):
        train(tones, tmp_path / "run", **SMALL | {"tensorboard": True})
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_not_there_is_named(tones: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has what the test wants to be missing")
    with pytest.raises(OptionsError, match="device cuda is not there; this machine has cpu"):
        train(tones, tmp_path / "run", **SMALL | {"device": "cuda"})
    assert device_of("auto") in (torch.device("cpu"), torch.device("mps"))
    assert not (tmp_path / "run").exists()


def test_unreadable_sounds_are_all_reported_before_any_training(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    (tones / "low" / "hum" / "hum_0.wav").write_text("no sound")
    soundfile.write(tones / "high" / "beep" / "beep_1.wav", np.full(99, np.nan), RATE, "FLOAT")
    with pytest.raises(DataError) as caught:
        train(tones, tmp_path / "run", **SMALL)
    assert [Path(issue.file).name for issue in caught.value.issues] == ["beep_1.wav", "hum_0.wav"]
    assert not (tmp_path / "run").exists()


def test_unavailable_weights_stop_it_before_any_training(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise WeightsError("no network")

    monkeypatch.setattr(pipeline, "load_pretrained", refuse)
    with pytest.raises(WeightsError, match="no network"):
        train(tones, tmp_path / "run", **SMALL | {"backbone": "mn04"})
    assert not (tmp_path / "run").exists()


def test_a_full_disk(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer.AtomicCheckpoints, "save_checkpoint", full)
    with pytest.raises(SonotypeError, match=r"no space left on the disk.*--resume"):
        train(tones, tmp_path / "run", **SMALL)


def test_data_are_required(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="no data to train on"):
        train(None, tmp_path / "run")


def test_a_resumed_run_needs_its_transform(tones: Path, tmp_path: Path) -> None:
    def louder(samples: np.ndarray, _: int) -> np.ndarray:
        return samples * 2

    train(tones, tmp_path / "run", transform=louder, **SMALL | {"epochs": 1})
    (tmp_path / "run" / "scores.json").unlink()
    with pytest.raises(OptionsError, match="run was run with other transform;"):
        train(None, tmp_path / "run", resume=True)
    again = train(None, tmp_path / "run", resume=True, transform=louder, cache_gb=30.0)
    assert again.best_epoch == 1


def test_a_transform_that_would_never_apply_is_refused(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"n_augmented is 1, .*the transform never applies"):
        train(tones, tmp_path / "run", transform=lambda x, _: x, **SMALL | {"n_augmented": 1})


def test_a_stop_before_the_first_epoch(tmp_path: Path) -> None:
    system = cbir_2(categories=2, backbone="none", width=0.01)
    text = r"before the first epoch .*--resume"
    for checkpoint in ("best", "last"):
        options = resolve(TrainOptions(checkpoint=checkpoint), "cbir_2")
        with pytest.raises(StoppedError, match=text):
            load_chosen_weights(system, tmp_path, options)
    assert StoppedError.exit_code == 130
