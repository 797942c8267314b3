"""The temporary folder of a server, and those of servers that were killed."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from sonotype.core.io import is_link

PREFIX = "sonotype-app-"
LOCK = "server.lock"
"""In a temporary folder: the server that uses it holds this lock, which ends with its process."""
NEW_SECONDS = 3600.0
"""A folder without a lock may be that of a server that starts, up to this age."""


@dataclass(frozen=True)
class Scratch:
    """A temporary folder that this process uses.

    Attributes:
        folder: holds the sounds of the server.
        lock: is held.
    """

    folder: Path
    lock: BaseFileLock

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.lock.release()
        shutil.rmtree(self.folder, ignore_errors=True)  # the lock itself, on Windows


def open_scratch() -> Scratch:
    """Make a temporary folder; folders that killed servers have left are removed in a thread.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = FileLock(folder / LOCK, thread_local=False)
        with suppress(Timeout, FileNotFoundError):
            lock.acquire(blocking=False)
            if (folder / LOCK).exists():
                break
            lock.release()
        # Another server took the new folder for one that was left.
    threading.Thread(target=remove_left, name="scratch", daemon=True).start()
    return Scratch(folder, lock)


def remove_left() -> None:
    """Remove the temporary folders of this user that no process uses."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):
            if _may_be_left(folder):
                _remove(folder)


def _may_be_left(folder: Path) -> bool:
    """Whether a folder is one of this user's servers; those that start are left out."""
    status = folder.lstat()
    own = os.name == "nt" or status.st_uid == os.getuid()
    if is_link(folder) or not folder.is_dir() or not own:
        return False
    return (folder / LOCK).exists() or time.time() - status.st_mtime > NEW_SECONDS


def _remove(folder: Path) -> None:
    """Remove a folder unless its server runs."""
    lock = FileLock(folder / LOCK, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return
    Scratch(folder, lock).close()
