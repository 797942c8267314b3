"""A study from its file to its table: every run once, however often it is stopped."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import result_of
from killed_training import descendants, expect_ended, study_of_two_jobs
from soundsets import manifest_of
from training_data import FOLDED, write_table

from sonotype.core.errors import OptionsError, StoppedError
from sonotype.evaluation.bootstrap import METRICS
from sonotype.evaluation.compare import Metric, TableRow
from sonotype.evaluation.folds import Spread
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.predictions import concatenate, load_predictions
from sonotype.experiments.context import RunContext
from sonotype.experiments.grid import run_study, split_of
from sonotype.experiments.grid_plan import Plan, read_plan
from sonotype.experiments.grid_table import Result, collect, legend, render, write_report
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.run_folder import seconds_of
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import headline, processes
from sonotype.features.store import read_shard

OPTIONS = FOLDED | {"epochs": 3}
RUNS = [f"{row}/fold_{fold}_seed_0" for fold in (1, 2) for row in ("plain", "mean")]
ROWS = """
[rows.plain]
[rows."plain, from events"]
of = "plain"
category_source = "events"
[rows.mean]
pooling = "mean"
[rows.both]
ensemble = ["plain", "mean"]
"""
FILES = {
    "predictions.csv", "predictions.npz", "config.json", "log.txt", "model.safetensors", "plots",
    "scores.json", "scores.txt", "split.csv", "time.json", "training", "training.csv",
}  # fmt: skip


def write_plan(path: Path, rows: str = ROWS, times: str = "folds = [1, 2]", **changed: Any) -> Path:
    options = "\n".join(f"{k} = {json.dumps(v)}" for k, v in (OPTIONS | changed).items())
    path.write_text(f'title = "Tiny"\n{times}\n[options]\n{options}\n{rows}')
    return path


@pytest.fixture(scope="module")
def plan_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan(tmp_path_factory.mktemp("plan") / "study.toml")


@pytest.fixture(scope="module")
def plan(plan_file: Path) -> Plan:
    return read_plan(plan_file)


@pytest.fixture(scope="module")
def finished(
    table: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], list[int]]:
    """Folder, messages, and the number of cached maps at each; not to be changed."""
    out = tmp_path_factory.mktemp("study") / "out"
    cache = tmp_path_factory.mktemp("cache")
    messages: list[str] = []
    maps: list[int] = []

    def on_message(line: str) -> None:
        messages.append(line)
        keys = [key for file in cache.rglob("*.npy") for key in read_shard(file)]
        assert max(Counter(keys).values(), default=0) <= 2, "a clip has two kinds of maps"
        maps.append(len(keys))

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SONOTYPE_CACHE", str(cache))
        assert run_study(plan, table, out, on_message=on_message)
    write_report(collect(plan, out), out, "sonotype study")
    return out, messages, maps


def shown(out: Path) -> dict[str, Any]:
    """The figures of a study, without what differs from one run to the next."""
    metrics = json.loads((out / "study.json").read_text())
    for row in metrics["rows"]:
        del row["seconds"]
    return metrics


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def clips_tested(run: Path) -> set[str]:
    with (run / "split.csv").open(newline="") as stream:
        return {row["path"] for row in csv.DictReader(stream) if row["subset"] == "test"}


def test_a_message_for_each_run(finished: Any) -> None:
    out, messages, _ = finished
    assert messages[0] == "Tiny: 4 runs, 0 finished"
    for number, (name, line) in enumerate(zip(RUNS, messages[1:], strict=True), start=1):
        metrics = headline(out / "runs" / name)
        assert re.fullmatch(r"category F1 \d\.\d{3}  event accuracy \d\.\d{3}", metrics)
        assert re.sub(r"\d+ s left$", "", line) == f"  {number}/4  {name}  {metrics}  "


def test_each_run_keeps_model_scores_predictions_log_and_time(finished: Any) -> None:
    out, _, _ = finished
    for name in RUNS:
        run = out / "runs" / name
        assert {path.name for path in run.iterdir()} == FILES
        assert list(run.rglob("*.ckpt")) == []
        options = json.loads((run / "config.json").read_text())["options"]
        assert (options["pooling"] == "mean") is name.startswith("mean")
        log = (run / "log.txt").read_text().splitlines()
        assert log[0] == (
            "cbir_2 with backbone none: 8 clips to train on, 0 to validate, 8 to test"
        )
        assert [line[:11] for line in log if line.startswith("epoch")][-1] == "epoch   3/3"
        assert 0 < seconds_of(run) < 100


def test_each_fold_tests_its_own_clips(table: Path, finished: Any) -> None:
    out, _, _ = finished
    for name in RUNS:
        with table.open(newline="") as stream:
            fold = name.partition("fold_")[2][0]
            wanted = {row["path"] for row in csv.DictReader(stream) if row["fold"] == fold}
        assert clips_tested(out / "runs" / name) == wanted


def test_maps_are_shared_and_not_in_the_study(finished: Any) -> None:
    out, _, maps = finished
    # Both rows of a fold take the same; clips of the other fold are added.
    assert maps[0] < maps[1] == maps[2] < maps[3] == maps[4]
    left = sorted(path.name for path in out.iterdir())
    assert left == ["runs", "study.json", "table.md", "table.txt"]


def test_scores_are_those_of_the_predictions(plan: Plan, finished: Any) -> None:
    out, _, _ = finished
    plain, mean = (
        concatenate(
            [load_predictions(out / f"runs/{row}/fold_{n}_seed_0/predictions.npz") for n in (1, 2)]
        )
        for row in ("plain", "mean")
    )
    both = (plain.proba["event"] + mean.proba["event"]) / 2
    result = collect(plan, out)
    found = [
        [line.metrics[level, "accuracy"].value.value for level in ("category", "event")]
        for line in result.lines
    ]
    read = [plain.read("head"), plain.read("events"), mean.read("head")]
    heads = [proba["category"] for proba in read]
    events = [plain.proba["event"], plain.proba["event"], mean.proba["event"], both]
    for index, event in enumerate(events):
        assert found[index][1] == np.mean(event.argmax(axis=1) == plain.true["event"])
    for index, head in enumerate(heads):
        assert found[index][0] == np.mean(head.argmax(axis=1) == plain.true["category"])
    assert [line.clips for line in result.lines] == [16] * 4
    assert list(result.seconds) == ["plain", "plain, from events", "mean", "both"]
    whole = sum(seconds_of(out / "runs" / name) for name in RUNS)
    assert result.seconds["plain"] + result.seconds["mean"] == pytest.approx(whole)
    assert (result.seconds["plain, from events"], result.seconds["both"]) == (0, 0)


def test_finished_runs_are_skipped(table: Path, plan: Plan, finished: Any) -> None:
    out, _, _ = finished
    before, messages = times(out), list[str]()
    assert run_study(plan, table, out, on_message=messages.append)
    assert messages == ["Tiny: 4 runs, 4 finished"]
    assert times(out) == before


def test_a_killed_study_is_resumed_to_the_same_figures(
    table: Path, plan_file: Path, finished: Any, tmp_path: Path
) -> None:
    """Two processes at a time until the kill, one after it."""
    out = tmp_path / "out"
    process = processes().Process(target=study_of_two_jobs, args=(plan_file, table, out))
    process.start()
    while not list(out.glob("runs/*/*/time.json")):
        assert process.is_alive()
        time.sleep(0.005)
    others = descendants(process.pid)
    process.kill()
    process.join()
    expect_ended(others)
    done = [name for name in RUNS if (out / "runs" / name / "scores.json").exists()]
    assert 1 <= len(done) < 4
    before, messages = {name: times(out / "runs" / name) for name in done}, list[str]()
    plan = read_plan(plan_file)
    assert run_study(plan, table, out, on_message=messages.append)
    assert messages[0] == f"Tiny: 4 runs, {len(done)} finished"
    assert len(messages) == 1 + 4 - len(done)
    assert {name: times(out / "runs" / name) for name in done} == before
    write_report(collect(plan, out), out, "sonotype study")
    assert shown(out) == shown(finished[0])


def test_unfinished_rows_are_left_out_until_they_are_run(
    table: Path, plan: Plan, finished: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    shutil.rmtree(out / "runs/mean/fold_2_seed_0")
    result = collect(plan, out)
    assert result.missing == 1
    assert [line.name for line in result.lines] == ["plain", "plain, from events"]
    text = write_report(result, out, "sonotype study")
    assert text.splitlines()[1] == "left to run: 1 run; unfinished rows are left out"
    with pytest.raises(OptionsError, match="the baseline mean is not finished"):
        collect(replace(plan, baseline="mean"), out)
    messages: list[str] = []
    assert run_study(plan, table, out, jobs=2, on_message=messages.append)
    assert (messages[0], len(messages)) == ("Tiny: 4 runs, 3 finished", 2)
    write_report(collect(plan, out), out, "sonotype study")
    assert shown(out) == shown(finished[0])


@pytest.mark.parametrize(
    ("changed", "clips", "names"),
    [
        ({"width": 0.02, "batch_size": 5}, 4, "batch_size, width"),
        ({"epochs": 4}, 5, "epochs, data"),
    ],
)
def test_a_run_with_other_options_or_data_is_refused(
    tones: Path, finished: Any, tmp_path: Path, changed: Any, clips: int, names: str
) -> None:
    out, _, _ = finished
    plan = read_plan(write_plan(tmp_path / "study.toml", **changed))
    with pytest.raises(OptionsError, match=f"{RUNS[0]} was run with other {names}; .*--out"):
        run_study(plan, write_table(tones, tmp_path / "tones.csv", clips), out)


def test_another_size_of_the_cache_is_allowed(table: Path, finished: Any, tmp_path: Path) -> None:
    out, _, _ = finished
    assert run_study(read_plan(write_plan(tmp_path / "study.toml", cache_gb=30.0)), table, out)


@pytest.mark.parametrize("how", [KeyboardInterrupt(), StoppedError("too soon"), None])
def test_an_interrupted_study_ends_at_once(
    table: Path, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    calls: list[Path] = []

    def run(context: RunContext) -> TrainResult:
        calls.append(context.folder)
        if how is not None:
            raise how
        return result_of(context.folder, interrupted=True)

    monkeypatch.setattr("sonotype.experiments.runner.run", run)
    messages: list[str] = []
    assert not run_study(plan, table, tmp_path / "out", on_message=messages.append)
    assert messages == ["Tiny: 4 runs, 0 finished"]
    assert calls == [tmp_path / "out/runs/plain/fold_1_seed_0"]


def test_folds_that_the_source_does_not_have(tones: Path, table: Path, tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path / "study.toml", times="folds = [1, 3]"))
    for source, there in ((table, "1, 2"), (tones, "no folds")):
        fold = 3 if source == table else 1
        with pytest.raises(OptionsError, match=f"fold {fold} is not in tones, .* {there}"):
            run_study(plan, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_split_of_a_run() -> None:
    manifest = manifest_of([("x", "a", f"r{n}", n % 3 + 1) for n in range(12)])
    folds = {fold: tuple(n for n in range(12) if n % 3 + 1 == fold) for fold in (1, 2, 3)}
    best = split_of(manifest, RunOptions.of({"recipe": "modern"}), 2)
    assert (best.train, best.val, best.test) == (folds[1], folds[3], folds[2])
    last = split_of(manifest, RunOptions.of({"checkpoint": "last"}), 2)
    assert (last.train, last.val) == (tuple(sorted(folds[1] + folds[3])), ())
    assert last.test == folds[2]
    linear = split_of(manifest, RunOptions.of({}), 2)
    assert (linear.train, linear.val, linear.test) == (last.train, last.val, last.test)
    drawn = split_of(manifest, RunOptions.of({"protocol": "grouped", "seed": 5}), None)
    again = split_of(manifest, RunOptions.of({"protocol": "grouped", "seed": 5}), None)
    assert drawn == again
    assert len(drawn.train) + len(drawn.val) + len(drawn.test) == 12


def figure(value: float, gap: Interval | None = None, *, paired: bool = True) -> Metric:
    interval = Interval(value, value - 0.05, min(1.0, value + 0.05))
    spread = Spread(value, 0.0123, (value, value))
    return Metric(interval, spread, Spread(value, None, (value,)), gap, paired)


def result(first: str = "base", note: str = "Beside it.", *, paired: bool = True) -> Result:
    """Two rows, of which the second has no events."""
    gap = Interval(0.0123, 0.001, 0.0456)
    base = {(level, name): figure(0.75) for level in ("category", "event") for name in METRICS}
    other = {("category", name): figure(0.95, gap, paired=paired) for name in METRICS}
    lines = (TableRow(first, 40, base), TableRow("two, beside it", 80, other))
    plan = Plan("Tiny", (), "base", note)
    return Result(plan, lines, {first: 100.0, "two, beside it": 0.0})


MARKDOWN = """\
## Tiny

Beside it.

```sh
sonotype study x.toml
```

Total wall time of all runs: 2 min.

macro means of the categories:

| row | precision | recall | F1 | event acc | clips | time |
| --- | --- | --- | --- | --- | --- | --- |
| base | 0.750 | 0.750 | 0.750 | 0.750 | 40 | 2 min |
| two, beside it | 0.950 | 0.950 | 0.950 | - | 80 | - |

category, macro F1; difference to base:

| row | macro F1 | 95 % | folds | seeds | diff. | 95 % |  |
| --- | --- | --- | --- | --- | --- | --- | --- |
| base | 0.750 | .700 .800 | 0.012 | - |  |  |  |
| two, beside it | 0.950 | .900 1.00 | 0.012 | - | +1.2 | +0.1 +4.6 | * |

event, accuracy; difference to base:

| row | accuracy | 95 % | folds | seeds | diff. | 95 % |  |
| --- | --- | --- | --- | --- | --- | --- | --- |
| base | 0.750 | .700 .800 | 0.012 | - |  |  |  |
"""


def test_tables_as_text_as_markdown_and_as_figures(tmp_path: Path) -> None:
    text = write_report(result(), tmp_path, "sonotype study x.toml")
    assert (tmp_path / "table.txt").read_text() == text + "\n"
    assert (tmp_path / "table.md").read_text() == MARKDOWN
    assert text.startswith("Tiny\nBeside it.\n\nmacro means of the categories\nrow  ")
    cells = [re.split("  +", line) for line in text.splitlines() if "  " in line]
    rows = [
        [cell for cell in line.strip("| ").split(" | ") if cell.strip()]
        for line in MARKDOWN.splitlines()
        if line.startswith("| ") and "---" not in line
    ]
    assert cells == rows, "the text has the cells of the markdown"
    found = json.loads((tmp_path / "study.json").read_text())
    assert [found[name] for name in ("title", "baseline", "missing")] == ["Tiny", "base", 0]
    two = found["rows"][1]
    assert (two["name"], two["clips"], two["seconds"]) == ("two, beside it", 80, 0.0)
    assert sorted(two["figures"]) == [f"category_{name}" for name in sorted(METRICS)]
    assert two["figures"]["category_f1"] == {
        "value": {"value": 0.95, "low": pytest.approx(0.9), "high": 1.0},
        "folds": {"mean": 0.95, "deviation": 0.0123, "values": [0.95, 0.95]},
        "seeds": {"mean": 0.95, "deviation": None, "values": [0.95]},
        "difference": {"value": 0.0123, "low": 0.001, "high": 0.0456},
        "paired": True,
    }


def test_marks_are_explained() -> None:
    assert legend(result().lines).endswith("*: the interval does not contain zero")
    unpaired = result(paired=False)
    assert "  *u\n" in render(unpaired)
    assert "\nu: unpaired" in legend(unpaired.lines)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("b" * 50, "bbbbbbbbbb...bbbbbbbbb  "), ("[bold]音 :smile:", "[bold]音 :smile:  ")],
)
def test_long_names_notes_and_markup(name: str, shown: str) -> None:
    text = render(result(name, "word " * 40))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count(shown) == 3


STUDENT = {"recipe": "student", "backbone": "compact", "width": 0, "pooling": "mean", "epochs": 1}


def test_a_student_comes_after_its_teachers_and_has_none_that_has_seen_the_test_fold(
    table: Path, tmp_path: Path
) -> None:
    # Two folds: one teacher has seen all training clips of the student, the other its test clips.
    rows = "".join(
        f"[rows.{name}]\nfolds = []\ntrain_folds = [{train}]\ntest_folds = [{test}]\n"
        for name, train, test in (("one", 1, 2), ("two", 2, 1))
    )
    rows += "[rows.student]\nteachers = ['one', 'two']\n"
    rows += "\n".join(f"{key} = {json.dumps(value)}" for key, value in STUDENT.items())
    plan = read_plan(write_plan(tmp_path / "study.toml", rows, epochs=1))
    assert [run.row for run in plan.runs()] == ["one", "two", "student", "student"]
    out = tmp_path / "out"
    assert run_study(plan, table, out, jobs=2)
    for fold in (1, 2):
        run = out / f"runs/student/fold_{fold}_seed_0"
        config = json.loads((run / "config.json").read_text())["options"]
        wanted = [str(out / f"runs/{name}/split_seed_0") for name in ("one", "two")]
        assert config["teachers"] == wanted
        assert "distillation from 2 teachers, 1 excluded: trained on test clips" in " ".join(
            (run / "log.txt").read_text().split()
        )
    assert {line.name for line in collect(plan, out).lines} == {"one", "two", "student"}
    moved = out.rename(tmp_path / "moved")
    assert run_study(plan, table, moved), "a moved study has the same teachers"
