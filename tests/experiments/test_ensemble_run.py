"""Ensembles: linear heads and a network for each fold, in one model file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from training_data import few_tones

import sonotype
from sonotype.core.errors import OptionsError, StoppedError
from sonotype.evaluation.calibration import fit_temperature, tempered
from sonotype.evaluation.predictions import load_predictions
from sonotype.experiments import ensemble_run, runner
from sonotype.experiments.gradient_crossfit import calibrate
from sonotype.experiments.pipeline import TrainResult, train
from sonotype.experiments.run_options import RunOptions
from sonotype.modelfile.model_file import read_card

LINEAR: dict[str, Any] = {"backbone": "builtin", "seconds": 1.0, "device": "cpu"}
OPTIONS = {**LINEAR, "ensemble": True}
FOLDS = 5


@pytest.fixture(scope="module", autouse=True)
def short_trainings(module_monkeypatch: pytest.MonkeyPatch) -> None:
    """Two epochs on the recorded clips alone."""
    short = {"n_augmented": 1, "time_shift": 0.0, "gain": 0.0, "epochs": 2, "min_steps": 0}
    module_monkeypatch.setattr(ensemble_run, "MEMBER", {**ensemble_run.MEMBER, **short})


@pytest.fixture(scope="module")
def module_monkeypatch() -> Any:
    with pytest.MonkeyPatch.context() as patched:
        yield patched


@pytest.fixture(scope="module")
def finished(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished run; not to be changed by a test."""
    return train(tones, tmp_path_factory.mktemp("ensemble") / "run", **OPTIONS)


@pytest.fixture(scope="module")
def linear(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """The same run without networks."""
    return train(tones, tmp_path_factory.mktemp("linear") / "run", **LINEAR)


def test_the_file_has_a_network_for_each_fold(finished: TrainResult, linear: TrainResult) -> None:
    weights, alone = load_file(finished.model), load_file(linear.model)
    networks = {name.split(".")[2] for name in weights if name.startswith("members.networks.")}
    assert networks == {str(number) for number in range(FOLDS)}
    assert all(np.array_equal(weights[name], alone[name]) for name in alone)


def test_clips_are_predicted_by_the_heads_and_the_network_of_their_fold(
    finished: TrainResult, linear: TrainResult
) -> None:
    both = load_predictions(finished.folder / "predictions.npz")
    heads = load_predictions(linear.folder / "predictions.npz")
    parts = [
        load_predictions(finished.folder / "folds" / f"fold_{number + 1}" / "predictions.npz")
        for number in range(FOLDS)
    ]
    assert sorted(path for part in parts for path in part.paths) == sorted(both.paths)
    for head in read_card(finished.model).heads:
        raw = np.concatenate([part.proba[head.name] for part in parts])
        true = np.concatenate([part.true[head.name] for part in parts])
        networks = dict(
            zip(
                (path for part in parts for path in part.paths),
                tempered(raw, fit_temperature(raw, true)),
                strict=True,
            )
        )
        own = heads.proba[head.name]
        mean = np.array(
            [(networks[path] + p) / 2 for path, p in zip(heads.paths, own, strict=True)]
        )
        assert head.temperature == pytest.approx(fit_temperature(mean, both.true[head.name]))
        np.testing.assert_allclose(
            both.proba[head.name], tempered(mean, head.temperature), atol=1e-6
        )


def test_the_model_averages_all_networks(finished: TrainResult, tones: Path) -> None:
    """Against the members, each as a model of its own."""
    path = sorted(tones.rglob("*.wav"))[0]
    options: dict[str, Any] = {"tta_shifts": 1, "category_source": "head"}
    found = sonotype.load(finished.model, **options).predict(path)
    folders = [finished.folder / "folds" / f"fold_{number + 1}" for number in range(FOLDS)]
    networks = [sonotype.load(folder, **options).predict(path) for folder in folders]
    parts = [load_predictions(folder / "predictions.npz") for folder in folders]
    own = sonotype.load(finished.model, **options)
    own.engine.fused.members = None  # type: ignore[attr-defined]
    alone = own.predict(path)
    calibrated = ensemble_run.concatenate(parts)
    context: Any = SimpleNamespace(options=RunOptions.of({}), split=SimpleNamespace(folds=()))
    temperatures = {head.name: head.temperature for head in calibrate(context, calibrated)[0]}
    own_temperatures = load_file(finished.model)["members.temperatures"].tolist()
    for head, own_temperature in zip(found.proba, own_temperatures, strict=True):
        joint = next(one for one in own.heads if one.name == head).temperature
        each = [tempered(alone.proba[head][None], own_temperature / joint)]
        each += [tempered(one.proba[head][None], temperatures[head]) for one in networks]
        expected = tempered(np.mean(each, axis=0), joint)[0]
        np.testing.assert_allclose(found.proba[head], expected, atol=1e-4)
    assert found.unknown_score == pytest.approx(alone.unknown_score)


def test_a_stopped_run_continues_to_the_same_model(
    finished: TrainResult, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def interrupted(context: Any) -> Exception | None:
        if len(done) == 2:
            return StoppedError()
        done.append(context.folder)
        return run_or_resume(context)

    run_or_resume = runner.run_or_resume
    with monkeypatch.context() as patched:
        patched.setattr(runner, "run_or_resume", interrupted)
        with pytest.raises(StoppedError, match=r"interrupted; continue with --resume"):
            train(tones, tmp_path / "run", **OPTIONS)
    resumed = train(None, tmp_path / "run", resume=True)
    assert resumed.scores == finished.scores
    left, right = load_file(resumed.model), load_file(finished.model)
    assert all(np.array_equal(left[name], right[name]) for name in right)


def test_clips_without_folds_are_refused(tmp_path: Path) -> None:
    few = few_tones(tmp_path / "data", {"hum": 1, "beep": 1})
    with pytest.raises(OptionsError, match="these clips make no folds"):
        train(few, tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_an_ensemble_is_one_of_linear_heads(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="ensemble is for the recipe linear"):
        train(tones, tmp_path / "run", **OPTIONS, recipe="modern")
