from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from finished_runs import pretend
from small_models import flags

from sonotype.cli.main import run
from sonotype.evaluation.power_law import Curve
from sonotype.experiments.learning_curve import CurveResult

FLAGS = flags(epochs=1, val_fraction=None, test_fraction=None)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the library call."""
    found: dict[str, Any] = {}

    def run_learning_curve(data: Path, out: Path, **options: Any) -> CurveResult:
        found.update(data=data, out=out, **options)
        return CurveResult(Curve("event", (), (), (), 20, ()), "the report", out / "curve.png")

    monkeypatch.setattr(
        "sonotype.experiments.learning_curve.run_learning_curve", run_learning_curve
    )
    return found


def test_a_curve_and_then_again(
    tones: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sonotype.experiments.runner.run_or_resume", pretend)
    out = tmp_path / "out"
    argv = ["learning-curve", str(tones), "--out", str(out), "--sizes", "9,8", "--draws", "2"]
    assert run([*argv, *FLAGS]) == 0
    first = capsys.readouterr()
    assert first.err == ""
    report = (out / "curve.txt").read_text()
    assert first.out.endswith(f"\n{report}\nplot: {out / 'curve.png'}\n")
    assert [line[:10] for line in first.out.splitlines()[1:3]] == ["  1/2  all", "  2/2  all"]
    assert max(map(len, report.splitlines())) <= 80
    assert report.splitlines()[1].split()[0] == "2", "half of four clips a class"

    shutil.rmtree(out / "runs" / "all_clips" / "draw_1")
    assert run([*argv, *FLAGS]) == 0
    again = capsys.readouterr().out
    assert again.startswith("learning curve: 2 runs, 1 finished\n")
    assert again.endswith(f"\n{report}\nplot: {out / 'curve.png'}\n")

    assert run([*argv, *FLAGS, "--epochs", "2"]) == 2
    error = capsys.readouterr().err
    assert f"{out}/runs/all_clips/draw_1" in error
    assert "epochs" in error


def test_defaults(called: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learning-curve", "data", "--out", "out"]) == 0
    assert capsys.readouterr().out == f"\nthe report\n\nplot: {Path('out') / 'curve.png'}\n"
    on_message = called.pop("on_message")
    assert called == {
        "data": Path("data"),
        "out": Path("out"),
        "progress": True,
    }
    on_message("a line")
    assert capsys.readouterr().out == "a line\n"


def test_options_reach_the_library(called: dict[str, Any]) -> None:
    argv = ["learning-curve", "data", "--out", "out", "--sizes", "3,5", "--draws", "7"]
    assert run([*argv, "--more", "9", "--width", "0", "--trim", "--pool-blocks", "3,4"]) == 0
    assert (called["sizes"], called["draws"], called["more"]) == ((3, 5), 7, 9)
    assert (called["width"], called["trim"], called["pool_blocks"]) == (0, True, (3, 4))


@pytest.mark.parametrize(
    ("argv", "fact"),
    [
        (["--sizes", "few"], "'few'"),
        (["--sizes", ""], "''"),
        (["--sizes", "4,0"], "(4, 0)"),
        (["--draws", "1"], "draws must be at least 2, got 1"),
        (["--more", "0"], "more must be at least 1, got 0"),
        (["--checkpoint", "best"], "checkpoint"),
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
    ],
)
def test_invalid_options(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], fact: str
) -> None:
    out = tmp_path / "out"
    assert run(["learning-curve", str(tones), "--out", str(out), *argv]) == 2
    assert fact in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    "argv",
    [
        ["data"],
        ["--out", "out"],
        ["data", "--out", "out", "--test-fraction", "0.5"],  # the draws make the splits
    ],
)
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learning-curve", *argv]) == 2
    assert capsys.readouterr().err.startswith("Usage: sonotype learning-curve [OPTIONS] ")


def test_an_interrupted_curve(
    tones: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sonotype.experiments.learning_curve.run_many", lambda *_, **__: False)
    argv = ["learning-curve", str(tones), "--out", str(tmp_path), "--draws", "2", *FLAGS]
    assert run(argv) == 130
    assert f"{tmp_path}: interrupted" in capsys.readouterr().err


def test_other_files_are_not_replaced(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "curve.txt").write_text("mine")
    assert run(["learning-curve", str(tones), "--out", str(tmp_path)]) == 2
    assert f"--out {tmp_path}: holds curve.txt" in capsys.readouterr().err
    assert (tmp_path / "curve.txt").read_text() == "mine"


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["learning-curve", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Example: sonotype learning-curve recordings --out runs/curve --sizes 1,4,16" in text
    for words in ("[default: 1,2,4,8,16]", "[default: 4]", "[default: 20]"):
        assert words in text
