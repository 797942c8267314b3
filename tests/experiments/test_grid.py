"""A study from its file to its table: every cell once, however often it is stopped."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from soundsets import manifest_of
from training_data import FOLDED as OPTIONS
from training_data import write_table, write_tones

from sonotype.core.errors import OptionsError, SonotypeError, StoppedError
from sonotype.evaluation.bootstrap import METRICS
from sonotype.evaluation.compare import Metric, TableRow
from sonotype.evaluation.folds import Spread
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.predictions import concatenate, load_predictions
from sonotype.experiments.grid import run_study, split_of
from sonotype.experiments.grid_plan import Plan, read_plan
from sonotype.experiments.grid_table import Result, collect, legend, render, write_report
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import figures_of, seconds_of

CELLS = [f"{row}/fold_{fold}_seed_0" for fold in (1, 2) for row in ("plain", "mean")]
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
SCRIPT = """
import sys
from sonotype.experiments.grid_plan import read_plan
from sonotype.experiments.grid import run_study
plan, data, out = sys.argv[1:]
run_study(read_plan(plan), data, out, jobs=2, say=lambda line: print(line, flush=True))
"""


def write_plan(path: Path, rows: str = ROWS, times: str = "folds = [1, 2]", **changed: Any) -> Path:
    options = "\n".join(f"{k} = {json.dumps(v)}" for k, v in (OPTIONS | changed).items())
    path.write_text(f'title = "Tiny"\n{times}\n[options]\n{options}\n{rows}')
    return path


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=5)


@pytest.fixture(scope="module")
def table(tones: Path) -> Path:
    return write_table(tones, tones.parent / "tones.csv")


@pytest.fixture(scope="module")
def plan_file(tones: Path) -> Path:
    return write_plan(tones.parent / "study.toml")


@pytest.fixture(scope="module")
def plan(plan_file: Path) -> Plan:
    return read_plan(plan_file)


@pytest.fixture(scope="module")
def finished(
    table: Path, plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str], list[int]]:
    """Folder, what was said, how many maps there were each time; not to be changed."""
    out = tmp_path_factory.mktemp("study") / "out"
    cache = tmp_path_factory.mktemp("cache")
    said: list[str] = []
    maps: list[int] = []

    def on_message(line: str) -> None:
        said.append(line)
        keys = [key for one in cache.rglob("keys.json") for key in json.loads(one.read_text())]
        assert max(Counter(keys).values(), default=0) <= 2, "a clip's maps are of two kinds"
        maps.append(len(keys))

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SONOTYPE_CACHE", str(cache))
        assert run_study(plan, table, out, on_message=on_message)
    write_report(collect(plan, out), out, "sonotype study")
    return out, said, maps


def shown(out: Path) -> dict[str, Any]:
    """The figures of a study, without what differs from one run to the next."""
    figures = json.loads((out / "study.json").read_text())
    for row in figures["rows"]:
        del row["seconds"]
    return figures


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def clips_tested(planned: Path) -> set[str]:
    with (planned / "split.csv").open(newline="") as stream:
        return {row["path"] for row in csv.DictReader(stream) if row["part"] == "test"}


def test_what_is_said(finished: Any) -> None:
    out, said, _ = finished
    assert said[0] == "Tiny: 4 cells, 0 of them finished"
    for number, (name, line) in enumerate(zip(CELLS, said[1:], strict=True), start=1):
        figures = figures_of(out / "runs" / name)
        assert re.fullmatch(r"category F1 \d\.\d{3}  event accuracy \d\.\d{3}", figures)
        assert re.sub(r"\d+ s left$", "", line) == f"  {number}/4  {name}  {figures}  "


def test_each_cell_keeps_model_scores_answers_log_and_time(finished: Any) -> None:
    out, _, _ = finished
    for name in CELLS:
        planned = out / "runs" / name
        assert {path.name for path in planned.iterdir()} == FILES
        assert list(planned.rglob("*.ckpt")) == []
        options = json.loads((planned / "config.json").read_text())["options"]
        assert (options["pooling"] == "mean") is name.startswith("mean")
        log = (planned / "log.txt").read_text().splitlines()
        assert log[0] == (
            "cbir_2 with backbone none: 8 clips to train on, 0 to validate, 8 to test"
        )
        assert [line[:11] for line in log if line.startswith("epoch")][-1] == "epoch   6/6"
        assert 0 < seconds_of(planned) < 100


def test_each_fold_tests_its_own_clips(table: Path, finished: Any) -> None:
    out, _, _ = finished
    for name in CELLS:
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


def test_figures_are_those_of_the_answers(plan: Plan, finished: Any) -> None:
    out, _, _ = finished
    plain, mean = (
        concatenate(
            [load_predictions(out / f"runs/{row}/fold_{n}_seed_0/predictions.npz") for n in (1, 2)]
        )
        for row in ("plain", "mean")
    )
    assert plain.event_probability is not None
    assert mean.event_probability is not None
    both = (plain.event_probability + mean.event_probability) / 2
    result = collect(plan, out)
    found = [
        [line.metrics[level, "accuracy"].value.value for level in ("category", "event")]
        for line in result.lines
    ]
    heads = [plain.category(), plain.category("events"), mean.category()]
    events = [plain.event_probability, plain.event_probability, mean.event_probability, both]
    for index, event in enumerate(events):
        assert found[index][1] == np.mean(event.argmax(axis=1) == plain.event_true)
    for index, head in enumerate(heads):
        assert found[index][0] == np.mean(head.argmax(axis=1) == plain.category_true)
    assert [line.clips for line in result.lines] == [16] * 4
    assert list(result.seconds) == ["plain", "plain, from events", "mean", "both"]
    whole = sum(seconds_of(out / "runs" / name) for name in CELLS)
    assert result.seconds["plain"] + result.seconds["mean"] == pytest.approx(whole)
    assert (result.seconds["plain, from events"], result.seconds["both"]) == (0, 0)


def test_nothing_is_run_twice(table: Path, plan: Plan, finished: Any) -> None:
    out, _, _ = finished
    before, said = times(out), list[str]()
    assert run_study(plan, table, out, on_message=said.append)
    assert said == ["Tiny: 4 cells, 4 of them finished"]
    assert times(out) == before


def test_a_killed_study_goes_on_to_the_same_figures(
    table: Path, plan_file: Path, finished: Any, tmp_path: Path
) -> None:
    """Two processes at a time until the kill, one after it: the figures are the same."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(plan_file), str(table), str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not list(out.glob("runs/*/*/time.json")):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=120)  # ends only when no process of the study is left
    done = [name for name in CELLS if (out / "runs" / name / "scores.json").exists()]
    assert 1 <= len(done) < 4
    before, said = {name: times(out / "runs" / name) for name in done}, list[str]()
    plan = read_plan(plan_file)
    assert run_study(plan, table, out, on_message=said.append)
    assert said[0] == f"Tiny: 4 cells, {len(done)} of them finished"
    assert len(said) == 1 + 4 - len(done)
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
    assert text.splitlines()[1] == "left to run: 1 cell; unfinished rows are left out"
    with pytest.raises(OptionsError) as caught:
        collect(replace(plan, baseline="mean"), out)
    assert str(caught.value) == f"{out}: the baseline mean is not finished; run the study first"
    said: list[str] = []
    assert run_study(plan, table, out, jobs=2, on_message=said.append)
    assert (said[0], len(said)) == ("Tiny: 4 cells, 3 of them finished", 2)
    write_report(collect(plan, out), out, "sonotype study")
    assert shown(out) == shown(finished[0])


@pytest.mark.parametrize(
    ("changed", "clips", "names"),
    [
        ({"epochs": 3}, 4, "epochs"),
        ({"width": 0.02, "batch_size": 5}, 4, "batch_size, width"),
        ({}, 5, "data"),
        ({"epochs": 3}, 5, "epochs, data"),
    ],
)
def test_a_cell_of_other_options_or_data_is_refused(
    tones: Path, finished: Any, tmp_path: Path, changed: Any, clips: int, names: str
) -> None:
    out, _, _ = finished
    plan = read_plan(write_plan(tmp_path / "study.toml", **changed))
    with pytest.raises(OptionsError) as caught:
        run_study(plan, write_table(tones, tmp_path / "tones.csv", clips), out)
    assert str(caught.value) == (
        f"{out}/cells/plain/fold_1_seed_0 was run with other {names}; remove it to run the cell "
        "again, or name another --out"
    )


def test_a_larger_cache_is_no_other_cell(table: Path, finished: Any, tmp_path: Path) -> None:
    out, _, _ = finished
    assert run_study(read_plan(write_plan(tmp_path / "study.toml", cache_gb=30.0)), table, out)


def test_a_failing_cell_does_not_stop_the_others(tones: Path, tmp_path: Path) -> None:
    rows = """
        [rows.astray]
        learning_rate = 1e30
        [rows.good]
    """
    out = tmp_path / "out"
    plan = read_plan(write_plan(tmp_path / "study.toml", rows, ""))
    said: list[str] = []
    with pytest.raises(SonotypeError) as caught:
        run_study(plan, tones, out, on_message=said.append)
    astray = "the training loss is nan in epoch 1 on "
    assert str(caught.value).startswith(f"1 of 2 cells failed:\n  astray/split_seed_0: {astray}")
    assert "lower" in str(caught.value)
    assert said[1].startswith(f"  1/2  astray/split_seed_0  failed: {astray}")
    assert said[2].startswith("  2/2  good/split_seed_0  category F1 ")
    mended = read_plan(write_plan(tmp_path / "study.toml", "[rows.good]", ""))
    assert run_study(mended, tones, out, on_message=said.append)
    assert said[3:] == ["Tiny: 1 cell, 1 of them finished"]


@pytest.mark.parametrize("how", [KeyboardInterrupt(), StoppedError("too soon"), None])
def test_an_interrupted_study_ends_at_once(
    table: Path, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    calls: list[Path] = []

    def run_split(manifest: Any, parts: Any, folder: Path, *_: Any, **__: Any) -> TrainResult:
        calls.append(folder)
        if how is not None:
            raise how
        return TrainResult(folder, folder / "model.safetensors", {}, "", 1, None, True)

    monkeypatch.setattr("sonotype.experiments.runner.run_split", run_split)
    said: list[str] = []
    assert not run_study(plan, table, tmp_path / "out", on_message=said.append)
    assert said == ["Tiny: 4 cells, 0 of them finished"]
    assert calls == [tmp_path / "out/cells/plain/fold_1_seed_0"]


def test_folds_that_the_source_does_not_have(tones: Path, table: Path, tmp_path: Path) -> None:
    plan = read_plan(write_plan(tmp_path / "study.toml", times="folds = [1, 3]"))
    for source, there in ((table, "1, 2"), (tones, "no folds")):
        with pytest.raises(OptionsError) as caught:
            run_study(plan, source, tmp_path / "out")
        fold = 3 if source == table else 1
        assert str(caught.value) == f"fold {fold} is not in tones; there are {there}"
    assert not (tmp_path / "out").exists()


def test_the_parts_of_a_cell() -> None:
    manifest = manifest_of([("x", "a", f"r{n}", n % 3 + 1) for n in range(12)])
    folds = {fold: tuple(n for n in range(12) if n % 3 + 1 == fold) for fold in (1, 2, 3)}
    best = split_of(manifest, RunOptions.of({}), 2)
    assert (best.train, best.val, best.test) == (folds[1], folds[3], folds[2])
    last = split_of(manifest, RunOptions.of({"checkpoint": "last"}), 2)
    assert (last.train, last.val) == (tuple(sorted(folds[1] + folds[3])), ())
    assert last.test == folds[2]
    drawn = split_of(manifest, RunOptions.of({"protocol": "grouped", "seed": 5}), None)
    again = split_of(manifest, RunOptions.of({"protocol": "grouped", "seed": 5}), None)
    assert drawn == again
    assert len(drawn.train) + len(drawn.val) + len(drawn.test) == 12


def figure(value: float, gap: Interval | None = None, *, paired: bool = True) -> Metric:
    interval = Interval(value, value - 0.05, min(1.0, value + 0.05))
    spread = Spread(value, 0.0123, (value, value))
    return Metric(interval, spread, Spread(value, None, (value,)), gap, paired)


def result(*, paired: bool = True) -> Result:
    """Two rows, of which the second has no events."""
    gap = Interval(0.0123, 0.001, 0.0456)
    base = {(level, one): figure(0.75) for level in ("category", "event") for one in METRICS}
    other = {("category", one): figure(0.95, gap, paired=paired) for one in METRICS}
    lines = (TableRow("base", 40, base), TableRow("two, beside it", 80, other))
    seconds = {"base": 100.0, "two, beside it": 0.0}
    return Result("Tiny", "Beside it.", "base", lines, seconds, 0)


MARKDOWN = """\
## Tiny

Beside it.

```sh
sonotype study x.toml
```

Wall time of all cells together: 2 min.

macro means of the categories:

| row | precision | recall | F1 | event acc | clips | time |
|---|---|---|---|---|---|---|
| base | 0.750 | 0.750 | 0.750 | 0.750 | 40 | 2 min |
| two, beside it | 0.950 | 0.950 | 0.950 | - | 80 | - |

category, macro F1; difference to base:

| row | macro F1 | 95 % | folds | seeds | diff. | 95 % |  |
|---|---|---|---|---|---|---|---|
| base | 0.750 | .700 .800 | 0.012 | - |  |  |  |
| two, beside it | 0.950 | .900 1.00 | 0.012 | - | +1.2 | +0.1 +4.6 | * |

event, accuracy; difference to base:

| row | accuracy | 95 % | folds | seeds | diff. | 95 % |  |
|---|---|---|---|---|---|---|---|
| base | 0.750 | .700 .800 | 0.012 | - |  |  |  |
"""


def test_tables_as_text_as_markdown_and_as_figures(tmp_path: Path) -> None:
    text = write_report(result(), tmp_path, "sonotype study x.toml")
    assert (tmp_path / "table.txt").read_text() == text + "\n"
    assert (tmp_path / "table.md").read_text() == MARKDOWN
    assert text.startswith("Tiny\nBeside it.\n\nmacro means of the categories\nrow  ")
    planned_runs = [re.split("  +", line) for line in text.splitlines() if "  " in line]
    rows = [
        [planned for planned in line.strip("| ").split(" | ") if planned.strip()]
        for line in MARKDOWN.splitlines()
        if line.startswith("| ")
    ]
    assert planned_runs == rows, "the text has the cells of the markdown"
    found = json.loads((tmp_path / "study.json").read_text())
    assert [found[name] for name in ("title", "baseline", "missing")] == ["Tiny", "base", 0]
    two = found["rows"][1]
    assert (two["name"], two["clips"], two["seconds"]) == ("two, beside it", 80, 0.0)
    assert sorted(two["figures"]) == [f"category_{one}" for one in sorted(METRICS)]
    assert two["figures"]["category_f1"] == {
        "value": {"value": 0.95, "low": pytest.approx(0.9), "high": 1.0},
        "folds": {"mean": 0.95, "deviation": 0.0123, "values": [0.95, 0.95]},
        "seeds": {"mean": 0.95, "deviation": None, "values": [0.95]},
        "difference": {"value": 0.0123, "low": 0.001, "high": 0.0456},
        "paired": True,
    }


def test_marks_are_explained() -> None:
    assert legend(result().lines) == "differences in points; *: its interval leaves out zero"
    unpaired = result(paired=False)
    assert "  *u\n" in render(unpaired)
    assert legend(unpaired.lines) == (
        "differences in points; *: its interval leaves out zero\nu: not the same clips, unpaired"
    )


def test_long_names_and_notes_are_brought_to_the_width() -> None:
    one = result()
    lines = (replace(one.lines[0], name="b" * 50),)
    text = render(replace(one, note="word " * 40, lines=lines, seconds={"b" * 50: 1.0}))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("bbbbbbbbbb...bbbbbbbbb  ") == 3


def test_a_cell_killed_before_its_time_was_noted(tmp_path: Path) -> None:
    assert seconds_of(tmp_path) == 0.0
    scores = {"category": {"f1": {"value": 0.5}}, "event": None}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    assert figures_of(tmp_path) == "category F1 0.500"
