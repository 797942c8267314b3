"""Tables in a run folder that are damaged: errors with their paths, and no lost training."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from small_models import write_model

from sonotype.core.errors import DataError, OptionsError
from sonotype.experiments.label_review import read_decisions
from sonotype.report.run_record import read_suspicious
from sonotype.training.history import read_history
from sonotype.training.provenance import clips_seen_by

LONG = "x" * 200_000
"""More than Python's ``csv`` takes in a cell."""
CUT = "path\nx\n"

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")


def log(folder: Path, session: int, *lines: str) -> Path:
    """A log of a session."""
    path = folder / "log" / f"part_{session}" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{line}\n" for line in ("epoch,step,train_loss", *lines)))
    return path


@pytest.mark.parametrize("name", ["split.csv", "seen_clips.csv"])
def test_clips_that_a_model_has_seen(tmp_path: Path, name: str) -> None:
    model = write_model(tmp_path / "model.safetensors")
    (tmp_path / "split.csv").write_text("subset,path,category,group\n")
    header = (tmp_path / "split.csv").read_text() if name == "split.csv" else "path,category\n"
    for damage in (LONG, "train\n"):
        (tmp_path / name).write_text(f"{header}{damage}")
        with pytest.raises(OptionsError, match=f"{name} is not .*: "):
            clips_seen_by(model)


def test_suspicious_labels(tmp_path: Path) -> None:
    path = tmp_path / "suspicious_labels.csv"
    path.write_text(f"path\n{LONG}\n")
    with pytest.raises(OptionsError, match=f"{path.name} is not a table of suspicious labels: "):
        read_suspicious(path)
    path.write_text(CUT)
    with pytest.raises(DataError, match=f"{path.name}: is not a table of suspicious labels"):
        read_suspicious(path)


@pytest.mark.parametrize("content", [f"{LONG}\n", f"path\n{LONG}\n", CUT, "path,level\nx\n"])
def test_decisions_of_a_review(tmp_path: Path, content: str) -> None:
    path = tmp_path / "labels.decisions.csv"
    assert read_decisions(path) == {}
    path.write_text(content)
    with pytest.raises(OptionsError, match=path.name):
        read_decisions(path)


@needs_pipes
@pytest.mark.timeout(60)
def test_a_named_pipe_in_place_of_decisions(tmp_path: Path) -> None:
    path = tmp_path / "labels.decisions.csv"
    os.mkfifo(path)
    with pytest.raises(OptionsError, match=f"{path.name} cannot be read"):
        read_decisions(path)


@pytest.mark.parametrize(
    "line", [f"{LONG},1,0.5", "x,1,0.5", ",1,0.5", "2,1,x", "-2,1,0.5", "1" * 5000 + ",1,1", "2,1"]
)
def test_rows_of_a_log_that_cannot_be_read_are_left_out(tmp_path: Path, line: str) -> None:
    log(tmp_path, 1, "0,3,0.75", line, "1,7,0.5")
    wanted = [{"epoch": 1, "train_loss": "0.75"}, {"epoch": 2, "train_loss": "0.5"}]
    assert read_history(tmp_path) == wanted


@needs_pipes
@pytest.mark.timeout(60)
def test_logs_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    log(tmp_path, 1, "0,3,0.75")
    log(tmp_path, 2).write_text("loss\n0.5\n")
    third = log(tmp_path, 3)
    third.unlink()
    os.mkfifo(third)
    log(tmp_path, 4).write_bytes(b"epoch,train_loss\n\xff,0.5\n1,0.25\n")
    wanted = [{"epoch": 1, "train_loss": "0.75"}, {"epoch": 2, "train_loss": "0.25"}]
    assert read_history(tmp_path) == wanted
