"""Links and named pipes in folders of runs that someone else made."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from linked_folders import LINK, contents, make_victim
from training_data import FOLDED, SMALL, write_table, write_tones

from sonotype.app.worker import _train
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.experiments.cross_validation import crossval
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import read_plan
from sonotype.experiments.pipeline import train


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    return make_victim(tmp_path / "victim")


LOG = "training/log/part_1"


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that lacks its model, its scores and the mark of its end."""
    folder = tmp_path_factory.mktemp("unfinished")
    run = folder / "run"
    train(write_tones(folder / "tones", clips=4), run, **SMALL)
    for name in ("model.safetensors", "scores.json", "training/done.json"):
        (run / name).unlink()
    return run


@pytest.mark.parametrize(
    "name",
    [
        "training", "training/log", LOG, f"{LOG}/metrics.csv", f"{LOG}/new.yaml",
        "training/log/part_2", "training/last.ckpt", "training/new",
    ],
)  # fmt: skip
def test_runs(unfinished: Path, tmp_path: Path, victim: Path, name: str) -> None:
    run = Path(shutil.copytree(unfinished, tmp_path / "run"))
    path = run / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    # A folder with the log of another program, a file, or a file that does not exist yet.
    (victim / "metrics.csv").write_text("precious")
    places = {"metrics.csv": "thesis.txt", "last.ckpt": "thesis.txt", "new.yaml": "new.txt"}
    path.symlink_to(victim / places.get(path.name, ""))
    before = contents(victim)
    with pytest.raises(OptionsError, match=LINK):
        train(None, run, resume=True)
    assert contents(victim) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_named_pipe_for_a_checkpoint(unfinished: Path, tmp_path: Path, name: str) -> None:
    run = Path(shutil.copytree(unfinished, tmp_path / "run"))
    (run / "training" / name).unlink()
    os.mkfifo(run / "training" / name)
    with pytest.raises(SonotypeError, match=f"{name} cannot be read as a checkpoint") as caught:
        train(None, run, resume=True)
    assert str(run / "training") in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", "half", {"epoch": "last"}, [1, 2]])
@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_damaged_checkpoint(unfinished: Path, tmp_path: Path, name: str, content: object) -> None:
    run = Path(shutil.copytree(unfinished, tmp_path / "run"))
    path = run / "training" / name
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(SonotypeError, match=f"{name} cannot be read as a checkpoint"):
        train(None, run, resume=True)
    shutil.rmtree(run / "training")
    train(None, run, resume=True)
    assert (run / "scores.json").is_file()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"train_loss", b"train_\xff"),
        (b"val_loss", b"val_\xff"),
        (b"train_loss", b"train_$\\frac{$"),
        (b"\n0,", b"\n7,1e308,-1e308,1e308\n0,"),
        (b"\n", b"\n\xff,"),
        (b",", b"\x00"),
    ],
)
def test_a_damaged_log_does_not_end_a_training_without_its_results(
    unfinished: Path, tmp_path: Path, old: bytes, new: bytes
) -> None:
    run = Path(shutil.copytree(unfinished, tmp_path / "run"))
    log = run / LOG / "metrics.csv"
    assert old in log.read_bytes()
    log.write_bytes(log.read_bytes().replace(old, new))
    train(None, run, resume=True)
    assert (run / "scores.json").is_file()


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sounds, and a cross-validation of them that lacks the scores of its first fold."""
    folder = tmp_path_factory.mktemp("validated")
    tones = write_table(write_tones(folder / "tones", clips=4), folder / "tones.csv")
    crossval(tones, folder / "out", **FOLDED)
    (folder / "out" / "fold_1" / "scores.json").unlink()
    return tones, folder / "out"


@pytest.mark.parametrize("name", ["", "training", "log.txt", "failure.json"])
def test_folds(validated: tuple[Path, Path], tmp_path: Path, victim: Path, name: str) -> None:
    tones, finished = validated
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    path = out / "fold_1" / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.symlink_to(victim / ("thesis.txt" if "." in name else ""))
    before = contents(victim)
    with pytest.raises(OptionsError, match=LINK):
        crossval(tones, out, **FOLDED)
    assert contents(victim) == before


def test_a_cross_validation_in_a_link_of_the_user(
    validated: tuple[Path, Path], tmp_path: Path
) -> None:
    tones, finished = validated
    shutil.copytree(finished, tmp_path / "disk")
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    crossval(tones, tmp_path / "out", **FOLDED)
    assert (tmp_path / "disk" / "fold_1" / "scores.json").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_for_the_log_of_a_fold(validated: tuple[Path, Path], tmp_path: Path) -> None:
    tones, finished = validated
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    (out / "fold_1" / "log.txt").unlink()
    os.mkfifo(out / "fold_1" / "log.txt")
    with pytest.raises(SonotypeError, match=r"log\.txt"):
        crossval(tones, out, **FOLDED)


@pytest.mark.parametrize("place", ["runs", "runs/a", "runs/a/fold_1_seed_0"])
def test_studies(tmp_path: Path, victim: Path, place: str) -> None:
    table = write_table(write_tones(tmp_path / "tones", clips=4), tmp_path / "tones.csv")
    plan, out = tmp_path / "study.toml", tmp_path / "out"
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in FOLDED.items())
    plan.write_text(f"folds = [1, 2]\n[options]\n{settings}\n[rows.a]")
    (out / place).parent.mkdir(parents=True)
    (out / place).symlink_to(victim)
    before = contents(victim)
    with pytest.raises(OptionsError, match=LINK):
        run_study(read_plan(plan), table, out)
    assert contents(victim) == before


def test_a_loop_of_links_is_an_error(tmp_path: Path) -> None:
    tones = write_tones(tmp_path / "tones", clips=4)
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with pytest.raises(SonotypeError, match="one"):
        train(tones, tmp_path / "one", **SMALL)


def test_the_page_keeps_a_training_whose_folder_has_a_link(tmp_path: Path, victim: Path) -> None:
    run = tmp_path / "run"
    train(write_tones(tmp_path / "tones", clips=4), run, **SMALL)
    (run / "scores.json").unlink()
    (run / "training" / "last.ckpt").write_text("hours of training")
    (run / "notes.txt").symlink_to(victim / "thesis.txt")
    with pytest.raises(OptionsError, match=LINK):
        _train({"resume": True, "data": str(tmp_path), "options": {}}, run, print)
    assert (run / "training" / "last.ckpt").exists()
