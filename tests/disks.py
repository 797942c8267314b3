"""A disk that is nearly full, and folders that refuse all writes, also those of root."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sonotype.cli.main import run
from sonotype.core.io import is_part

BLOCK = 4096
FULL = ("No space left on device", "no space left on the disk", "database or disk is full")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Mount a file system of this size on a new folder; skips the test where this is impossible."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def full_but_for(folder: Path, kilobytes: int) -> Iterator[None]:
    """Fill the disk of a folder, leaving some space, while the block runs."""
    ballast = folder / "ballast"
    system = os.statvfs(folder)
    size = system.f_bavail * system.f_frsize - 1024 * kilobytes
    try:
        with ballast.open("wb") as stream:
            for _ in range(size // BLOCK):
                stream.write(b"x" * BLOCK)
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Refuse to write below a folder, also to root; skips the test where this is impossible."""
    if sys.platform != "win32" and os.geteuid() != 0:
        places = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for place in places:
            place.chmod(0o555)
        try:
            yield folder
        finally:
            for place in places:
                place.chmod(0o755)
        return
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield folder
    finally:
        _unmount(folder)


def refused(capsys: pytest.CaptureFixture[str], place: Path, *words: object) -> str:
    """The text of the error of a command, which names the place and the cause."""
    capsys.readouterr()
    assert run(list(map(str, words))) not in (0, 130)
    text = capsys.readouterr().err
    assert "unexpected" not in text
    assert str(place) in text
    assert any(cause in text for cause in FULL), text
    return text


def no_part(folder: Path) -> bool:
    """Whether there is no temporary file or folder below a folder."""
    return not any(is_part(path.name) for path in folder.rglob("*"))


def _mount(*words: str) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount file systems")
    if subprocess.run(["mount", *words], capture_output=True).returncode:
        pytest.skip("this computer does not let root mount file systems")


def _unmount(folder: Path) -> None:
    # Lazily: a memory map of a failed run may not be collected yet.
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
