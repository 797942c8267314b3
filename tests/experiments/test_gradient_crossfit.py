"""Cross-fitting of networks that are trained by gradient descent."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_data import SMALL, write_tones

from sonotype.core.errors import StoppedError
from sonotype.evaluation.calibration import fit_temperature, tempered
from sonotype.evaluation.predictions import load_predictions
from sonotype.experiments import gradient_crossfit, runner
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import TrainResult, train
from sonotype.experiments.run_options import RunOptions
from sonotype.inference.load import load
from sonotype.modelfile.model_file import read_card

OPTIONS: dict[str, Any] = {k: v for k, v in SMALL.items() if not k.endswith("_fraction")}
OPTIONS |= {"evaluation": "crossfit", "learning_rate": 0.01}


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=3)


@pytest.fixture(scope="module")
def finished(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Not to be changed by a test."""
    return train(tones, tmp_path_factory.mktemp("crossfit") / "run", **OPTIONS)


def test_every_clip_is_tested_by_a_network_of_the_other_folds(finished: TrainResult) -> None:
    with (finished.folder / "split.csv").open(newline="") as stream:
        fold_of = {row["path"]: row["fold"] for row in csv.DictReader(stream)}
    assert len(fold_of) == 12
    assert set(fold_of.values()) == {"1", "2", "3"}
    for fold in ("1", "2", "3"):
        folder = finished.folder / gradient_crossfit.FOLDS / f"fold_{fold}"
        with (folder / "split.csv").open(newline="") as stream:
            subset_of = {row["path"]: row["subset"] for row in csv.DictReader(stream)}
        assert {path for path, name in subset_of.items() if name == "test"} == {
            path for path, own in fold_of.items() if own == fold
        }
        assert set(subset_of.values()) == {"train", "val", "test"}
    predictions = load_predictions(finished.folder / "predictions.npz")
    assert sorted(predictions.paths) == sorted(fold_of)
    assert finished.scores["clips"] == 12


def test_the_temperature_is_that_of_the_held_out_predictions(finished: TrainResult) -> None:
    card = read_card(finished.model)
    folds = sorted((finished.folder / gradient_crossfit.FOLDS).glob("fold_*"))
    raw = [load_predictions(folder / "predictions.npz") for folder in folds]
    predictions = load_predictions(finished.folder / "predictions.npz")
    for head in card.heads:
        proba = np.concatenate([one.proba[head.name] for one in raw])
        true = np.concatenate([one.true[head.name] for one in raw])
        assert head.temperature == pytest.approx(fit_temperature(proba, true))
        assert np.allclose(predictions.proba[head.name], tempered(proba, head.temperature))
        assert len(head.thresholds) == len(head.classes)


def test_the_model_learns_all_clips_for_the_median_of_the_epochs(finished: TrainResult) -> None:
    card = read_card(finished.model)
    folds = (finished.folder / gradient_crossfit.FOLDS).glob("fold_*/model.safetensors")
    epochs = [read_card(path).training["best_epoch"] for path in folds]
    assert card.training["best_epoch"] == finished.best_epoch == round(np.median(epochs))
    assert finished.best_score is None
    assert card.training["clips"] == {"train": 12, "val": 0, "test": 0}
    assert load(finished.model).predict(np.zeros(16_000), 16_000).labels


def test_an_interrupted_run_is_resumed(
    tones: Path, finished: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, run = [], runner.run

    def interrupted(context: Any) -> TrainResult:
        ran.append(context.folder.name)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return run(context)

    monkeypatch.setattr(runner, "run", interrupted)
    with pytest.raises(StoppedError, match="--resume"):
        train(tones, tmp_path / "run", **OPTIONS)
    assert ran == ["fold_1", "fold_2"]
    result = train(None, tmp_path / "run", resume=True)
    assert ran == ["fold_1", "fold_2", "fold_2", "fold_3"]
    ours, theirs = (
        json.loads((one.folder / "scores.json").read_text("utf-8")) for one in (result, finished)
    )
    assert ours == theirs


def test_classes_with_one_clip_are_learnt_and_not_scored(tones: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for path in sorted(tones.rglob("*.wav")):
        if not path.stem.startswith("beep") or path.stem == "beep_0":
            target = data / path.relative_to(tones)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    result = train(data, tmp_path / "run", **OPTIONS)
    assert "beep" in read_card(result.model).heads[1].classes
    assert result.scores["heads"]["event"]["n"] == 9
    assert any("beep" in note for note in result.scores["notes"])


def test_negatives_are_left_out(tones: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for path in sorted(tones.rglob("*.wav")):
        target = data / path.relative_to(tones).relative_to(path.relative_to(tones).parts[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (data / "hum").rename(data / "background")
    options = OPTIONS | {"evaluation": "auto", "val_fraction": 0.3, "test_fraction": 0.3}
    context = open_run(data, tmp_path / "run", RunOptions.of(options))
    everything = context.split.train + context.split.val + context.split.test
    assert len(everything) == 12
    clips = context.clips("train", "val", "test")
    assert len(clips) == 9
    assert all(clip.labels for clip in clips)
    assert context.heads[0].classes == ("beep", "buzz", "whistle")
