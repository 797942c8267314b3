from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from heads import predicted
from run_folders import write_run_folder
from small_models import EVENTS, HEADS

from sonotype.cli.main import run


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    """A run with plots."""
    folder = write_run_folder(tmp_path / "run", predicted(HEADS, *_answers()))
    shutil.copy(model, folder)
    (folder / "plots").mkdir()
    (folder / "plots" / "f1.png").write_bytes(b"plot")
    return folder


def _answers() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """True classes and probabilities of eight clips."""
    event = np.arange(8) % len(EVENTS)
    category = np.array(HEADS[1].parent_index)[event]
    return [category, event], [np.eye(2)[category], np.eye(4)[event]]


def test_the_card_is_printed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", str(model)]) == 0
    output = capsys.readouterr()
    assert output.out.startswith("---\n")
    assert output.out.endswith("\n")
    assert output.err == ""


def test_the_card_is_written_once(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "README.md"
    assert run(["card", str(model), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"card: {out}\n"
    run(["card", str(model)])
    assert capsys.readouterr().out == out.read_text(encoding="utf-8")
    assert run(["card", str(model), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert run(["card", str(model), "--out", str(out), "--force"]) == 0


def test_a_model_is_never_replaced(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = model.read_bytes()
    assert run(["card", str(model), "--out", str(model), "--force"]) == 2
    assert "is an input" in capsys.readouterr().err
    assert model.read_bytes() == before


@pytest.mark.parametrize("name", ["model.safetensors", "scores.json", "plots/f1.png", "new.txt"])
def test_files_of_the_run_are_never_replaced(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    for source in (folder, folder / "model.safetensors"):
        assert run(["card", str(source), "--out", str(folder / name), "--force"]) == 2
        assert name in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before


def test_a_second_name_of_a_file_of_the_run(folder: Path, tmp_path: Path) -> None:
    for name, target in (("a", "scores.json"), ("b", "plots/f1.png")):
        (tmp_path / name).symlink_to(folder / target)
        assert run(["card", str(folder), "--out", str(tmp_path / name), "--force"]) == 2
    os.link(folder / "scores.json", tmp_path / "c")
    assert run(["card", str(folder), "--out", str(tmp_path / "c"), "--force"]) == 2


def test_the_card_of_a_run_may_be_in_its_folder(folder: Path) -> None:
    argv = ["card", str(folder), "--out", str(folder / "README.md")]
    assert [run(argv), run(argv), run([*argv, "--force"])] == [0, 2, 0]


def test_a_pipe_stays_a_pipe(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "pipe"
    os.mkfifo(out)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(out.read_text()), daemon=True)
    reader.start()
    assert run(["card", str(model), "--out", str(out)]) == 0
    reader.join(10)
    assert read[0].startswith("---\n")
    assert out.is_fifo()


def test_a_missing_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["card", str(tmp_path / "none.safetensors")]) == 6
    assert "none.safetensors" in capsys.readouterr().err
