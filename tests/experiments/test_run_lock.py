"""A run folder belongs to one process at a time; what a killed one left does not stay."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock
from training_data import SMALL

import sonotype
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.experiments.run_lock import LOCK, locked_run

PART = f".config.json.{'0123456789abcdef' * 2}.part"


def test_the_second_of_two_processes_is_refused_and_the_first_is_not_disturbed(
    tones: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with FileLock(run / LOCK), pytest.raises(SonotypeError, match=r"run: another process"):
        sonotype.train(tones, run, **SMALL)
    assert sorted(path.name for path in run.iterdir()) == [LOCK]
    sonotype.train(tones, run, **SMALL)  # the lock of a killed process is free
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
