"""Runs with linear heads, from sound files to the model file, by cross-fitting and without."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from training_data import RATE, few_tones, tone

import sonotype
from sonotype.core.errors import OptionsError, StoppedError
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.calibration import tempered
from sonotype.evaluation.predictions import load_predictions
from sonotype.evaluation.thresholds import best_thresholds
from sonotype.experiments import linear_run
from sonotype.experiments.linear_run import DEFAULT_TEMPERATURE, linear_data
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import TrainResult, build, train
from sonotype.experiments.run_options import RunOptions
from sonotype.modelfile.model_file import read_card
from sonotype.training.linear_fit import fit_linear

OPTIONS: dict[str, Any] = {"backbone": "builtin", "seconds": 1.0, "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def crossfit(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainResult]:
    """A finished run; not to be changed by a test.

    It is the first to fill a cache of this module. Vectors that other tests computed, in batches
    with other clips, may differ in the last bits.
    """
    folder = tmp_path_factory.mktemp("linear")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SONOTYPE_CACHE", str(folder / "cache"))
        yield train(tones, folder / "run", **OPTIONS)


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "split.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def same_model(first: Path, second: Path) -> None:
    """The same card and weights; the library writes the entries of the header in any order."""
    contents = []
    for run in (first, second):
        with safe_open(run / "model.safetensors", framework="pt") as file:
            contents.append(file.metadata())
    assert contents[0] == contents[1], "the metadata has a digest of the weights"


def same_weights(first: Path, second: Path) -> None:
    left, right = (load_file(run / "model.safetensors") for run in (first, second))
    assert left.keys() == right.keys()
    assert all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def test_the_files_of_a_run(crossfit: TrainResult) -> None:
    folder = crossfit.folder
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    plots = {f"plots/{level}_{kind}.png" for level in ("category", "event")
             for kind in ("confusion", "f1")}  # fmt: skip
    assert found >= plots | {
        "config.json", "model.safetensors", "predictions.csv", "predictions.npz", "scores.json",
        "scores.txt", "split.csv",
    }  # fmt: skip
    assert not any(name.startswith("training/") for name in found)
    assert (crossfit.best_epoch, crossfit.best_score, crossfit.interrupted) == (None, None, False)
    config = json.loads((folder / "config.json").read_text())
    assert (config["options"]["recipe"], config["options"]["pooling"]) == ("linear", "statistics")


def test_every_clip_is_learnt_and_is_in_one_fold(crossfit: TrainResult, tones: Path) -> None:
    rows = rows_of(crossfit.folder)
    assert sorted(row["path"] for row in rows) == sorted(map(str, tones.rglob("*.wav")))
    assert {row["subset"] for row in rows} == {"train"}
    assert {row["fold"] for row in rows} == {"1", "2", "3", "4", "5"}
    for event in ("hum", "buzz", "beep", "whistle"):
        folds = [row["fold"] for row in rows if row["event"] == event]
        assert len(set(folds)) >= 4, "six clips of an event are spread over five folds"
    training = read_card(crossfit.model).training
    assert training["clips"] == {"train": 24, "val": 0, "test": 0}
    assert training["options"]["recipe"] == "linear"


def test_every_clip_is_predicted_and_scored(crossfit: TrainResult, tones: Path) -> None:
    predictions = load_predictions(crossfit.folder / "predictions.npz")
    assert sorted(predictions.paths) == sorted(map(str, tones.rglob("*.wav")))
    assert all((true != IGNORE_INDEX).all() for true in predictions.true.values())
    for level, true in predictions.true.items():
        values = crossfit.scores["heads"][level]
        assert values["n"] == 24
        if level == "event":
            right = predictions.proba[level].argmax(1) == true
            assert values["accuracy"]["value"] == pytest.approx(right.mean())
    assert crossfit.scores["heads"]["event"]["f1"]["value"] > 0.9
    assert "cross-fitting: 5 models" in crossfit.report
    assert crossfit.scores == json.loads((crossfit.folder / "scores.json").read_text())


def test_predictions_are_those_of_models_of_the_other_folds(
    crossfit: TrainResult, tones: Path, tmp_path: Path
) -> None:
    """Each model is fitted here to what ``split.csv`` says, and averages three views."""
    context = open_run(tones, tmp_path / "again", RunOptions.of(OPTIONS))
    data = linear_data(context, build(context))
    assert data.vectors.shape[:2] == (24, 3)
    folds = {row["path"]: row["fold"] for row in rows_of(crossfit.folder)}
    fold_of = np.array([folds[str(clip.path)] for clip in context.clips("train")])
    predictions = load_predictions(crossfit.folder / "predictions.npz")
    heads = read_card(crossfit.model).heads
    for fold in set(fold_of):
        learnt, tested = fold_of != fold, fold_of == fold
        targets = {name: target[learnt] for name, target in data.targets.items()}
        linear = fit_linear(data.vectors[learnt], targets, heads, data.weights)
        for head in heads:
            logits = linear.logits(data.vectors[tested])[head.name].astype(np.float64)
            powers = np.exp((logits - logits.max(-1, keepdims=True)) / head.temperature)
            expected = (powers / powers.sum(-1, keepdims=True)).mean(1)
            np.testing.assert_allclose(predictions.proba[head.name][tested], expected, atol=1e-5)


def test_the_model_is_fitted_to_all_clips(
    crossfit: TrainResult, tones: Path, tmp_path: Path
) -> None:
    model = sonotype.load(crossfit.model)
    assert (model.tta_shifts, model.category_source) == (3, "events")
    context = open_run(tones, tmp_path / "again", RunOptions.of(OPTIONS))
    data = linear_data(context, build(context))
    linear = fit_linear(data.vectors, data.targets, model.heads, data.weights)
    clips = context.clips("train")
    for index in (0, 9, 20):
        found = model.with_options(category_source="head").predict(clips[index].path)
        for head in model.heads:
            logits = linear.logits(data.vectors[index])[head.name].astype(np.float64)
            powers = np.exp(logits - logits.max(-1, keepdims=True))
            proba = tempered(powers / powers.sum(-1, keepdims=True), head.temperature).mean(0)
            np.testing.assert_allclose(found.proba[head.name], proba, atol=2e-3)
        assert found.label == clips[index].label("event")


def test_the_model_has_temperatures_and_thresholds(crossfit: TrainResult) -> None:
    card = read_card(crossfit.model)
    predictions = load_predictions(crossfit.folder / "predictions.npz")
    for head in card.heads:
        assert 0.05 < head.temperature < 20
        assert head.temperature not in (1.0, DEFAULT_TEMPERATURE)
        assert len(head.thresholds) == len(head.classes)
        expected = best_thresholds(predictions.proba[head.name], predictions.true[head.name])
        assert head.thresholds == pytest.approx(expected, abs=1e-6)


def test_the_model_tells_noise_from_its_classes(crossfit: TrainResult, tones: Path) -> None:
    model = sonotype.load(crossfit.model)
    assert (model.card.unknown_head, model.card.unknown_threshold) == ("event", 0.5)
    known = [model.predict(path) for path in sorted(tones.rglob("*.wav"))]
    assert np.mean([prediction.is_unknown for prediction in known]) < 0.3
    foreign = [
        np.zeros(RATE, np.float32),
        0.1 * np.random.default_rng(5).standard_normal(RATE).astype(np.float32),
    ]
    assert all(model.predict(sound, RATE).is_unknown for sound in foreign)


@pytest.mark.parametrize("options", [{}, {"cache": False}])
def test_the_same_options_give_the_same_model(
    crossfit: TrainResult, tones: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    train(tones, tmp_path / "run", **OPTIONS | options)
    same_weights(tmp_path / "run", crossfit.folder)
    if not options:
        same_model(tmp_path / "run", crossfit.folder)
    assert not (tmp_path / "run" / "training" / "maps").exists()


def test_a_first_branch_that_has_seen_the_clips_is_noted(
    crossfit: TrainResult, tones: Path, tmp_path: Path
) -> None:
    again = train(tones, tmp_path / "run", **OPTIONS | {"backbone": str(crossfit.model)})
    [note] = again.scores["notes"]
    assert f"branch 1 comes from {crossfit.model}" in note and "too high" in note
    assert not any("branch 1" in note for note in crossfit.scores["notes"])


def test_the_folds_of_the_source_are_used(table: Path, tmp_path: Path) -> None:
    run = train(table, tmp_path / "run", **OPTIONS)
    with table.open(newline="") as stream:
        wanted = {Path(row["path"]).name: row["fold"] for row in csv.DictReader(stream)}
    assert {Path(row["path"]).name: row["fold"] for row in rows_of(run.folder)} == wanted
    assert "cross-fitting: 2 models, each scored on a fold of the source's own" in run.report
    card = read_card(run.model)
    assert (card.unknown_head, card.unknown_threshold) == ("event", 0.5)


# Few clips


def test_one_clip_a_class_gives_a_model_without_scores(tmp_path: Path) -> None:
    data = few_tones(tmp_path / "data", {"hum": 1, "beep": 1})
    run = train(data, tmp_path / "run", **OPTIONS)
    assert run.scores == {}
    assert "no scores: every class has a single recording; add recordings" in run.report
    assert not (run.folder / "scores.json").exists()
    assert {row["fold"] for row in rows_of(run.folder)} == {""}
    model = sonotype.load(run.model)
    assert all(head.temperature == DEFAULT_TEMPERATURE for head in model.heads)
    assert all(head.thresholds == () for head in model.heads)
    assert model.predict(tone(1500.0, 9), RATE).label == "beep"
    prediction = model.predict(tone(200.0, 9), RATE)
    assert prediction.label == "hum"
    assert (prediction.unknown_score, prediction.is_unknown) == (None, False)


def test_a_class_of_one_clip_is_learnt_but_not_scored(tmp_path: Path) -> None:
    data = few_tones(tmp_path / "data", {"hum": 4, "buzz": 4, "beep": 1, "whistle": 4})
    run = train(data, tmp_path / "run", **OPTIONS)
    assert (
        "learnt, but without a score, because only one fold has recordings: beep"
        in run.report.replace("\n      ", " ")
    )
    predictions = load_predictions(run.folder / "predictions.npz")
    [beep] = [n for n, path in enumerate(predictions.paths) if "beep" in path]
    assert predictions.true["event"][beep] == IGNORE_INDEX
    assert predictions.true["category"][beep] != IGNORE_INDEX
    assert (np.delete(predictions.true["event"], beep) != IGNORE_INDEX).all()
    assert run.scores["heads"]["event"]["n"] == 12
    assert sonotype.load(run.model).predict(tone(1500.0, 9), RATE).label == "beep"


def test_clips_of_no_class_teach_what_is_unknown(tones: Path, tmp_path: Path) -> None:
    data = shutil.copytree(tones, tmp_path / "data")
    for number in range(6):
        path = data / "_background_noise_" / "clicks" / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        clicks = np.where(np.arange(RATE) % (900 + 40 * number) < 8, 0.3, 0.0)
        soundfile.write(path, clicks, RATE, subtype="PCM_16")
    run = train(data, tmp_path / "run", **OPTIONS)
    model = sonotype.load(run.model)
    assert [head.classes for head in model.heads] == [
        ("high", "low"), ("beep", "buzz", "hum", "whistle")
    ]  # fmt: skip
    predictions = load_predictions(run.folder / "predictions.npz")
    negative = np.array(["_background_noise_" in path for path in predictions.paths])
    assert negative.sum() == 6
    assert all((true[negative] == IGNORE_INDEX).all() for true in predictions.true.values())
    assert run.scores["heads"]["event"]["n"] == 24
    assert predictions.unknown is not None
    assert predictions.unknown[negative].min() > predictions.unknown[~negative].mean()
    clicks = np.where(np.arange(RATE) % 1010 < 8, 0.3, 0.0).astype(np.float32)
    assert model.predict(clicks, RATE).is_unknown


# Other evaluations


@pytest.mark.parametrize("options", [{"evaluation": "none"}, {"protocol": "all"}])
def test_without_an_evaluation_the_model_is_the_same(
    crossfit: TrainResult, tones: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    run = train(tones, tmp_path / "run", **OPTIONS | options)
    assert run.scores == {}
    assert not (run.folder / "scores.json").exists()
    assert {row["subset"] for row in rows_of(run.folder)} == {"train"}
    same_weights(run.folder, crossfit.folder)
    assert "every clip is a training clip" in run.report


def test_a_test_clip_changes_nothing_of_a_held_out_model(tones: Path, tmp_path: Path) -> None:
    options = OPTIONS | {"evaluation": "holdout", "test_fraction": 0.25}
    data = shutil.copytree(tones, tmp_path / "data")
    before = train(data, tmp_path / "before", **options)
    rows = rows_of(before.folder)
    subsets = [row["subset"] for row in rows]
    assert (subsets.count("train"), subsets.count("val"), subsets.count("test")) == (18, 0, 6)
    assert before.scores["heads"]["event"]["n"] == 6
    assert len(load_predictions(before.folder / "predictions.npz").paths) == 6
    assert any(head.temperature != DEFAULT_TEMPERATURE for head in read_card(before.model).heads)
    tested = [Path(row["path"]) for row in rows if row["subset"] == "test"]
    for number, path in enumerate(tested):
        soundfile.write(path, tone(777.0, 100 + number), RATE, subtype="PCM_16")
    after = train(data, tmp_path / "after", **options)
    assert [row["subset"] for row in rows_of(after.folder)] == subsets
    same_weights(after.folder, before.folder)
    cards = [read_card(run.model) for run in (before, after)]
    for one, other in zip(cards[0].heads, cards[1].heads, strict=True):
        assert (one.temperature, one.thresholds) == (other.temperature, other.thresholds)
    assert after.scores != before.scores
    assert after.scores["heads"]["event"]["accuracy"]["value"] < 1


def test_a_transform_is_refused(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="the transform augments clips for gradient training"):
        train(tones, tmp_path / "run", transform=lambda samples, _: samples, **OPTIONS)


# Interrupted runs


@pytest.mark.parametrize(
    "step", ["pooled_vectors", "noise_vectors", "fit_folds", "fit_linear", "fit_unknown"]
)
def test_an_interrupted_run_is_resumed_to_the_same_model(
    crossfit: TrainResult, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(linear_run, step, interrupted)
        with pytest.raises(StoppedError, match=r"interrupted; continue with --resume .*run"):
            train(tones, run, **OPTIONS)
    assert not (run / "model.safetensors").exists()
    resumed = train(None, run, resume=True)
    assert resumed.scores == crossfit.scores
    same_model(run, crossfit.folder)


def test_a_resumed_run_on_other_groups_is_refused(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shutil.copytree(tones, tmp_path / "data")
    monkeypatch.setattr(linear_run, "fit_linear", None)
    with pytest.raises(TypeError):
        train(data, tmp_path / "run", **OPTIONS)
    (data / "low" / "hum" / "hum_0.wav").rename(data / "low" / "hum" / "zzz.wav")
    with pytest.raises(OptionsError, match="folds or groups of the data"):
        train(None, tmp_path / "run", resume=True)


def test_linear_heads_have_no_checkpoint() -> None:
    with pytest.raises(OptionsError, match="leave out checkpoint"):
        RunOptions.of({"recipe": "linear", "checkpoint": "best"})
