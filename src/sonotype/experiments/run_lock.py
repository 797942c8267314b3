"""A run folder belongs to one process at a time, and keeps no temporary file of a killed one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from sonotype.core.errors import SonotypeError
from sonotype.core.io import refuse_links, remove_parts

LOCK = "run.lock"
"""The process that writes a run holds this lock, which ends with the process. The file is removed
while the lock is held: who has opened the removed file does not get the lock."""


@contextmanager
def locked_run(folder: Path) -> Iterator[None]:
    """Create the folder, and lock it; temporary files of a killed process are removed.

    On a file system without locks the folder is not locked, and temporary files stay.

    Raises:
        SonotypeError: another process writes this run, or the folder cannot be written.
        OptionsError: there are links in the folder.
    """
    refuse_links_of_run(Path(os.path.realpath(folder)))  # the user may have named a link
    lock = FileLock(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
        remove_parts(folder)
    except Timeout:
        raise SonotypeError(
            f"{folder}: another process is writing this run; wait until it ends, or name another "
            "--out"
        ) from None
    except OSError as error:
        cause = error.strerror or str(error)
        raise SonotypeError(
            f"{folder}: cannot be written ({cause}); allow writing there, or name another --out"
        ) from error
    except NotImplementedError:  # filelock: the file system has no locks
        pass
    try:
        yield
    finally:
        with suppress(OSError):  # Windows: an open file stays until it is released
            (folder / LOCK).unlink()
        lock.release()


LEVELS = 4
"""Of the folders and files of a run; the deepest is ``training/log/part_1/metrics.csv``."""


def refuse_links_of_run(folder: Path) -> None:
    """Raise a ``LinkError`` if a run folder is a link, or there are links in it."""
    refuse_links(folder, LEVELS)
