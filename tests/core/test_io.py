"""Atomic writes: complete and on the disk under the final name, or not there."""

from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sonotype.core.errors import OptionsError
from sonotype.core.io import atomic, atomic_folder, open_saved, read_saved, replacing


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    for text in ("first", "second"):
        with atomic(path) as part:
            assert part.parent == tmp_path
            assert part.name.startswith(".a.txt.")
            part.write_text(text)
        assert path.read_text() == text
        assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), OSError("full")])
def test_a_failing_block_keeps_the_older_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic(path) as part:
        part.write_text("half")
        raise error
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


@pytest.mark.parametrize("call", ["sonotype.core.io.os.fsync", "pathlib.Path.replace"])
def test_a_failing_disk_keeps_the_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(call, fail)
        with pytest.raises(OSError, match="No space"), atomic(path) as part:
            part.write_text("new")
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_a_block_that_writes_nothing_keeps_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic(path):
        pass
    assert (path.read_text(), names(tmp_path)) == ("old", ["a.txt"])


def test_content_is_synced_before_the_rename_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace = Path.replace

    def sync(handle: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")

    def rename(part: Path, path: Path) -> Path:
        steps.append("rename")
        return replace(part, path)

    monkeypatch.setattr("sonotype.core.io.os.fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    with atomic(tmp_path / "a.txt") as part:
        part.write_text("new")
    assert steps == ["file", "rename", "folder"]


def test_threads_that_write_one_file_do_not_collide(tmp_path: Path) -> None:
    path, together = tmp_path / "a.txt", threading.Barrier(8)

    def write(number: int) -> None:
        with atomic(path) as part:
            together.wait(10)
            part.write_text(str(number) * 1000)
            together.wait(10)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    text = path.read_text()
    assert text == text[0] * 1000
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="needs a umask")
@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_the_mode_is_that_of_the_umask_whatever_the_writer_does(tmp_path: Path, umask: int) -> None:
    import torch
    from safetensors.torch import save_file

    before = os.umask(umask)
    try:
        with atomic(tmp_path / "plain") as part:
            part.write_text("x")
        with atomic(tmp_path / "tensors") as part:
            save_file({"a": torch.zeros(1)}, part)  # which gives its files to their owner alone
    finally:
        os.umask(before)
    for name in ("plain", "tensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_kill_leaves_a_hidden_file_that_nothing_reads(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, pathlib, signal, sys; from sonotype.core.io import atomic\n"
        "with atomic(pathlib.Path(sys.argv[1])) as part:\n"
        "    part.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)])
    assert done.returncode == -signal.SIGKILL
    left, _ = names(tmp_path)
    assert left.startswith(".a.txt.")
    assert path.read_text() == "old"
    with atomic(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("name", ["n" * 250, "é" * 120, "a[1]*?.txt"])
def test_long_and_odd_names(tmp_path: Path, name: str) -> None:
    with atomic(tmp_path / name) as part:
        part.write_text("new")
    assert names(tmp_path) == [name]


def test_missing_folders_are_created_for_outputs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with replacing(path) as part:
        part.write_text("new")
    assert (path.read_text(), names(path.parent)) == ("new", ["a.txt"])


@pytest.mark.parametrize("name", ["file/a.txt", "folder"])
def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    cause = re.escape(str(tmp_path / name)) + r" cannot be written \(.+\): choose another place"
    with pytest.raises(OptionsError, match=cause), replacing(tmp_path / name) as part:
        part.write_text("never")
    assert names(tmp_path) == ["file", "folder"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "none" / "a.txt") as part:
        part.write_text("new")
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.timeout(30)
def test_a_named_pipe_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"content")
    for read in (read_saved, open_saved):
        with pytest.raises(OSError, match="is no regular file") as caught:
            read(tmp_path / "pipe")
        assert caught.value.filename == str(tmp_path / "pipe")
        with pytest.raises(IsADirectoryError):
            read(tmp_path)
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "missing")
    assert read_saved(tmp_path / "file") == b"content"
    with open_saved(tmp_path / "file") as stream:
        assert stream.read() == b"content"


@pytest.mark.skipif(sys.platform != "linux", reason="leases are of Linux")
def test_a_saved_file_that_another_process_has_leased(tmp_path: Path) -> None:
    """A file server gives up its lease when another program opens the file."""
    path = tmp_path / "split.csv"
    path.write_text("x")
    holder = (
        "import fcntl, os, signal, sys, time\n"
        "signal.signal(signal.SIGIO, lambda *_: None)\n"
        "file = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('held', flush=True)\n"
        "time.sleep(100)\n"
        "os.close(file)\n"
        "time.sleep(100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "held\n":
                pytest.skip("this file system has no leases")
            threading.Timer(1.0, process.kill).start()
            assert read_saved(path) == b"x"
        finally:
            process.kill()


def test_files_that_were_moved_are_moved_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, out = Path.rename, tmp_path / "out"
    out.mkdir()

    def fail(self: Path, target: Path) -> Path:
        if self.name == "b" and self.parent != out:
            raise OSError(errno.ENOSPC, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError), atomic_folder(out) as part:
        for name in "abc":
            (part / name).touch()
    assert list(out.iterdir()) == []
