"""Trainings, folds and refusals for clips with any number of labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from training_data import FOLDED, RATE, SMALL, tone

from sonotype.core.errors import OptionsError
from sonotype.evaluation.predictions import load_predictions
from sonotype.evaluation.thresholds import best_thresholds
from sonotype.experiments.cross_validation import crossval
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import read_plan
from sonotype.experiments.learning_curve import run_learning_curve
from sonotype.experiments.pipeline import TrainResult, train
from sonotype.inference.load import load
from sonotype.modelfile.model_file import read_card

HZ = {"hum": 200.0, "beep": 1500.0, "whistle": 3000.0}
SETS = ((), ("hum",), ("beep",), ("whistle",), ("hum", "beep"), ("beep", "whistle"))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four mixtures of each set of tones, in two folds."""
    folder = tmp_path_factory.mktemp("data") / "several"
    folder.mkdir()
    rng = np.random.default_rng(0)
    with (folder / "table.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", *HZ, "fold"])
        for number in range(4):
            for index, names in enumerate(SETS):
                samples = 0.02 * rng.standard_normal(RATE)
                for name in names:
                    samples += tone(HZ[name], 10 * number + index)
                path = f"{number}_{index}.wav"
                soundfile.write(folder / path, samples.astype(np.float32), RATE)
                writer.writerow([path, *(int(name in names) for name in HZ), number % 2 + 1])
    return folder / "table.csv"


@pytest.mark.parametrize(
    "mixing",
    [{"mixup": 0.3, "n_augmented": 1}, {"between_class_mix": 0.75}, {"label_smoothing": 0.1}],
    ids=lambda options: next(iter(options)),
)
def test_gradient_training(several: Path, tmp_path: Path, mixing: dict[str, Any]) -> None:
    found = train(several, tmp_path / "run", **SMALL | {"evaluation": "holdout"} | mixing)
    head = found.scores["heads"]["category"]
    assert head["ranking"]["average_precision"]["value"] > 0
    assert head["confusion"] == []
    with (found.folder / "training.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 3
    for row in rows:
        assert row["val_category_map"] == row["val_f1"]
        assert 0 <= float(row["val_f1"]) <= 1
        assert np.isfinite(float(row["train_loss"]))
    assert "mAP" in found.report
    model = load(found.model)
    assert model.heads[0].problem == "multi"
    prediction = model.predict(several.parent / "0_4.wav")
    proba = prediction.proba["category"]
    assert set(prediction.present["category"]) == {
        name for name, value in zip(model.heads[0].classes, proba, strict=True) if value >= 0.5
    }


@pytest.fixture(scope="module")
def crossfit(several: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """Not to be changed by a test."""
    options = FOLDED | {"evaluation": "crossfit", "thresholds": "recall", "threshold_target": 0.8}
    return train(several, tmp_path_factory.mktemp("crossfit") / "run", **options)


def test_cross_fitted_networks_have_thresholds(crossfit: TrainResult) -> None:
    """Those of the model are the best for all held-out predictions; scores use other folds'."""
    [head] = read_card(crossfit.model).heads
    found = load_predictions(crossfit.folder / "predictions.npz")
    true, proba = found.true["category"], found.proba["category"]
    assert head.thresholds == best_thresholds(proba, true, "recall", 0.8)
    assert head.temperature != 1
    raw = [
        load_predictions(crossfit.folder / "folds" / f"fold_{number}" / "predictions.npz")
        for number in (1, 2)
    ]
    assert found.paths == raw[0].paths + raw[1].paths
    half = len(raw[0])
    for tested, others in ((slice(half), slice(half, None)), (slice(half, None), slice(half))):
        limits = best_thresholds(proba[others], true[others], "recall", 0.8)
        assert np.array_equal(found.present["category"][tested], proba[tested] >= np.array(limits))
    # The temperature changes no order, and is one for all clips.
    logits = np.log(proba / (1 - proba))
    before = np.concatenate([one.proba["category"] for one in raw]).astype(np.float64)
    np.testing.assert_allclose(
        logits * head.temperature, np.log(before / (1 - before)), rtol=1e-4, atol=1e-4
    )


def test_a_class_that_the_other_folds_lack_is_not_scored(several: Path, tmp_path: Path) -> None:
    """Fold 2 has no whistle: of the clips of fold 1 it is not known whether one is found."""
    with several.open(newline="") as stream:
        rows = list(csv.reader(stream))
    path = several.parent / "rare.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(row for row in rows if not (row[3] == "1" and row[4] == "2"))
    found = train(path, tmp_path / "run", **FOLDED | {"evaluation": "crossfit", "epochs": 1})
    predictions = load_predictions(found.folder / "predictions.npz")
    column = predictions.heads[0].index["whistle"]
    first = [Path(name).name[0] in "02" for name in predictions.paths]
    assert (predictions.true["category"][first, column] == -1).all()
    assert (predictions.true["category"][np.logical_not(first), column] == 0).all()


@pytest.mark.parametrize("recipe", ["linear", "modern"])
def test_cross_validation(several: Path, tmp_path: Path, recipe: str) -> None:
    options = FOLDED if recipe == "modern" else {"backbone": "builtin", "seconds": 1.0}
    found = crossval(several, tmp_path / "folds", **options | {"device": "cpu"})
    pooled = found.scores["pooled"]["heads"]["category"]
    assert pooled["n"] == 24
    assert pooled["ranking"]["lwlrap"]["value"] > 0
    assert len(found.scores["folds"]["heads"]["category"]["f1"]["values"]) == 2
    assert "mAP" in found.report
    assert max(map(len, found.report.splitlines())) <= 80
    if recipe == "linear":
        assert pooled["ranking"]["average_precision"]["value"] > 0.8


def test_a_student(several: Path, tmp_path: Path) -> None:
    teacher = train(several, tmp_path / "teacher", **FOLDED | {"evaluation": "none"})
    options = FOLDED | {"evaluation": "none", "epochs": 2, "teachers": (str(teacher.model),)}
    student = train(several, tmp_path / "student", **options)
    assert load(student.model).heads[0].problem == "multi"


def test_what_needs_single_labels_refuses_several(several: Path, tmp_path: Path) -> None:
    linear = {"backbone": "builtin", "seconds": 1.0, "device": "cpu"}
    with pytest.raises(OptionsError, match=r"ensemble.*any number of labels"):
        train(several, tmp_path / "ensemble", **linear | {"ensemble": True})
    with pytest.raises(OptionsError, match=r"learning curve.*any number of labels"):
        run_learning_curve(several, tmp_path / "curve", **linear)
    options = "\n".join(f"{name} = {json.dumps(value)}" for name, value in FOLDED.items())
    plan = tmp_path / "study.toml"
    plan.write_text(f'title = "Tiny"\nfolds = [1, 2]\n[options]\n{options}\n[rows.plain]\n')
    with pytest.raises(OptionsError, match=r"study.*any number of labels"):
        run_study(read_plan(plan), several, tmp_path / "study")
