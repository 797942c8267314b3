"""The temporary folder of a server: uploads of a killed server do not stay."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from filelock import FileLock

from sonotype.app.scratch import PREFIX, open_scratch, remove_left
from sonotype.core import scratch
from sonotype.core.scratch import LOCK, NEW_SECONDS

SERVER = """
import time
from sonotype.app.scratch import open_scratch
own = open_scratch()
folder = own.folder
(folder / "upload.wav").write_bytes(b"sound")
print(folder, flush=True)
time.sleep(100)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_uploads_of_a_killed_server_are_removed_and_those_of_another_stay() -> None:
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        folder = Path(server.stdout.readline().strip())
        remove_left()
        assert (folder / "upload.wav").exists()
        server.kill()
    assert (folder / "upload.wav").exists()
    own = open_scratch()
    end = time.monotonic() + 20
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert not folder.exists()
    remove_left()
    assert own.folder.exists()
    own.close()
    own.close()
    assert not own.folder.exists()


def test_a_folder_without_a_lock_may_be_of_a_server_that_starts(temporary: Path) -> None:
    new, old, foreign = (temporary / f"{PREFIX}{name}" for name in ("new", "old", "foreign"))
    before = time.time() - 2 * NEW_SECONDS
    for folder in (new, old, foreign):
        folder.mkdir()
    (foreign / "notes.txt").touch()
    for folder in (old, foreign):
        os.utime(folder, (before, before))
    remove_left()
    assert (new.exists(), old.exists(), foreign.exists()) == (True, False, True)


def test_a_link_and_other_files_are_left_alone(temporary: Path) -> None:
    other = temporary / "other"
    other.mkdir()
    (other / LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(other, target_is_directory=True)
    (temporary / f"{PREFIX}file").touch()
    remove_left()
    assert (other / LOCK).exists()
    assert (temporary / f"{PREFIX}file").exists()


def test_a_folder_that_is_taken_for_a_left_one_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another server removes it between its making and its lock."""
    locks: list[FileLock] = []
    make = tempfile.mkdtemp

    def taken_at_first(*, prefix: str, dir: Path) -> str:  # noqa: A002
        folder = make(prefix=prefix, dir=dir)
        locks.append(FileLock(Path(folder) / LOCK))
        if len(locks) == 1:
            locks[0].acquire()
        return folder

    monkeypatch.setattr(scratch.tempfile, "mkdtemp", taken_at_first)
    own = open_scratch()
    assert own.folder == Path(locks[1].lock_file).parent
    own.close()
    locks[0].release()
