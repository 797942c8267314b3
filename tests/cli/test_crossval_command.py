from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from finished_runs import pretend
from small_models import flags

from sonotype.cli.main import run
from sonotype.experiments.cross_validation import CrossvalResult

FLAGS = flags(epochs=1, val_fraction=None, test_fraction=None)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the library call, which returns that it was interrupted."""
    found: dict[str, Any] = {}

    def crossval(data: Path, out: Path, **options: Any) -> CrossvalResult:
        found.update(data=data, out=out, **options)
        return CrossvalResult({}, "", True)

    monkeypatch.setattr("sonotype.experiments.cross_validation.crossval", crossval)
    return found


def test_all_folds_and_then_again(
    tones: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sonotype.experiments.runner.run_or_resume", pretend)
    out = tmp_path / "out"
    argv = ["crossval", str(tones), "--out", str(out), "--folds", "2", *FLAGS]
    assert run(argv) == 0
    first = capsys.readouterr()
    assert first.err == ""
    lines = first.out.splitlines()
    assert lines[0] == "cross-validation: 2 runs, 0 finished"
    assert [line for line in lines if line.startswith("fold_")] == ["fold_1", "fold_2"]
    report = (out / "scores.txt").read_text()
    ending = f"\n{report}\n\nscores: {out / 'scores.json'}\nplots:  {out / 'plots'}\n"
    assert first.out.endswith(ending)
    assert json.loads((out / "scores.json").read_text())["folds"]["clips"] == [8, 8]

    shutil.rmtree(out / "fold_1")
    assert run(argv) == 0
    second = capsys.readouterr().out
    assert second.startswith("cross-validation: 2 runs, 1 finished\nfold_1\n")
    assert "\nfold_2\n" not in second
    assert second.endswith(ending)

    assert run([*argv, "--epochs", "2"]) == 2
    error = capsys.readouterr().err
    assert str(out) in error
    assert "epochs" in error


@pytest.mark.parametrize("folds", ["0", "1", "99"])
def test_an_impossible_number_of_folds(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folds: str
) -> None:
    argv = ["crossval", str(tones), "--out", str(tmp_path / "out"), "--folds", folds, *FLAGS]
    assert run(argv) == 2
    error = capsys.readouterr().err
    assert f"--folds {folds}" in error
    assert "16" in error


@pytest.mark.parametrize(("argv", "folds"), [([], 5), (["--folds", "3"], 3)])
def test_the_default_is_five_folds(
    called: dict[str, Any], capsys: pytest.CaptureFixture[str], argv: list[str], folds: int
) -> None:
    assert run(["crossval", "data", "--out", "out", *argv, "--seed", "4"]) == 130
    assert capsys.readouterr().out == "interrupted; run the same command again to continue\n"
    assert (called["folds"], called["seed"]) == (folds, 4)
    assert (called["data"], called["out"]) == (Path("data"), Path("out"))
