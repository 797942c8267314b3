"""``sonotype distill`` from the command line, and the built-in model where none is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_models import write_model

import sonotype
from sonotype.cli.main import run

FEW = ["--seconds", "1", "--epochs", "1", "--min-steps", "0", "--n-augmented", "2"]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of a model that was trained on no clip."""
    folder = tmp_path_factory.mktemp("teacher")
    write_model(folder / "model.safetensors", backbone="compact", width=0)
    (folder / "split.csv").write_text("part,path,category,event,group\n")
    return folder


def test_the_default_student(
    teacher: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small"
    argv = ["distill", str(tones), "--out", str(out), "--teacher", str(teacher), *FEW]
    assert run([*argv, "--val-fraction", "0.25", "--test-fraction", "0.25"]) == 0
    shown = capsys.readouterr().out
    assert "cbir_2 with backbone compact: 9 clips to train on" in shown
    assert "distillation from 1 teacher; 0 of 9 training clips" in shown
    config = json.loads((out / "config.json").read_text())["options"]
    assert (config["recipe"], config["teachers"]) == ("student", [str(teacher)])
    options = sonotype.load(out / "model.safetensors").card.options
    assert (options.backbone, options.width, options.unfreeze_from) == ("compact", 0, 1)
    assert run(["distill", "--resume", str(out)]) == 2
    assert f"{out} is finished" in capsys.readouterr().err


def test_protocol_all(
    teacher: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "all"
    argv = ["distill", str(tones), "--out", str(out), "--teacher", str(teacher), *FEW]
    assert run([*argv, "--protocol", "all", "--checkpoint", "last", "--pooling", "mean"]) == 0
    shown = capsys.readouterr().out
    assert "16 clips to train on, 0 to validate, 0 to test" in shown
    assert "every clip is a training clip" in shown
    assert shown.splitlines()[-2:] == [
        f"model:  {out / 'model.safetensors'}",
        f"report: {out / 'report.html'}",
    ]
    card = sonotype.load(out / "model.safetensors").card
    assert card.training["clips"] == {"train": 16, "val": 0, "test": 0}
    assert card.scores == {}
    assert not (out / "scores.json").exists()


def test_a_teacher_is_required(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["distill", str(tones), "--out", str(tmp_path / "run")]) == 2
    assert "--teacher" in capsys.readouterr().err


def test_the_built_in_model_is_the_default(
    tones: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = write_model(tmp_path / "model.safetensors")
    monkeypatch.setattr("sonotype.modelfile.pretrained.builtin_path", lambda: model)
    sound = tones / "low" / "hum" / "hum_0.wav"
    assert run(["predict", str(sound), "--format", "jsonl"]) == 0
    ours = json.loads(capsys.readouterr().out)
    assert run(["predict", str(model), str(sound), "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out) == ours
    assert sonotype.load().predict(sound).label == ours["event"]
    assert run(["info"]) == 0
    assert capsys.readouterr().out.startswith("system         cbir_2, backbone none")
    assert run(["predict", str(model)]) == 2
    assert f"{model} is a model" in capsys.readouterr().err


def test_help_shows_the_recipe_of_the_student(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["distill", "--help"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "--recipe" in line]
    assert "[default: student]" in line
