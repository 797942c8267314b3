from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from finished_runs import pretend
from training_data import SMALL

from sonotype.cli.main import run
from sonotype.experiments.grid_plan import Plan

OPTIONS = SMALL | {"epochs": 1, "category_source": "head"}


def write_plan(folder: Path, top: str = "") -> Path:
    path = folder / "study.toml"
    options = "\n".join(f"{name} = {json.dumps(value)}" for name, value in OPTIONS.items())
    rows = "[rows.one]\n[rows.two]\nof = 'one'\ncategory_source = 'events'"
    path.write_text(f"title = 'Tiny'\n{top}\n[options]\n{options}\n{rows}\n")
    return path


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments of the library call, which returns that it was interrupted."""
    found: dict[str, Any] = {}

    def run_study(plan: Plan, data: Path, out: Path, **options: Any) -> bool:
        found.update(plan=plan, data=data, out=out, **options)
        return False

    monkeypatch.setattr("sonotype.experiments.grid.run_study", run_study)
    return found


def test_a_study_and_its_table_again(
    tones: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sonotype.experiments.runner.run_or_resume", pretend)
    plan, out = write_plan(tmp_path), tmp_path / "out"
    argv = ["study", str(plan), str(tones), "--out", str(out)]
    assert run(argv) == 0
    first = capsys.readouterr()
    assert first.err == ""
    lines = first.out.splitlines()
    assert lines[0].startswith("Tiny: 1 ")
    assert re.match(r"  1/1  one/split_seed_0  category F1 ", lines[1])
    table = (out / "table.txt").read_text()
    ending = (
        f"\n{table}\ndifferences in points; *: the interval does not contain zero\n"
        f"\ntables: {out / 'table.md'}\nfigures: {out / 'study.json'}\n"
    )
    assert first.out.endswith(ending)
    assert max(map(len, table.splitlines())) <= 80
    assert f"```sh\nsonotype {' '.join(argv)}\n```" in (out / "table.md").read_text()
    names = [row["name"] for row in json.loads((out / "study.json").read_text())["rows"]]
    assert names == ["one", "two"]

    monkeypatch.setattr(
        "sonotype.experiments.grid.run_study", None
    )  # would be called to run anything
    for shown in ([*argv, "--table"], ["study", str(plan), "--out", str(out), "--table"]):
        assert run(shown) == 0
        assert capsys.readouterr().out == ending
    assert f"sonotype study {plan} DATA --out {out}\n" in (out / "table.md").read_text()


def test_other_files_are_not_replaced(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = write_plan(tmp_path)
    (tmp_path / "table.md").write_text("mine")
    assert run(["study", str(plan), str(tones), "--out", str(tmp_path)]) == 2
    assert f"--out {tmp_path}: holds table.md" in capsys.readouterr().err
    assert (tmp_path / "table.md").read_text() == "mine"
    os.mkfifo(tmp_path / "pipe.toml")
    assert run(["study", str(tmp_path / "pipe.toml"), "data", "--out", "out"]) == 2
    assert "pipe.toml: is a named pipe" in capsys.readouterr().err


def test_a_table_without_finished_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan, out = write_plan(tmp_path), tmp_path / "out"
    assert run(["study", str(plan), "--out", str(out), "--table"]) == 2
    assert f"{out}: the baseline one is not finished" in capsys.readouterr().err


def test_an_interrupted_study(
    called: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = write_plan(tmp_path, "data = 'named in the file'")
    assert run(["study", str(plan), "--out", "out"]) == 130
    assert capsys.readouterr().out == "interrupted; run the same command again to continue\n"
    assert called["plan"].title == "Tiny"
    assert (called["data"], called["out"]) == (Path("named in the file"), Path("out"))
    assert (called["jobs"], called["progress"]) == (1, True)
    assert run(["study", str(plan), "here", "--out", "out", "--jobs", "3"]) == 130
    assert (called["data"], called["jobs"]) == (Path("here"), 3)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["data"], "--out FOLDER is required"),
        (["--table"], "--out FOLDER is required"),
        (["--out", "out"], "no DATA; pass it after {plan} or set data in that file"),
    ],
)
def test_required_arguments(
    called: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    message: str,
) -> None:
    plan = write_plan(tmp_path)
    assert run(["study", str(plan), *argv]) == 2
    assert capsys.readouterr().err == f"error: {message.format(plan=plan)}\n"
    assert called == {}


def test_an_invalid_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = write_plan(tmp_path, "colour = 1\nfolds = 2")
    assert run(["study", str(plan), "data", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert f"{plan}: unknown key colour; " in error
    assert "folds" in error
    assert run(["study", str(tmp_path / "no.toml"), "data", "--out", "out"]) == 2
    assert str(tmp_path / "no.toml") in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["plan", "--jobs", "0"], ["plan", "--jobs", "x"]])
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", *argv]) == 2
    assert capsys.readouterr().err.startswith("Usage: sonotype study [OPTIONS] ")


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    example = "sonotype study studies/table_1.toml ESC-50-master --out runs/table_1"
    assert f"Example: {example}" in text
    for flag in ("--out", "--jobs", "--table"):
        assert f" {flag} " in text
