from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from finished_runs import result_of
from safetensors import safe_open
from small_models import flags
from training_data import SMALL

import sonotype
from sonotype.cli.main import run
from sonotype.core.errors import OptionsError

BOTH = "--out FOLDER for a new run or --resume FOLDER"


def header_and_weights(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
        return file.metadata(), tensors


def test_the_command_does_what_the_function_does(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert (
        run(["train", str(tones), "--out", str(out), *flags(epochs=1, category_source="both")]) == 0
    )
    output = capsys.readouterr()
    assert output.err == ""
    options = SMALL | {"epochs": 1, "category_source": "both"}
    result = sonotype.train(tones, tmp_path / "other", **options)
    assert header_and_weights(out / "model.safetensors") == header_and_weights(result.model)
    assert json.loads((out / "scores.json").read_text()) == result.scores
    lines = output.out.splitlines()
    assert lines[0] == "cbir_2 with backbone none: 9 clips to train on, 3 to validate, 4 to test"
    assert sum(line.startswith("epoch ") for line in lines) == 1
    best = f"best epoch {result.best_epoch}, macro F1 on validation {result.best_score:.3f}"
    assert best in lines
    assert f"\n\n{result.report}\n\n" in output.out
    assert lines[-5:] == [
        "",
        f"model:  {out / 'model.safetensors'}",
        f"scores: {out / 'scores.json'}",
        f"plots:  {out / 'plots'}",
        f"report: {out / 'report.html'}",
    ]
    assert (out / "report.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_an_error_of_the_report_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division\n  by zero")

    monkeypatch.setattr("sonotype.experiments.pipeline.train", lambda *_, **__: result_of(tmp_path))
    monkeypatch.setattr("sonotype.report.run_report.write_run_report", fail)
    assert run(["train", "data", "--out", "run"]) == 0
    output = capsys.readouterr()
    assert "report:" not in output.out
    assert output.err == "warning: the report was not written: division by zero\n"
    assert run(["train", "data", "--out", "run", "--no-report"]) == 0
    assert capsys.readouterr().err == ""


def test_the_last_epoch_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = replace(result_of(tmp_path), best_epoch=2, best_score=None, report="the report")
    monkeypatch.setattr("sonotype.experiments.pipeline.train", lambda *_, **__: result)
    assert run(["train", "data", "--out", "run"]) == 0
    wanted = f"kept the last epoch, 2\n\nthe report\n\nmodel:  {result.model}\n"
    assert capsys.readouterr().out == wanted


@pytest.mark.parametrize(
    ("argv", "fact"),
    [
        (["train", "data"], BOTH),
        (["train"], BOTH),
        (["train", "data", "--out", "a", "--resume", "b"], BOTH),
        (
            ["train", "data", "--resume", "b"],
            "--resume takes DATA from the run",
        ),
        (
            ["train", "--out", "a"],
            "data",
        ),
        (
            ["train", "--resume", "b", "--epochs", "3"],
            "epochs",
        ),
        (
            ["train", "--resume", "b"],
            "config.json",
        ),
    ],
)
def test_contradicting_arguments(
    argv: list[str],
    fact: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(argv) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert fact in output.err
    assert list(tmp_path.iterdir()) == []


def test_all_invalid_values_are_reported(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["train", str(tones), "--out", str(tmp_path / "run"), "--epochs", "0", "--mixup", "-1"]
    assert run(argv) == 2
    assert capsys.readouterr().err == (
        "error: epochs must be at least 1, got 0; mixup must be at least 0, got -1.0\n"
    )
    assert not (tmp_path / "run").exists()


def test_issues_in_the_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["train", str(tmp_path / "none"), "--out", str(tmp_path / "run")]
    assert run(argv) == 4
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path / 'none'}: 1 issue\n  {tmp_path / 'none'}: ")


def test_ctrl_c_prints_how_to_resume(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = replace(result_of(tmp_path, interrupted=True), best_epoch=7, best_score=0.51)
    monkeypatch.setattr("sonotype.experiments.pipeline.train", lambda *_, **__: result)
    assert run(["train", "data", "--out", "run"]) == 130
    assert capsys.readouterr().out.splitlines() == [
        "best epoch 7, macro F1 on validation 0.510",
        f"model so far: {result.model}; not scored on the test set",
        f"continue with: sonotype train --resume {tmp_path}",
    ]


def test_resuming_takes_the_run_and_no_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}

    def train(data: Any, out: Path, **options: Any) -> None:
        found.update(data=data, out=out, **options)
        raise OptionsError("stopped here")

    monkeypatch.setattr("sonotype.experiments.pipeline.train", train)
    assert run(["train", "--resume", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: stopped here\n"
    assert set(found) == {"data", "out", "resume", "progress", "verbose", "on_message"}
    assert (found["data"], found["out"], found["resume"]) == (None, tmp_path, True)
