"""The output folder of a detection job: it belongs to one job at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import remove_parts
from sonotype.core.text import listed

LEDGER, LOCK = "ledger.sqlite", "ledger.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create the folder, or check that it is of a job; no other job may use it meanwhile.

    The lock ends with the process, however that ends. Temporary files of a killed job are removed.

    Raises:
        OptionsError: the folder has other files.
        SonotypeError: another job uses it.
    """
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--out {folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in folder.iterdir()} - {LOCK}
    if names and LEDGER not in names:
        raise OptionsError(
            f"--out {folder}: holds files of another kind ({listed(sorted(names), 3)}); name a new "
            "or an empty folder"
        )
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise SonotypeError(
            f"--out {folder}: another sonotype detect is writing into it; wait until it ends, or "
            "name another folder"
        ) from None
    try:
        remove_parts(folder)
        yield
    finally:
        lock.release()


@contextmanager
def output_errors(folder: Path) -> Iterator[None]:
    """Turn errors of writing, such as a full disk, into a clear error.

    Raises:
        SonotypeError: names the folder, the cause and the remedy.
    """
    try:
        yield
    except OSError as error:
        raise SonotypeError(
            f"--out {folder}: cannot be written ({error.strerror or error}); free some space there "
            "or allow writing, then start the same command again: it goes on, or name another "
            "folder"
        ) from error
