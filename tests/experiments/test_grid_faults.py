"""Errors of studies and learning curves; nothing is trained here."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from finished_runs import ONE_SCORE, pretend, write_run
from soundsets import manifest_of
from training_data import SMALL, write_tones

from sonotype.cli.main import run as main
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.text import shorten
from sonotype.data.splits.split import Split
from sonotype.experiments import learning_curve as curves
from sonotype.experiments.context import RunContext
from sonotype.experiments.grid import run_study, split_of
from sonotype.experiments.grid_plan import Plan, read_plan
from sonotype.experiments.grid_table import collect
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import FailedRunsError, Result

OPTIONS = {k: v for k, v in SMALL.items() if not k.endswith("_fraction")} | {"epochs": 1}
FOLDED = "folds = [1, 2]\n[options]\n" + "\n".join(
    f"{k} = {json.dumps(v)}" for k, v in OPTIONS.items()
)


def plan_of(folder: Path, text: str) -> Plan:
    path = folder / "study.toml"
    path.write_text(text)
    return read_plan(path)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(OptionsError) as caught:
        call()
    return str(caught.value)


@pytest.fixture
def tones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sonotype.experiments.runner.run_or_resume", pretend)
    return write_tones(tmp_path / "tones", clips=4)


def with_folds(tones: Path, table: Path, fold: Callable[[int], int]) -> Path:
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "category", "event", "fold"])
        for path in sorted(tones.rglob("*.wav")):
            number = fold(int(path.stem[-1]))
            writer.writerow([path, path.parent.parent.name, path.parent.name, number])
    return table


def test_an_ensemble_of_other_seeds_has_a_difference(tones: Path, tmp_path: Path) -> None:
    rows = "[rows.a]\nseeds = [1, 2]\n[rows.b]\nseeds = [1, 2]\n[rows.c]\nensemble = ['a', 'b']"
    plan = plan_of(tmp_path, f"{FOLDED}\n{rows}")
    run_study(plan, with_folds(tones, tmp_path / "t.csv", lambda n: n % 2 + 1), tmp_path / "out")
    difference = collect(plan, tmp_path / "out").lines[2].metrics["event", "f1"].difference
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == (0, 0, 0)


def end_from_outside(context: RunContext) -> Result:
    """One process is killed, one cannot send its result; the other runs are finished."""
    name = f"{context.folder.parent.name}/{context.folder.name}"
    if name == "a/fold_1_seed_0":
        os._exit(9)
    if name == "b/fold_1_seed_0":
        raise UnsendableError("lost", "detail")
    context.folder.mkdir(parents=True)
    (context.folder / "scores.json").write_text(ONE_SCORE)
    return None


class UnsendableError(Exception):
    """Cannot be unpickled: it wants two arguments and keeps one."""

    def __init__(self, one: str, _: str) -> None:
        super().__init__(one)


def test_a_process_that_is_killed(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sonotype.experiments.runner.run_in_process", end_from_outside)
    plan = plan_of(tmp_path, f"{FOLDED}\n[rows.a]\n[rows.b]\n[rows.c]")
    table = with_folds(tones, tmp_path / "t.csv", lambda n: n % 2 + 1)
    out = tmp_path / "out"
    with pytest.raises(FailedRunsError, match=r"its process was killed.*--jobs") as e:
        run_study(plan, table, out, jobs=2)
    assert e.value.failures.keys() == {"a/fold_1_seed_0", "b/fold_1_seed_0"}
    done = {
        f"{path.parent.parent.name}/{path.parent.name[:6]}" for path in out.rglob("scores.json")
    }
    assert done == {"a/fold_2", "b/fold_2", "c/fold_1", "c/fold_2"}


ROWS = "[rows.a]\n[rows.b]\n[rows.c]\nensemble = ['a', 'b']"


def failing(errors: dict[str, Exception]) -> Callable[[RunContext], TrainResult]:
    """Replaces a training: some runs fail, the others are finished."""

    def run(context: RunContext) -> TrainResult:
        if error := errors.get(f"{context.folder.parent.name}/{context.folder.name[:6]}"):
            raise error
        return write_run(context)

    return run


@pytest.mark.parametrize(
    ("row", "error", "cause"),
    [
        ("a", ValueError("two\nlines"), "unexpected ValueError: two"),
        (
            "b",
            MemoryError(),
            "not enough memory; close other programs, or use a smaller --batch-size",
        ),
        ("b", SonotypeError("no room; make some"), "no room; make some"),
    ],
)
def test_only_a_failed_run_is_run_again_and_the_table_shows_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    cause: str,
    row: str,
) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    table = with_folds(tones, tmp_path / "t.csv", lambda n: n % 2 + 1)
    plan_of(tmp_path, f"{FOLDED}\n{ROWS}")
    argv = ["study", str(tmp_path / "study.toml"), str(table), "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sonotype.experiments.runner.run", failing({f"{row}/fold_1": error}))
    assert main(argv) == 1
    shown, errors = capsys.readouterr()
    name = f"{row}/fold_1_seed_0"
    assert errors == f"error: 1 of 4 runs failed:\n  {name}: {cause}\n"
    heading, line = "failed; run the same command to run these again\n", f"{name}: {cause}"
    assert f"{heading}{shorten(line, 80)}\n" in shown
    metrics = json.loads((tmp_path / "out/study.json").read_text())
    assert metrics["failed"] == [{"run": name, "error": cause}]
    assert [line["name"] for line in metrics["rows"]] == ["b" if row == "a" else "a"]
    assert f"| {name} | {cause} |" in (tmp_path / "out/table.md").read_text()
    log = (tmp_path / f"out/runs/{name}/log.txt").read_text()
    assert ("Traceback" in log) is not isinstance(error, SonotypeError)
    capsys.readouterr()
    monkeypatch.setattr("sonotype.experiments.runner.run", failing({}))
    assert main(argv) == 0
    assert "4 runs, 3 finished" in capsys.readouterr().out
    metrics = json.loads((tmp_path / "out/study.json").read_text())
    assert (metrics["failed"], len(metrics["rows"])) == ([], 3)


def test_only_students_of_a_failed_run_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    table = with_folds(tones, tmp_path / "t.csv", lambda n: n % 2 + 1)
    rows = "\n".join(
        f"[rows.{name}]\n" + (f"teachers = ['{teacher}']\nbackbone = 'compact'" if teacher else "")
        for name, teacher in (("a", ""), ("b", ""), ("of_a", "a"), ("of_b", "b"), ("last", "of_a"))
    )
    plan = plan_of(tmp_path, f"{FOLDED}\n{rows}")
    broken = failing({"a/fold_1": RuntimeError("broken")})
    monkeypatch.setattr("sonotype.experiments.runner.run", broken)
    with pytest.raises(FailedRunsError) as caught:
        run_study(plan, table, tmp_path / "out")
    assert str(caught.value) == (
        "1 of 10 runs failed:\n  a/fold_1_seed_0: unexpected RuntimeError: broken\n"
        "4 runs skipped: a teacher failed"
    )
    done = {path.parent.parent.name for path in (tmp_path / "out").rglob("scores.json")}
    assert done == {"a", "b", "of_b"}


def test_other_folds_of_the_same_sounds(tones: Path, tmp_path: Path) -> None:
    plan, out = plan_of(tmp_path, f"{FOLDED}\n[rows.a]"), tmp_path / "out"
    run_study(plan, with_folds(tones, tmp_path / "t.csv", lambda n: n % 2 + 1), out)
    assert run_study(plan, with_folds(tones, tmp_path / "moved.csv", lambda n: n % 2 + 1), out)
    other = with_folds(tones, tmp_path / "t.csv", lambda n: n // 2 + 1)
    error = refused(lambda: run_study(plan, other, out))
    assert f"{out}/runs/a/fold_1_seed_0 was run with other folds or groups of the data" in error


def test_a_source_with_a_single_fold() -> None:
    manifest = manifest_of([("x", "a", f"r{number}", 1) for number in range(12)])
    error = refused(lambda: split_of(manifest, RunOptions.of({}), 1))
    assert error == "made has only fold 1; at least 2 needed"


def test_a_curve_with_another_number_of_draws(tones: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    curves.run_learning_curve(tones, out, sizes=(1,), draws=2, **OPTIONS)
    again = refused(lambda: curves.run_learning_curve(tones, out, sizes=(1,), draws=3, **OPTIONS))
    assert "was run with other folds or groups of the data" in again


def test_an_event_with_the_name_of_a_category() -> None:
    rows: list[tuple[str, str | None, str, int | None]] = [
        ("dog", "dog" if number < 4 else "bark", f"r{number}", None) for number in range(24)
    ]
    splits = [Split(tuple(range(24)), (), (), "grouped", True, "")]
    assert curves._mean_counts(manifest_of(rows), splits, "event") == {"dog": 4, "bark": 20}
    assert curves._mean_counts(manifest_of(rows), splits, "category") == {"dog": 24}
