"""Training and evaluation on annotated recordings, from label files to scores."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated_recordings import SOUNDS, write_recordings
from safetensors.torch import load_file
from torch import equal

import sonotype
from sonotype.core.errors import DataError, OptionsError, StoppedError
from sonotype.evaluation.metrics import scores_to_json
from sonotype.evaluation.predictions import load_predictions
from sonotype.experiments import linear_run
from sonotype.experiments.pipeline import TrainResult, train
from sonotype.export.onnx import export_onnx
from sonotype.modelfile.model_file import read_card

OPTIONS: dict[str, Any] = {"backbone": "builtin", "device": "cpu"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recordings(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def run(site: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A finished run; not to be changed by a test."""
    return train(site, tmp_path_factory.mktemp("annotated") / "run", **OPTIONS)


def test_windows_of_a_recording_stay_together(run: TrainResult, site: Path) -> None:
    with (run.folder / "split.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    folds: dict[str, set[str]] = {}
    for row in rows:
        folds.setdefault(row["path"], set()).add(row["fold"])
    assert sorted(folds) == sorted(map(str, site.glob("*.wav")))
    assert all(len(found) == 1 for found in folds.values())
    starts = [float(row["start"]) for row in rows if row["path"].endswith("site_0.wav")]
    assert starts == sorted(set(starts)), "each window once, in order"
    assert any(row["category"] == "high;low" for row in rows)
    assert any(row["category"] == "" for row in rows), "background"


def test_the_model_of_annotations(run: TrainResult, site: Path) -> None:
    card = read_card(run.model)
    [head] = card.heads
    assert (head.problem, head.classes) == ("multi", tuple(sorted(SOUNDS)))
    assert len(head.thresholds) == 3 and card.audio_spec.seconds == 1.0
    assert card.tta_shifts == 1
    assert (run.folder / "plots" / "category_f1.png").exists()
    ranking = run.scores["heads"]["category"]["ranking"]
    assert ranking["average_precision"]["value"] > 0.9
    predictions = load_predictions(run.folder / "predictions.npz")
    assert predictions.paths[0].startswith(str(site / "site_0.wav") + "#t=")
    decided = predictions.decided(predictions.heads[0])
    assert decided.shape == predictions.true["category"].shape
    quarter = 1 / 4
    starts = [float(path.split("#t=")[1].split(",")[0]) for path in predictions.paths]
    np.testing.assert_allclose(np.array(starts) % quarter, 0, atol=1e-9)


def test_label_files_and_a_table_give_one_model(run: TrainResult, tmp_path: Path) -> None:
    files = write_recordings(tmp_path / "files", tables=False)
    second = train(files, tmp_path / "run", **OPTIONS)
    left, right = load_file(run.model), load_file(second.model)
    assert left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)


def test_scores_of_windows_and_events(run: TrainResult, tmp_path: Path) -> None:
    test = write_recordings(tmp_path / "test", 3, seed=1)
    scores = sonotype.evaluate(run.folder, test, out=tmp_path / "out")
    [head] = scores.heads.values()
    assert head.ranking is not None and head.ranking.average_precision.value > 0.85
    events = scores.events
    assert events is not None and (events.recordings, events.groups) == (3, 3)
    assert events.segment_based.macro.value > 0.7
    assert {one.label: one.reference for one in events.per_class} == {
        label: sum(row["label"] == label for row in annotations(test)) for label in SOUNDS
    }
    change = scores.held_out["category"].metrics["average_precision"]
    known = read_card(run.model).scores["heads"]["category"]["ranking"]["average_precision"]
    assert change.held_out.value == pytest.approx(known["value"])
    assert change.value == head.ranking.average_precision
    written = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert written == scores_to_json(scores)
    assert "event-based F1" in (tmp_path / "out" / "scores.txt").read_text()
    seen = sonotype.evaluate(run.folder, test.parent / "test", folds=())
    assert not any("seen" in note for note in seen.notes)


def annotations(folder: Path) -> list[dict[str, str]]:
    with (folder / "annotations.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_recordings_of_the_training_are_noted(run: TrainResult, site: Path) -> None:
    scores = sonotype.evaluate(run.folder, site)
    assert any("seen 6 of 6 recordings" in note for note in scores.notes)
    assert not scores.held_out


def test_an_interrupted_run_is_resumed_to_the_same_model(
    run: TrainResult, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(linear_run, "mixture_vectors", interrupt)
        with pytest.raises(StoppedError):
            train(site, tmp_path / "run", **OPTIONS)
    resumed = train(None, tmp_path / "run", resume=True)
    left, right = load_file(run.model), load_file(resumed.model)
    assert all(equal(left[name], right[name]) for name in left)
    assert (tmp_path / "run" / "split.csv").read_text() == (run.folder / "split.csv").read_text()


def test_one_label_a_window(site: Path, tmp_path: Path) -> None:
    result = train(site, tmp_path / "run", problem="single", **OPTIONS)
    [head] = read_card(result.model).heads
    assert head.problem == "single"
    assert result.scores["heads"]["category"]["accuracy"]["value"] > 0.7
    scores = sonotype.evaluate(result.folder, site)
    assert scores.heads["category"].ranking is not None, "recordings have any number of labels"


def test_faults_of_the_annotations_are_all_reported(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(site, folder)
    with (folder / "annotations.csv").open("a") as stream:
        stream.write("site_0.wav,3,2,low\nsite_9.wav,1,2,low\nsite_1.wav,19,25,Low\n")
    with pytest.raises(DataError) as caught:
        train(folder, tmp_path / "run", **OPTIONS)
    text = "\n".join(map(str, caught.value.issues))
    for fact in ("site_9.wav", "Low", "25"):
        assert fact in text
    assert len(caught.value.issues) >= 4
    assert not (tmp_path / "run").exists()


def test_messages_say_what_is_used(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(site, folder)
    rows = (folder / "annotations.csv").read_text().splitlines()
    kept = [row for row in rows if not row.startswith(("site_4", "site_5")) or row.count(",0.5,")]
    (folder / "annotations.csv").write_text("\n".join(kept) + "\n")
    said: list[str] = []
    train(folder, tmp_path / "run", on_message=said.append, **OPTIONS)
    text = " ".join(" ".join(said).split())
    assert "6 recordings of 2 min" in text and "--annotated whole" in text
    said.clear()
    train(folder, tmp_path / "whole", on_message=said.append, annotated="whole", **OPTIONS)
    assert "--annotated" not in " ".join(said)


def test_a_class_without_a_window_is_named(site: Path, tmp_path: Path) -> None:
    """A short call inside a long one is never the longest label."""
    folder = tmp_path / "copy"
    shutil.copytree(site, folder)
    rows = ["path,onset,offset,label"]
    rows += [f"site_{n}.wav,{t},{t + 2},long" for n in range(3) for t in (1, 8)]
    rows += [f"site_{n}.wav,2.0,2.1,call" for n in range(3)]
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    for problem, named in (("single", True), ("multi", False)):
        said: list[str] = []
        train(folder, tmp_path / problem, on_message=said.append, problem=problem, **OPTIONS)
        assert ("no window has call" in " ".join(" ".join(said).split())) == named


def test_a_class_in_every_window_is_named(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(site, folder)
    rows = ["path,onset,offset,label", *(f"site_{n}.wav,1.0,1.4,call" for n in range(3))]
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")
    said: list[str] = []
    train(folder, tmp_path / "run", on_message=said.append, **OPTIONS)
    text = " ".join(" ".join(said).split())
    assert "without call" in text and "--annotated whole" in text
    said.clear()
    train(folder, tmp_path / "whole", on_message=said.append, annotated="whole", **OPTIONS)
    assert "without call" not in " ".join(" ".join(said).split())


def test_windows_of_a_test_set_are_read_as_windows(site: Path, tmp_path: Path) -> None:
    """Held-out windows of a gradient training; a prediction of the whole file would be wrong."""
    result = train(
        site, tmp_path / "run", recipe="modern", epochs=3, min_steps=0, n_augmented=1,
        evaluation="holdout", background=0.3, **OPTIONS,
    )  # fmt: skip
    predictions = load_predictions(result.folder / "predictions.npz")
    assert result.scores["heads"]["category"]["ranking"]["average_precision"]["value"] > 0.6
    model = sonotype.load(result.folder)
    path, _, window = predictions.paths[len(predictions) // 2].partition("#t=")
    start = float(window.split(",")[0])
    windows = model.predict_windows(path, 0.25, exact=True)
    expected = next(one for one in windows if one.start == pytest.approx(start))
    found = predictions.proba["category"][len(predictions) // 2]
    np.testing.assert_allclose(found, expected.proba["category"], atol=0.02)


def test_annotated_recordings_are_no_clips_for_an_export(
    run: TrainResult, site: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionsError, match="annotated recordings"):
        export_onnx(run.folder, tmp_path / "m.onnx", data=site)


def test_a_quiet_site_has_false_alarms_only(run: TrainResult, site: Path, tmp_path: Path) -> None:
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    shutil.copy(site / "site_0.wav", quiet / "night.wav")
    header = "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tSpecies\n"
    (quiet / "night.Table.1.selections.txt").write_text(header)
    scores = sonotype.evaluate(run.folder, quiet, out=tmp_path / "out")
    assert scores.events is not None
    assert scores.events.false_alarms_per_hour.value > 100
    assert sum(one.reference for one in scores.events.per_class) == 0
    assert (tmp_path / "out" / "event_scores.csv").exists()
    with pytest.raises(DataError, match="no recording has a labelled event"):
        train(quiet, tmp_path / "none", **OPTIONS)
