"""Runs with relative paths are resumed from any working directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from finished_runs import write_run
from small_models import write_model
from training_data import RATE, SMALL, tone, write_table, write_tones

import sonotype
from sonotype.core.errors import OptionsError
from sonotype.experiments.context import RunContext
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import read_plan
from sonotype.experiments.learning_curve import run_learning_curve
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.run_folder import absolute, with_absolute_paths
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import train_or_resume

SPLIT_FREE = {k: v for k, v in SMALL.items() if not k.endswith("_fraction")}
OPTIONS = SPLIT_FREE | {
    "width": 0, "pooling": "mean", "epochs": 1, "checkpoint": "last",
    "backbone": "bb/model.safetensors", "teachers": ("teacher",), "unlabelled": ("more",),
    "frame_weight": 0.0, "unfreeze_from": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a teacher, a backbone and unlabelled sounds."""
    here = tmp_path_factory.mktemp("source")
    write_table(write_tones(here / "tones", clips=4), here / "tones.csv")
    for name in ("teacher", "bb"):
        write_model(here / name / "model.safetensors", backbone="compact", width=0, pooling="mean")
        (here / name / "split.csv").write_text("subset,path,category,event,group\n")
    (here / "more").mkdir()
    soundfile.write(here / "more" / "new.wav", tone(900.0, 77), RATE)
    return here


@pytest.fixture
def begun(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory where runs are started."""
    here = shutil.copytree(source, tmp_path / "begun")
    monkeypatch.chdir(here)
    (here / "inner").mkdir()
    return here


def unfinish(run: Path) -> None:
    for name in ("scores.json", "time.json"):
        (run / name).unlink(missing_ok=True)


def run(context: RunContext) -> TrainResult:
    """Replaces a training: it checks that the files exist, and writes predictions and a model."""
    options = context.options
    for name in (*options.teaching.teachers, *options.teaching.unlabelled):
        assert Path(name).is_dir()
    if options.system.backbone != "compact":
        assert Path(options.system.backbone).is_file()
    write_model(context.folder / "model.safetensors")
    return write_run(context)


def recorded(run: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((run / "config.json").read_text())["options"]
    return {name: values[name] for name in ("teachers", "unlabelled", "backbone")}


def absolutes(begun: Path) -> dict[str, Any]:
    return {
        "teachers": [str(begun / "teacher")],
        "unlabelled": [str(begun / "more")],
        "backbone": str(begun / "bb" / "model.safetensors"),
    }


def inside(options: dict[str, Any]) -> dict[str, Any]:
    """The same files, relative to a folder inside."""
    return options | {
        "backbone": f"../{options['backbone']}",
        "teachers": ("../teacher",),
        "unlabelled": ("../more",),
    }


def test_a_training(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sonotype.train("tones", "run", **OPTIONS)
    card = sonotype.load(first.model).card.training
    assert recorded(begun / "run") == absolutes(begun)
    unfinish(begun / "run")
    monkeypatch.chdir(begun / "inner")
    again = sonotype.train(None, "../run", resume=True)
    assert again.scores == first.scores
    assert recorded(begun / "run") == absolutes(begun)
    resumed = sonotype.load(again.model).card.training
    assert resumed["teaching"] == card["teaching"]
    assert resumed["teaching"]["unlabelled"] == ["begun/more"], "a model file reveals no folders"


def folds(data: str, out: str, options: dict[str, Any]) -> None:
    sonotype.crossval(data, out, folds=2, **options)


def curve(data: str, out: str, options: dict[str, Any]) -> None:
    run_learning_curve(data, out, sizes=(1,), draws=2, **options)


def once(data: str, out: str, options: dict[str, Any]) -> None:
    train_or_resume(data, out, **options)


@pytest.mark.parametrize(
    ("call", "name"), [(curve, "runs/1_clips/draw_1"), (folds, "fold_2"), (once, "")]
)
def test_runs_from_another_working_directory(
    begun: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[str, str, dict[str, Any]], None],
    name: str,
) -> None:
    monkeypatch.setattr("sonotype.experiments.runner.run", run)
    call("tones", "out", OPTIONS)
    assert recorded(begun / "out" / name) == absolutes(begun)
    unfinish(begun / "out" / name)
    monkeypatch.chdir(begun / "inner")
    call("../tones", "../out", inside(OPTIONS))
    assert recorded(begun / "out" / name) == absolutes(begun)
    assert (begun / "out" / name / "scores.json").exists()
    (begun / "more" / "new.wav").write_bytes((begun / "tones/low/hum/hum_0.wav").read_bytes())
    with pytest.raises(OptionsError, match="with other unlabelled folder 1 "):
        call("../tones", "../out", inside(OPTIONS))


STUDY = """
folds = [1, 2]
data = "tones.csv"
[rows.teaches]
[rows.learns]
teachers = ["teaches"]
backbone = "bb/model.safetensors"
unfreeze_from = 4
unlabelled = ["more"]
[options]
frame_weight = 0.0
epochs = 1
checkpoint = "last"
"""


def test_a_study(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {k: v for k, v in OPTIONS.items() if k not in ("epochs", "checkpoint", "frame_weight")}
    for name in ("backbone", "teachers", "unlabelled", "unfreeze_from"):
        del more[name]
    text = STUDY + "\n".join(f"{k} = {json.dumps(v)}" for k, v in more.items())
    text = text.replace("[rows.teaches]", '[rows.teaches]\nbackbone = "compact"\nfolds = []\n'
                        'protocol = "grouped"')  # fmt: skip
    (begun / "study.toml").write_text(text)
    plan = read_plan("study.toml")
    monkeypatch.setattr("sonotype.experiments.runner.run", run)
    assert run_study(plan, plan.data, "out")
    learns = begun / "out/runs/learns/fold_1_seed_0"
    wanted = absolutes(begun) | {"teachers": [str(begun / "out/runs/teaches/split_seed_0")]}
    assert recorded(learns) == wanted
    unfinish(learns)
    monkeypatch.chdir(begun / "inner")
    plan = read_plan("../study.toml")
    messages: list[str] = []
    assert run_study(plan, plan.data, "../out", on_message=messages.append)
    assert messages[0] == "study: 3 runs, 2 finished"
    assert recorded(learns) == wanted
    assert (learns / "scores.json").exists()


def test_names_of_files(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (begun / "link.safetensors").symlink_to(begun / "bb" / "model.safetensors")
    monkeypatch.chdir(begun / "inner")
    assert absolute("../teacher") == str(begun / "teacher")
    assert absolute("..") == str(begun)
    assert absolute("../link.safetensors") == str(begun / "link.safetensors")
    for backbone in ("auto", "mn04", "builtin", "compact"):
        options = RunOptions.of({"backbone": backbone})
        assert with_absolute_paths(options) == options
