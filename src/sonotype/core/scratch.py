"""Temporary folders that one process uses; those of killed processes are found and removed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from sonotype.core.io import is_link

LOCK = "in_use.lock"
"""In a temporary folder: the process that uses it holds this lock, which ends with the process."""
NEW_SECONDS = 3600.0
"""An empty folder without a lock may be that of a process that starts, up to this age."""


@dataclass(frozen=True)
class Scratch:
    """A temporary folder that this process uses.

    Attributes:
        folder: holds the temporary files.
        lock: is held.
    """

    folder: Path
    lock: BaseFileLock

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)  # the lock itself, on Windows


def open_scratch(parent: Path, prefix: str) -> Scratch:
    """Make a temporary folder.

    Args:
        parent: the folder to make it in.
        prefix: of its name; all temporary folders of one purpose have the same.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        lock = FileLock(folder / LOCK, thread_local=False)
        with suppress(Timeout, FileNotFoundError):
            lock.acquire(blocking=False)
            if (folder / LOCK).exists():
                return Scratch(folder, lock)
            lock.release()
        # Another process took the new folder for one that was left.


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A temporary folder; those of this purpose that killed processes left there are removed.

    Raises:
        OSError: it cannot be made.
    """
    remove_left(parent, prefix)
    own = open_scratch(parent, prefix)
    try:
        yield own.folder
    finally:
        own.close()


def remove_left(parent: Path, prefix: str) -> None:
    """Remove the temporary folders of this user and purpose that no process uses."""
    for name in os.listdir(parent):  # noqa: PTH208 - a prefix is no pattern
        if name.startswith(prefix):
            with suppress(OSError):
                if _may_be_left(parent / name):
                    _remove(parent / name)


def _may_be_left(folder: Path) -> bool:
    """Whether a folder is one of this user's processes; those that start are left out.

    A folder of another program with such a name has files, and no lock.
    """
    status = folder.lstat()
    own = os.name == "nt" or status.st_uid == os.getuid()
    if is_link(folder) or not folder.is_dir() or not own:
        return False
    if (folder / LOCK).exists():
        return True
    return time.time() - status.st_mtime > NEW_SECONDS and not any(folder.iterdir())


def _remove(folder: Path) -> None:
    """Remove a folder unless its process runs."""
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return
    Scratch(folder, lock).close()
