"""Cross-validation: every fold is tested once, and finished folds are kept."""

from __future__ import annotations

import csv
import json
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_runs import result_of
from training_data import SMALL, write_tones

import sonotype
from sonotype.core.errors import DataError, ModelFileError, OptionsError, SonotypeError
from sonotype.experiments.context import RunContext
from sonotype.experiments.cross_validation import CrossvalResult
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.runner import FailedRunsError

OPTIONS = {k: v for k, v in SMALL.items() if not k.endswith("_fraction")} | {"epochs": 1}


@pytest.fixture(scope="module")
def finished(
    tones: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CrossvalResult, list[str]]:
    """Folder, result, and messages; not to be changed by a test."""
    out = tmp_path_factory.mktemp("crossval") / "out"
    messages: list[str] = []
    result = sonotype.crossval(tones, out, folds=3, on_message=messages.append, **OPTIONS)
    return out, result, messages


def clips_tested(fold: Path) -> set[str]:
    with (fold / "split.csv").open(newline="") as stream:
        return {row["path"] for row in csv.DictReader(stream) if row["subset"] == "test"}


def figures(out: Path, level: str, figure: str) -> list[float]:
    scores = [json.loads(path.read_text()) for path in sorted(out.glob("fold_*/scores.json"))]
    return [fold["heads"][level][figure]["value"] for fold in scores]


def with_folds(tones: Path, table: Path, folds: int) -> Path:
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "category", "event", "fold"])
        for path in sorted(tones.rglob("*.wav")):
            fold = int(path.stem.rpartition("_")[2]) % folds + 1
            writer.writerow([path, path.parent.parent.name, path.parent.name, fold])
    return table


def unfinish(out: Path, *numbers: int) -> None:
    """Remove what the last steps of these folds wrote."""
    (out / "scores.json").unlink()
    for number in numbers:
        (out / f"fold_{number}" / "scores.json").unlink()


def copying(finished: Path, calls: list[str]) -> Callable[[RunContext], TrainResult]:
    """Replaces a training: it copies the finished fold."""

    def run(context: RunContext) -> TrainResult:
        calls.append(context.folder.name)
        shutil.copytree(finished / context.folder.name, context.folder, dirs_exist_ok=True)
        return result_of(context.folder)

    return run


def test_a_fold_that_fails_does_not_stop_the_others(
    tones: Path, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = shutil.copytree(finished[0], tmp_path / "out")
    unfinish(out, 1, 3)
    called: list[str] = []

    def breaks(context: RunContext) -> TrainResult:
        result = copying(finished[0], called)(context)
        if context.folder.name == "fold_1":
            (context.folder / "scores.json").unlink()
            raise KeyError("x")
        return result

    monkeypatch.setattr("sonotype.experiments.runner.run", breaks)
    messages: list[str] = []
    with pytest.raises(FailedRunsError) as caught:
        sonotype.crossval(tones, out, folds=3, on_message=messages.append, **OPTIONS)
    assert str(caught.value) == "1 of 3 runs failed:\n  fold_1: unexpected KeyError: 'x'"
    assert messages[:2] == ["cross-validation: 3 runs, 1 finished", "fold_1"]
    assert messages[2].startswith("  2/3  fold_1  failed: unexpected KeyError: 'x'")
    assert messages[4].startswith("  3/3  fold_3  category F1 ")
    with pytest.raises(FailedRunsError):
        sonotype.crossval(tones, out, folds=3, **OPTIONS)
    assert called == ["fold_1", "fold_3", "fold_1"]


@pytest.mark.parametrize("kind", [ModelFileError, OptionsError])
def test_an_error_of_every_fold_is_raised_once(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[SonotypeError]
) -> None:
    def breaks(_: RunContext) -> TrainResult:
        raise kind("teacher: is no model file")

    monkeypatch.setattr("sonotype.experiments.runner.run", breaks)
    with pytest.raises(kind, match=r"^teacher: is no model file$"):
        sonotype.crossval(tones, tmp_path / "out", folds=3, **OPTIONS)


def test_every_clip_is_tested_once(tones: Path, finished: Any) -> None:
    out, _, messages = finished
    folds = sorted(out.glob("fold_*"))
    assert [fold.name for fold in folds] == ["fold_1", "fold_2", "fold_3"]
    tested = [clips_tested(fold) for fold in folds]
    assert sum(map(len, tested)) == 24
    assert set().union(*tested) == {str(path) for path in tones.rglob("*.wav")}
    assert [line for line in messages if line.startswith("fold_")] == ["fold_1", "fold_2", "fold_3"]


def test_mean_and_spread_are_those_of_the_folds(finished: Any) -> None:
    out, result, _ = finished
    assert not result.interrupted
    summary = result.scores["folds"]
    assert summary["names"] == ["1", "2", "3"]
    assert sum(summary["clips"]) == 24
    for level in ("category", "event"):
        for figure in ("accuracy", "precision", "recall", "f1"):
            values = figures(out, level, figure)
            found = summary["heads"][level][figure]
            assert found["values"] == values
            assert found["mean"] == pytest.approx(statistics.fmean(values))
            assert found["deviation"] == pytest.approx(statistics.stdev(values))


def test_pooled_scores_are_those_of_all_predictions(finished: Any) -> None:
    out, result, _ = finished
    pooled = result.scores["pooled"]
    assert (pooled["clips"], pooled["groups"]) == (24, 24)
    right = 0
    for fold in sorted(out.glob("fold_*")):
        with (fold / "predictions.csv").open(newline="") as stream:
            right += sum(row["event"] == row["event_1"] for row in csv.DictReader(stream))
    assert pooled["heads"]["event"]["accuracy"]["value"] == pytest.approx(right / 24)
    with (out / "predictions.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 24


def test_the_report_has_mean_spread_every_fold_and_the_pool(finished: Any) -> None:
    out, result, _ = finished
    assert result.report == (out / "scores.txt").read_text()
    lines = result.report.splitlines()
    table = lines[: lines.index("all folds pooled:")]
    rows = {line.split()[0]: line.split()[1:] for line in table if line.strip()}
    accuracies = figures(out, "event", "accuracy")
    for number, accuracy in enumerate(accuracies, start=1):
        assert rows[str(number)][-1] == f"{accuracy:.3f}"
    assert rows["mean"][-1] == f"{statistics.fmean(accuracies):.3f}"
    assert rows["std"][-1] == f"{statistics.stdev(accuracies):.3f}"
    assert "all folds pooled:" in lines
    assert "24 clips in 24 groups; " in result.report
    assert max(map(len, lines)) <= 80


def test_results_are_written_as_json_and_pictures(finished: Any) -> None:
    out, result, _ = finished
    assert json.loads((out / "scores.json").read_text()) == result.scores
    assert set(result.scores) == {"folds", "pooled"}
    assert (out / "plots" / "event_confusion.png").exists()


def test_the_same_call_runs_a_missing_fold(tones: Path, finished: Any, tmp_path: Path) -> None:
    before, result, _ = finished
    out = tmp_path / "out"
    shutil.copytree(before, out)
    shutil.rmtree(out / "fold_2")
    (out / "scores.json").unlink()
    times = {fold: (out / fold / "scores.json").stat().st_mtime_ns for fold in ("fold_1", "fold_3")}
    messages: list[str] = []
    again = sonotype.crossval(tones, out, folds=3, on_message=messages.append, **OPTIONS)
    assert [line for line in messages if line.startswith("fold_")] == ["fold_2"]
    assert again.scores == result.scores
    assert again.report == result.report
    for fold, modified in times.items():
        assert (out / fold / "scores.json").stat().st_mtime_ns == modified


def test_nothing_is_trained_twice(tones: Path, finished: Any) -> None:
    out, result, _ = finished
    messages: list[str] = []
    again = sonotype.crossval(tones, out, folds=3, on_message=messages.append, **OPTIONS)
    assert messages == ["cross-validation: 3 runs, 3 finished"]
    assert again == result


@pytest.mark.parametrize(
    ("changed", "folds", "names"),
    [
        ({"epochs": 5}, 3, "epochs"),
        ({"seed": 1, "width": 0.02}, 3, "seed, width"),
        ({}, 4, "folds or groups of the data"),
        (
            {"system": "cbir_4", "group_pattern": r"(\d)"},
            2,
            "group_pattern, pooling, system",
        ),
    ],
)
def test_other_options_are_refused_by_name(
    tones: Path, finished: Any, changed: dict[str, Any], folds: int, names: str
) -> None:
    out, _, _ = finished
    with pytest.raises(OptionsError, match=f"fold_1 was run with other {names}; .*--out$"):
        sonotype.crossval(tones, out, folds=folds, **OPTIONS | changed)


def test_other_data_are_refused(finished: Any, tmp_path: Path) -> None:
    out, _, _ = finished
    other = write_tones(tmp_path / "tones", clips=7)
    with pytest.raises(OptionsError, match="fold_1 was run with other data;"):
        sonotype.crossval(other, out, folds=3, **OPTIONS)


def test_a_folder_with_other_things_is_not_used(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OptionsError, match="is not empty"):
        sonotype.crossval(tones, tmp_path, **OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", '{"folds": 3}'])
def test_a_damaged_config_is_reported(tones: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "fold_1").mkdir()
    (tmp_path / "fold_1" / "config.json").write_text(text)
    with pytest.raises(OptionsError, match=r"fold_1/config\.json cannot be read \("):
        sonotype.crossval(tones, tmp_path, **OPTIONS)


def test_options_of_the_split_are_refused(tones: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        sonotype.crossval(
            tones, tmp_path / "out", **OPTIONS, test_folds=(1,), protocol="random", select_on="test"
        )
    assert str(caught.value).endswith("leave out protocol, select_on, test_folds")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("folds", [0, 1, 25])
def test_an_impossible_number_of_folds(tones: Path, tmp_path: Path, folds: int) -> None:
    with pytest.raises(OptionsError, match=f"^--folds {folds}: .*24"):
        sonotype.crossval(tones, tmp_path / "out", folds=folds, **OPTIONS)
    assert not (tmp_path / "out").exists(), "a second try with another number has to work"


def test_an_issue_in_the_data_leaves_no_folder(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    (tones / "low" / "hum" / "hum_0.wav").write_text("no sound")
    with pytest.raises(DataError, match=r"hum_0\.wav"):
        sonotype.crossval(tones, tmp_path / "out", folds=2, **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_official_folds_are_used_and_other_folds_are_refused(tones: Path, tmp_path: Path) -> None:
    table = with_folds(tones, tmp_path / "tones.csv", 3)
    result = sonotype.crossval(table, tmp_path / "out", folds=7, **OPTIONS)
    assert result.scores["folds"]["clips"] == [8, 8, 8]
    for fold in (1, 2, 3):
        numbers = {int(path[-5]) for path in clips_tested(tmp_path / "out" / f"fold_{fold}")}
        assert numbers == {fold - 1, fold + 2}
    assert result.scores["folds"]["names"] == ["1", "2", "3"]
    notes = result.scores["folds"]["notes"]
    assert notes[0].startswith("the source's own folds: 3 train, 2 validates, 1 tests")
    assert len(notes) == 3
    assert result.scores["pooled"]["notes"] == [], "no fold's own note holds for all of them"

    rows = table.read_text().splitlines()
    first, second = (rows[number].rpartition(",") for number in (1, 2))
    rows[1], rows[2] = f"{first[0]},{second[2]}", f"{second[0]},{first[2]}"
    table.write_text("\n".join(rows) + "\n")
    with pytest.raises(OptionsError, match="was run with other folds or groups of the data"):
        sonotype.crossval(table, tmp_path / "out", **OPTIONS)


def test_the_last_epoch_without_validation_and_synthetic_sounds(tmp_path: Path) -> None:
    tones, out = write_tones(tmp_path / "tones", clips=4), tmp_path / "out"
    (tones / "sonotype.json").write_text('{"synthetic": true}')
    result = sonotype.crossval(tones, out, folds=2, **OPTIONS | {"checkpoint": "last"})
    assert result.scores["pooled"]["clips"] == 16
    tested = [clips_tested(out / f"fold_{number}") for number in (1, 2)]
    for number, test in enumerate(tested, start=1):
        fold = out / f"fold_{number}"
        with (fold / "split.csv").open(newline="") as stream:
            train = {row["path"] for row in csv.DictReader(stream) if row["subset"] == "train"}
        assert train == {str(path) for path in tones.rglob("*.wav")} - test
        training = sonotype.load(fold / "model.safetensors").card.training
        assert training["clips"] == {"train": 8, "val": 0, "test": 8}
        assert (training["best_epoch"], training["val_f1"]) == (1, None)
    with pytest.raises(OptionsError, match="with other checkpoint; "):
        sonotype.crossval(tones, out, folds=2, **OPTIONS)
    note = "synthetic sounds: these scores say nothing about real ones"
    assert result.scores["pooled"]["notes"][0] == note
    assert result.scores["folds"]["notes"][0] == note
    assert result.report.startswith(f"note: {note}\n")


def test_an_interrupted_cross_validation_is_resumed(
    tones: Path, finished: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls = tmp_path / "out", list[str]()
    copy = copying(finished[0], calls)

    def second_is_interrupted(context: RunContext) -> TrainResult:
        if len(calls) == 1:
            calls.append(context.folder.name)
            return result_of(context.folder, interrupted=True)
        return copy(context)

    monkeypatch.setattr("sonotype.experiments.runner.run", second_is_interrupted)
    stopped = sonotype.crossval(tones, out, folds=3, **OPTIONS)
    assert stopped == CrossvalResult({}, "", True)
    assert not (out / "scores.json").exists()
    result = sonotype.crossval(tones, out, folds=3, **OPTIONS)
    assert calls == ["fold_1", "fold_2", "fold_2", "fold_3"]
    assert result == finished[1]


def test_a_cross_validation_with_another_transform_is_refused(finished: Any, tones: Path) -> None:
    out, _, _ = finished
    with pytest.raises(OptionsError, match="with other transform"):
        sonotype.crossval(tones, out, folds=3, transform=lambda x, _: x, **OPTIONS)
