"""Learning curves: the training clips of each size, and the resulting scores."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import pretend, write_run
from matplotlib.image import imread
from soundsets import manifest_of
from training_data import SMALL, write_tones

from sonotype.core.errors import OptionsError, SonotypeError, StoppedError
from sonotype.data.manifest import Manifest
from sonotype.evaluation.power_law import render_curve
from sonotype.evaluation.predictions import load_predictions
from sonotype.experiments import runner
from sonotype.experiments.context import RunContext
from sonotype.experiments.learning_curve import CurveResult, run_learning_curve, subset
from sonotype.experiments.runner import FailedRunsError, Result

OPTIONS = {k: v for k, v in SMALL.items() if not k.endswith("_fraction")} | {"epochs": 1}
EVENTS = ("beep", "buzz", "hum", "whistle")
RUNS = [f"{size}_clips/draw_{draw}" for size in ("1", "all") for draw in (1, 2)]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("data") / "tones", clips=4)


def run(tones: Path, out: Path, **changed: Any) -> CurveResult:
    # A draw has two training clips of each class; larger sizes are left out.
    return run_learning_curve(tones, out, **{"sizes": (99, 2, 1), "draws": 2} | OPTIONS | changed)


@pytest.fixture(scope="module")
def finished(
    tones: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, CurveResult, list[str]]:
    """Folder, result, and messages; not to be changed by a test."""
    out = tmp_path_factory.mktemp("curve") / "out"
    messages: list[str] = []
    return out, run(tones, out, on_message=messages.append), messages


def subsets_of(run: Path) -> dict[str, set[str]]:
    with (run / "split.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {
        name: {r["path"] for r in rows if r["subset"] == name} for name in ("train", "val", "test")
    }


def times(folder: Path) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


def test_messages_and_files(finished: Any) -> None:
    out, _, messages = finished
    assert messages[0] == "learning curve: 4 runs, 0 finished"
    figures = r"category F1 \d\.\d{3}  event accuracy \d\.\d{3}"
    for number, (run, line) in enumerate(zip(RUNS, messages[1:], strict=True), start=1):
        assert re.fullmatch(rf"  {number}/4  {run}  {figures}  \d+ s left", line)
    left = sorted(path.name for path in out.iterdir())
    assert left == ["curve.json", "curve.png", "curve.txt", "runs"]
    for run in RUNS:
        config = json.loads((out / "runs" / run / "config.json").read_text())
        assert config["options"]["checkpoint"] == "last"


def test_no_clip_is_trained_on_in_the_draw_that_tests_it(tones: Path, finished: Any) -> None:
    out, _, _ = finished
    every = {str(path) for path in tones.rglob("*.wav")}
    subsets = {run: subsets_of(out / "runs" / run) for run in RUNS}
    for size in ("1", "all"):
        first, second = (subsets[f"{size}_clips/draw_{draw}"] for draw in (1, 2))
        assert first["test"] | second["test"] == every
        assert len(first["test"]) + len(second["test"]) == len(every)
        for split in (first, second):
            assert split["train"] & split["test"] == set()
            assert split["val"] == set()
    for draw in (1, 2):
        few, whole = (subsets[f"{size}_clips/draw_{draw}"] for size in ("1", "all"))
        assert few["test"] == whole["test"] == every - whole["train"]
        assert few["train"] < whole["train"]
        assert Counter(Path(path).parent.name for path in few["train"]) == dict.fromkeys(EVENTS, 1)


def test_the_curve_is_that_of_the_predictions(finished: Any) -> None:
    out, result, _ = finished
    assert [point.clips_per_class for point in result.curve.points] == [1, 2]
    for size, point in zip(("1", "all"), result.curve.points, strict=True):
        right: list[bool] = []
        for draw in (1, 2):
            found = load_predictions(out / f"runs/{size}_clips/draw_{draw}/predictions.npz")
            right += (found.proba["event"].argmax(axis=1) == found.true["event"]).tolist()
        assert len(right) == 16
        assert point.accuracy.value == np.mean(right)
    assert result.report == render_curve(result.curve)
    assert (out / "curve.txt").read_text() == result.report + "\n"
    written = json.loads((out / "curve.json").read_text())
    assert Path(written.pop("data")).is_dir()
    config = json.loads((out / "runs/all_clips/draw_1/config.json").read_text())
    assert written.pop("fingerprint") == config["fingerprint"]
    assert written == json.loads(json.dumps(asdict(result.curve)))
    assert result.plot == out / "curve.png"
    assert imread(result.plot).std() > 0.01


def test_a_stopped_curve_is_resumed(tones: Path, finished: Any, tmp_path: Path) -> None:
    before, result, _ = finished
    out = tmp_path / "out"
    shutil.copytree(before, out)
    assert run(tones, out).curve == result.curve
    written = times(out / "runs")
    shutil.rmtree(out / "runs/1_clips/draw_2")
    messages: list[str] = []
    assert run(tones, out, on_message=messages.append).curve == result.curve
    assert messages[0] == "learning curve: 4 runs, 3 finished"
    assert [line.split()[:2] for line in messages[1:]] == [["4/4", "1_clips/draw_2"]]
    kept = {name: when for name, when in written.items() if not name.startswith("1_clips/draw_2")}
    assert times(out / "runs").items() >= kept.items(), "nothing is trained twice"


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"checkpoint": "best"}, "a learning curve keeps the last epoch; leave out checkpoint"),
        ({"sizes": (2, 0)}, "sizes must be at least 1, got (2, 0)"),
        ({"draws": 1}, "draws must be at least 2, got 1"),
        ({"test_folds": (1,)}, "leave out test_folds"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"draws": 17}, "17: has to be from 2 to 16, the number of recordings"),
    ],
)
def test_invalid_options(tones: Path, tmp_path: Path, options: Any, fault: str) -> None:
    with pytest.raises(OptionsError) as caught:
        run(tones, tmp_path / "out", **options)
    assert fault in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_curve_with_other_options_or_data_is_refused(
    tones: Path, finished: Any, tmp_path: Path
) -> None:
    out, _, _ = finished
    other = write_tones(tmp_path / "tones", clips=5)
    for data, changed, names in (
        (tones, {"epochs": 2, "seed": 1}, "epochs, seed"),
        (other, {}, "data"),
        (other, {"width": 0.02}, "width, data"),
    ):
        with pytest.raises(OptionsError, match=f"1_clips/draw_1 was run with other {names}; "):
            run(data, out, **changed)


def learned(context: RunContext) -> Result:
    """Replaces a training: the more clips of an event it had, the more are correct."""
    had = Counter(clip.label("event") for clip in context.clips("train"))
    test = context.clips("test")
    write_run(context, wrong=lambda _, index: index % 8 < 6 - had[test[index].label("event")])
    return None


def test_advice_counts_the_training_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tones = write_tones(tmp_path / "tones", clips=8)
    for name in ("hum_6", "hum_7"):
        (tones / "low" / "hum" / f"{name}.wav").unlink()
    (tones / "sonotype.json").write_text('{"synthetic": true}')
    monkeypatch.setattr(runner, "run_or_resume", learned)
    result = run(tones, tmp_path / "out", sizes=(1, 2, 3), more=4)
    points = [point.clips_per_class for point in result.curve.points]
    assert points == [1, 2, 3, (3 + 4 + 4 + 4) / 4]
    counts = {entry.label: entry.clips for entry in result.curve.advice}
    assert counts == {"beep": 4, "buzz": 4, "hum": 3, "whistle": 4}
    assert "\n4 more clips of one class would help most for:\n" in result.report
    assert result.report.startswith(
        "note: synthetic sounds: these scores say nothing about real ones\n\nevent accuracy by "
    )
    assert (tmp_path / "out" / "curve.txt").read_text() == result.report + "\n"


def test_each_official_fold_is_tested(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "run_or_resume", pretend)
    table = tmp_path / "tones.csv"
    rows = [
        f"{path},{path.parent.parent.name},{path.parent.name},{int(path.stem[-1]) % 3 + 4}"
        for path in sorted(tones.rglob("*.wav"))
    ]
    table.write_text("\n".join(["path,category,event,fold", *rows]) + "\n")
    run(table, tmp_path / "out", sizes=(1,))
    for draw, numbers in enumerate(({0, 3}, {1}, {2}), start=1):
        found = load_predictions(tmp_path / f"out/runs/all_clips/draw_{draw}/predictions.npz")
        assert {int(Path(path).stem[-1]) for path in found.paths} == numbers


def test_an_interrupted_curve(tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "run_or_resume", lambda _: StoppedError())
    with pytest.raises(StoppedError, match=r"out: interrupted; run the same command again"):
        run(tones, tmp_path / "out")


def test_an_error_of_every_run_is_raised_once(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = SonotypeError("no room")
    monkeypatch.setattr(runner, "run_or_resume", lambda _: error)
    with pytest.raises(SonotypeError, match=r"^no room$"):
        run(tones, tmp_path / "out")


def test_a_run_that_fails_does_not_stop_the_others(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def breaks(context: RunContext) -> Result:
        called.append(context.folder.parent.name)
        context.folder.mkdir(parents=True, exist_ok=True)
        return SonotypeError("no room") if len(called) == 2 else pretend(context)

    monkeypatch.setattr(runner, "run_or_resume", breaks)
    messages: list[str] = []
    with pytest.raises(FailedRunsError) as caught:
        run(tones, tmp_path / "out", on_message=messages.append)
    assert str(caught.value) == "1 of 4 runs failed:\n  1_clips/draw_2: no room"
    assert messages[2].startswith("  2/4  1_clips/draw_2  failed: no room")
    assert called == ["1_clips", "1_clips", "all_clips", "all_clips"]
    run(tones, tmp_path / "out")
    assert called[4:] == ["1_clips"]


def many_clips(seed: int) -> Manifest:
    """Classes with few and many recordings, with few and many clips of each; some have no event."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[str, str | None, str, int | None]] = []
    for event, recordings in {"a": 1, "b": 3, "c": 9, None: 4}.items():
        for recording in range(recordings):
            group = f"{event}{recording}"
            rows += [("x", event, group, None)] * int(rng.integers(1, 6))
    return manifest_of([rows[index] for index in rng.permutation(len(rows))])


@pytest.mark.parametrize("seed", range(5))
def test_subsets_are_nested_and_from_many_recordings(seed: int) -> None:
    manifest = many_clips(seed)
    train = [index for index in range(len(manifest.clips)) if index % 5]
    smaller: set[int] = set()
    for size in range(1, 30):
        found = subset(manifest, train, size, seed)
        assert found == subset(manifest, train, size, seed) == tuple(sorted({*found}))
        assert smaller <= {*found} <= {*train}
        smaller = {*found}
        for event in ("a", "b", "c", None):
            there = Counter(
                manifest.clips[i].group for i in train if manifest.clips[i].label("event") == event
            )
            taken = Counter(
                manifest.clips[i].group for i in found if manifest.clips[i].label("event") == event
            )
            assert taken.total() == min(size, there.total())
            # No recording gives one more clip while another has given fewer and has some left.
            left = [taken[group] for group in there if taken[group] < there[group]]
            assert max(taken.values()) <= min(left, default=size) + 1
    assert smaller == {*train}


def test_another_seed_draws_other_clips() -> None:
    manifest = many_clips(0)
    train = range(len(manifest.clips))
    assert len({subset(manifest, train, 2, seed) for seed in range(10)}) > 5
