"""A run folder belongs to one process at a time; what a killed one left does not stay."""

from __future__ import annotations

import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file
from training_data import SMALL

import sonotype
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.experiments.run_lock import LOCK, locked_run
from sonotype.experiments.runner import processes

PART = f".config.json.{'0123456789abcdef' * 2}.part"


def test_the_second_of_two_processes_is_refused_and_the_first_is_not_disturbed(
    tones: Path, tmp_path: Path
) -> None:
    """The first process stands in the middle of its training, while this one tries to train."""
    run, context = tmp_path / "run", processes()
    begun, refused = context.Event(), context.Event()
    first = context.Process(target=train_slowly, args=(str(tones), str(run), begun, refused))
    first.start()
    try:
        assert begun.wait(120)
        before = content(run)
        with pytest.raises(SonotypeError, match="run already holds a run"):
            sonotype.train(tones, run, **SMALL)
        with pytest.raises(SonotypeError, match="run: another process"):
            sonotype.train(None, run, resume=True)
        assert content(run) == before
        assert first.is_alive()
        refused.set()
        first.join(120)
        assert first.exitcode == 0
    finally:
        refused.set()
        first.kill()
        first.join()
    sonotype.train(tones, tmp_path / "alone", **SMALL)
    found, expected = (load_file(tmp_path / n / "model.safetensors") for n in ("run", "alone"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert (run / "scores.json").read_bytes() == (tmp_path / "alone/scores.json").read_bytes()


def train_slowly(tones: str, run: str, begun: Event, refused: Event) -> None:
    """Train; wait after the first epoch until another process was refused."""

    def on_message(line: str) -> None:
        if line.startswith("epoch   1/"):
            begun.set()
            assert refused.wait(120)

    sonotype.train(tones, run, on_message=on_message, **SMALL)


def content(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_lock_of_a_killed_process_is_free(tones: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with FileLock(run / LOCK), pytest.raises(SonotypeError, match=r"run: another process"):
        sonotype.train(tones, run, **SMALL)
    assert sorted(path.name for path in run.iterdir()) == [LOCK]
    sonotype.train(tones, run, **SMALL)
    assert (run / "scores.json").exists()


def test_a_run_that_was_killed_before_its_config_starts_again(tones: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in (PART, LOCK):
        (run / name).touch()
    sonotype.train(tones, run, **SMALL)
    assert not (run / PART).exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.part").touch()
    with pytest.raises(OptionsError, match="is not empty"):
        sonotype.train(tones, tmp_path / "other", **SMALL)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SonotypeError, match=r"file/run: cannot be written \(Not a directory"),
        locked_run(tmp_path / "file" / "run"),
    ):
        pass


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object, **__: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    with locked_run(tmp_path):
        (tmp_path / "model").touch()
    assert os.listdir(tmp_path) == ["model"]  # noqa: PTH208
