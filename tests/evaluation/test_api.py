"""What ``import sonotype`` offers."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_models import CATEGORIES, write_model
from training_data import SMALL, write_tones

import sonotype
from sonotype.core.errors import DataError, ModelFileError, OptionsError
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.evaluation.evaluate import SYNTHETIC_NOTE
from sonotype.evaluation.metrics import scores_to_json
from sonotype.evaluation.seen import SEEN_FOLDS_NOTE, SEEN_NOTE
from sonotype.inference.classifier import Classifier


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return sonotype.load(write_model(tmp_path_factory.mktemp("model") / "model.safetensors"))


def folds_table(tones: Path, table: Path, folds: int = 2) -> Path:
    """A table of the tones with a column of folds."""
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "category", "event", "fold"])
        for path in sorted(tones.rglob("*.wav")):
            number = int(path.stem.rpartition("_")[2])
            row = [path, path.parent.parent.name, path.parent.name, number % folds + 1]
            writer.writerow(row)
    return table


def test_names_and_nothing_else() -> None:
    classes = ["EmbeddingTransformer", "SoundClassifier"]
    names = [*classes, "crossval", "evaluate", "load", "load_ensemble", "train"]
    assert sonotype.__all__ == sorted([*names, "__version__"])
    assert {*names} <= set(dir(sonotype))
    for name in names:
        assert getattr(sonotype, name).__name__ == name
    with pytest.raises(AttributeError) as caught:
        _ = sonotype.trian  # type: ignore[attr-defined]
    assert str(caught.value) == "module 'sonotype' has no attribute 'trian'"


def test_importing_is_light() -> None:
    code = (
        "import sys, sonotype; "
        "heavy = {'torch', 'numpy', 'pandas', 'sklearn'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_scores_are_counted_one_by_one(model: Classifier, tones: Path) -> None:
    scores = sonotype.evaluate(model, tones)
    manifest = open_source(tones, purpose="evaluation")
    answers = [model.predict(clip.path) for clip in manifest.clips]
    for level in ("category", "event"):
        right = [
            one.labels[level] == clip.label(level)
            for one, clip in zip(answers, manifest.clips, strict=True)
        ]
        assert scores.heads[level].accuracy.value == pytest.approx(np.mean(right))
    assert (scores.clips, scores.groups, scores.notes) == (16, 16, ())


def test_a_path_is_as_good_as_a_loaded_model(
    model: Classifier, tones: Path, tmp_path: Path
) -> None:
    path = write_model(tmp_path / "model.safetensors")
    assert sonotype.evaluate(path, tones) == sonotype.evaluate(model, str(tones))
    assert sonotype.evaluate(str(path), tones, device="cpu") == sonotype.evaluate(model, tones)


def test_the_category_is_read_as_the_model_says_or_as_asked(tones: Path, tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.safetensors", card={"category_source": "events"})
    assert sonotype.evaluate(path, tones).category_source == "events"
    assert sonotype.evaluate(path, tones, category_source="both").category_source == "both"


def test_files_are_written_where_asked(model: Classifier, tones: Path, tmp_path: Path) -> None:
    scores = sonotype.evaluate(model, tones, out=tmp_path / "out")
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert written == scores_to_json(scores)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "plots",
        "predictions.csv",
        "scores.json",
        "scores.txt",
    ]


def test_evaluating_the_test_part_again_gives_the_scores_of_the_training(
    tones: Path, tmp_path: Path
) -> None:
    trained = sonotype.train(tones, tmp_path / "run", **SMALL | {"category_source": "both"})
    with (tmp_path / "run" / "split.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["subset"] == "test"]
    for row in rows:
        folder = tmp_path / "tested" / row["category"] / row["event"]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(row["path"], folder)
    scores = scores_to_json(sonotype.evaluate(trained.model, tmp_path / "tested"))
    assert len(rows) == 4
    assert scores["category_source"] == "both"
    for level in ("category", "event"):
        for figure in ("accuracy", "precision", "recall", "f1", "per_class", "confusion", "n"):
            found, wanted = (x["heads"][level][figure] for x in (scores, trained.scores))
            if figure in ("accuracy", "precision", "recall", "f1"):
                found, wanted = found["value"], wanted["value"]
            assert found == wanted, (level, figure)


def test_only_some_folds(model: Classifier, tones: Path, tmp_path: Path) -> None:
    table = folds_table(tones, tmp_path / "tones.csv", folds=4)
    assert sonotype.evaluate(model, table).clips == 16
    some = sonotype.evaluate(model, table, folds=[2, 4], out=tmp_path / "out")
    assert some.clips == 8
    with (tmp_path / "out" / "predictions.csv").open(newline="") as stream:
        numbers = {Path(row["path"]).stem[-1] for row in csv.DictReader(stream)}
    assert numbers == {"1", "3"}


def test_folds_that_are_not_there(model: Classifier, tones: Path, tmp_path: Path) -> None:
    table = folds_table(tones, tmp_path / "tones.csv")
    with pytest.raises(OptionsError) as caught:
        sonotype.evaluate(model, table, folds=[2, 9, 7])
    assert str(caught.value) == "--folds: no fold 7, 9; there are 1, 2"
    with pytest.raises(OptionsError) as caught:
        sonotype.evaluate(model, tones, folds=(1,))
    assert str(caught.value) == "--folds: no fold 1; tones has no folds"


def test_synthetic_sounds_are_called_so(model: Classifier, tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=2)
    (tones / "sonotype.json").write_text('{"name": "made up", "synthetic": true}')
    scores = sonotype.evaluate(model, tones, out=tmp_path / "out")
    assert scores.notes == (SYNTHETIC_NOTE,)
    assert (
        (tmp_path / "out" / "scores.txt")
        .read_text()
        .startswith("note: synthetic sounds: these scores say nothing about real ones\n")
    )


def trained_on(data: Path, path: Path) -> Classifier:
    """A model whose file says that it was trained on these data."""
    fingerprint = open_source(data).fingerprint()
    return sonotype.load(write_model(path, card={"training": {"fingerprint": fingerprint}}))


def test_sounds_of_the_training_are_called_so(tones: Path, tmp_path: Path) -> None:
    model = trained_on(tones, tmp_path / "model.safetensors")
    scores = sonotype.evaluate(model, shutil.copytree(tones, tmp_path / "copy"))
    assert scores.notes == (SEEN_NOTE,)
    table = folds_table(tones, tmp_path / "tones.csv")
    scores = sonotype.evaluate(model, table, folds=[2])
    assert scores.notes == (SEEN_FOLDS_NOTE,)
    next((tmp_path / "copy").rglob("*.wav")).unlink()
    assert sonotype.evaluate(model, tmp_path / "copy").notes == ()


def test_files_are_not_read_again_for_a_model_that_says_nothing_of_its_data(
    model: Classifier, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "fingerprint" not in model.card.training
    requested: list[Manifest] = []
    monkeypatch.setattr(Manifest, "fingerprint", requested.append)
    assert sonotype.evaluate(model, tones).notes == ()
    assert requested == []


def test_two_levels_of_labels_and_one(model: Classifier, tones: Path, tmp_path: Path) -> None:
    coarse = sonotype.load(write_model(tmp_path / "coarse.safetensors", CATEGORIES))
    scores = sonotype.evaluate(coarse, tones, category_source="events")
    assert (list(scores.heads), scores.category_source) == (["category"], "head")
    assert scores.notes == ()
    for path in tones.rglob("*_0.wav"):
        (tmp_path / "flat" / path.parent.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "flat" / path.parent.parent.name)
    scores = sonotype.evaluate(model, tmp_path / "flat")
    assert list(scores.heads) == ["category"]
    assert scores.clips == 4
    assert scores.notes == ("none of these clips has a label of the level event: it is not scored",)


def test_options_of_the_source(model: Classifier, tones: Path) -> None:
    scores = sonotype.evaluate(model, tones, group_pattern=r"_(\d)\.wav")
    assert (scores.clips, scores.groups) == (16, 4)
    with pytest.raises(OptionsError) as caught:
        sonotype.evaluate(model, tones, group_patern="x")
    assert "unknown options group_patern; known options: " in str(caught.value)
    assert "column, group_pattern" in str(caught.value)


def test_what_is_not_there_is_said(model: Classifier, tones: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        sonotype.evaluate(tmp_path / "none.safetensors", tones)
    with pytest.raises(DataError, match="no such file or folder"):
        sonotype.evaluate(model, tmp_path / "none")
    path = write_model(tmp_path / "model.safetensors")
    with pytest.raises(OptionsError) as caught:
        sonotype.evaluate(path, tones, device="tpu")
    assert str(caught.value).startswith("device tpu is not there; this machine has cpu")
