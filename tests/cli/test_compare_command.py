from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from heads import predicted
from run_folders import write_run_folder

from sonotype.cli.main import run
from sonotype.core.types import Head
from sonotype.evaluation.predictions import Predictions


def answers(right: int) -> Predictions:
    """Ten clips of two classes, of which the first ones are right."""
    true = np.arange(10) % 2
    found = np.where(np.arange(10) < right, true, 1 - true)
    return predicted((Head("category", ("cat", "dog")),), [true], [np.eye(2)[found]])


@pytest.fixture
def folders(tmp_path: Path) -> list[str]:
    found = (write_run_folder(tmp_path / f"run_{n}", answers(n)) for n in (9, 6))
    return [str(folder) for folder in found]


def test_text(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *folders]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert "-30.0" in output.out
    assert "first only" in output.out


def test_json(folders: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compare", *folders, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["runs"]] == ["run_9", "run_6"]
    gap = found["levels"][0]["metrics"][1]["accuracy"]["difference"]["value"]
    assert gap == pytest.approx(-0.3)


def test_html_is_written_once(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out" / "page.html"
    argv = ["compare", *folders, "--html", str(page)]
    assert run(argv) == 0
    assert str(page) in capsys.readouterr().out
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert run(argv) == 2
    assert "--force" in capsys.readouterr().err
    assert run([*argv, "--force"]) == 0


@pytest.mark.parametrize("name", ["predictions.npz", "config.json", "fold_1/scores.json"])
def test_files_of_the_runs_are_never_replaced(
    folders: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(folders[1], name)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    before = path.read_bytes()
    assert run(["compare", *folders, "--html", str(path), "--force"]) == 2
    assert "--html" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_the_page_on_standard_output(
    folders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["compare", *folders, "--html", "-"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!DOCTYPE html>")
    assert page.rstrip().endswith("</html>")
    assert not Path("-").exists()
    assert run(["compare", *folders, "--html", "-", "--json"]) == 2


@pytest.mark.parametrize(
    ("words", "part"),
    [(["{0}"], "2 to 6 runs"), (["{0}", "{0}/none"], "is not the folder of a run")],
)
def test_errors(
    folders: list[str], words: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["compare", *(word.format(*folders) for word in words)]) == 2
    assert part in capsys.readouterr().err
