"""The output folder of a detection job: it belongs to one job at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sonotype.core.errors import OptionsError, SonotypeError, is_memory_error
from sonotype.core.io import FORBIDDEN, FULL, remove_parts
from sonotype.core.text import listed
from sonotype.detect.ledger import Ledger

LEDGER, LOCK = "ledger.sqlite", "ledger.lock"


def without_result(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The recordings of which the folder of a job, which need not exist, has no result."""
    if not paths or not (folder / LEDGER).is_file():
        return list(paths)
    with output_errors(folder), Ledger(folder / LEDGER) as ledger:
        return [path for path in paths if ledger.entry(path) is None]


@contextmanager
def locked(folder: Path, ledger: str = LEDGER, command: str = "detect") -> Iterator[None]:
    """Create the folder, or check that it is of a job; no other job may use it meanwhile.

    The lock ends with the process, however that ends. Temporary files of a killed job are removed.

    Args:
        folder: of the outputs.
        ledger: name of the ledger of this kind of job.
        command: that writes into the folder, for messages.

    Raises:
        OptionsError: the folder has other files.
        SonotypeError: another job uses it.
    """
    if folder.exists() and not folder.is_dir():
        raise OptionsError(f"--out {folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in folder.iterdir()} - {LOCK}
    if names and ledger not in names:
        raise OptionsError(
            f"--out {folder}: holds files of another kind ({listed(sorted(names), 3)}); name a new "
            "or an empty folder"
        )
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise SonotypeError(
            f"--out {folder}: another sonotype {command} is writing into it; wait until it ends, "
            "or name another folder"
        ) from None
    try:
        remove_parts(folder)
        yield
    finally:
        lock.release()


@contextmanager
def output_errors(folder: Path, *, resumes: bool = True) -> Iterator[None]:
    """Turn errors of writing, such as a full disk or a missing permission, into a clear error.

    Args:
        folder: of the outputs.
        resumes: whether a second start of the command resumes the first one.

    Raises:
        SonotypeError: names the folder, the cause and the remedy.
    """
    try:
        yield
    except OSError as error:
        if is_memory_error(error):  # the folder is not to blame
            raise
        cause, at = error.strerror or str(error), error.filename
        where = f"{Path(at).name}: {cause}" if at and Path(at) != folder else cause
        if error.errno in FULL:
            advice = "free some space there, then start the same command again"
            advice += " to resume" if resumes else ""
        elif error.errno in FORBIDDEN:
            advice = "name a folder in which you may write, or allow writing there"
        else:
            advice = "name another folder"
        raise SonotypeError(f"--out {folder}: cannot be written ({where}); {advice}") from error
