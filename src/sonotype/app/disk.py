"""Moves of files that replace nothing, and errors of the disk in words for the person."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sonotype.app.clip_names import free_name, same_name
from sonotype.core.io import is_link, sync
from sonotype.serve.problems import ProblemError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
DISK_IS_FULL = "The disk is full, and nothing was stored. Free some space, then try again."
GONE = "The file or folder was removed or renamed meanwhile. Look at the list again."
NO_LINKS = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EMLINK, errno.EINVAL, errno.ENOSYS)
"""Errors of file systems without hard links."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into a problem that says what to do.

    Args:
        folder: of the project, for the message.

    Raises:
        ProblemError: ``storage-full``, ``read-only``, ``gone`` or ``not-possible``.
    """
    try:
        yield
    except OSError as error:
        raise problem_of(error, folder) from error


def problem_of(error: OSError, folder: Path) -> ProblemError:
    """What an error of the disk means for the person."""
    if error.errno in FULL:
        return ProblemError("storage-full", DISK_IS_FULL)
    if error.errno in FORBIDDEN:
        return ProblemError(
            "read-only",
            f"The folder {folder} cannot be written. Allow writing there, or start sonotype app "
            "with another --project.",
        )
    if isinstance(error, FileNotFoundError):
        return ProblemError("gone", GONE)
    cause = error.strerror or str(error)
    return ProblemError("not-possible", f"The folder {folder} cannot be changed: {cause}.")


def move_into(source: Path, folder: Path, name: str) -> Path:
    """Move a file into a folder of the same disk under a free name, complete or not at all.

    Args:
        source: the file.
        folder: where it comes to lie; it exists.
        name: ``(2)`` is added if the folder has it.

    Raises:
        OSError: of the disk.
    """
    while True:
        target = folder / free_name(name, os.listdir(folder))  # noqa: PTH208 (names are wanted)
        try:
            if os.name == "nt":  # replaces nothing there; an open file may have no second link
                source.rename(target)
                return target
            if is_link(source):
                raise OSError(errno.ENOTSUP, "a hard link would be one to the target")
            moved = source.stat()
            os.link(source, target)
        except FileExistsError:  # another program was faster
            continue
        except OSError as error:
            if os.name == "nt" or error.errno not in NO_LINKS:
                raise
        else:
            _unlink_source(source, target, moved)
            return target
        try:
            target.open("x").close()  # renaming replaces an empty file: this one
        except FileExistsError:
            continue
        try:
            source.replace(target)
        except OSError:
            with suppress(OSError):
                target.unlink()
            raise
        return target


def _unlink_source(source: Path, target: Path, moved: os.stat_result) -> None:
    """Remove the first one of two links to a file; if that is not possible, the second one.

    Args:
        source: the first link.
        target: the second link.
        moved: status of the file.
    """
    try:
        if os.path.samestat(source.stat(), moved):  # else another program has saved a new file
            source.unlink()
    except FileNotFoundError:  # another program has removed it, and the target has the sound
        pass
    except OSError:
        with suppress(OSError):
            if source.samefile(target):
                target.unlink()
        raise


def rename_folder(folder: Path, name: str) -> None:
    """Rename a folder; a folder of that name, even an empty or a new one, is never replaced.

    Raises:
        FileExistsError: there is one.
        OSError: of the disk.
    """
    target = folder.with_name(name)
    # Windows replaces nothing. A file system may take both names for one.
    if os.name == "nt" or same_name(folder.name, name):
        folder.rename(target)
        return
    target.mkdir()  # renaming replaces an empty folder: this one
    try:
        folder.rename(target)
    except OSError:
        with suppress(OSError):
            target.rmdir()
        raise


def write_out(path: Path, folder: Path) -> None:
    """Make sure that the bytes of a new file are on the disk.

    Args:
        path: the file.
        folder: of the project, for the message.

    Raises:
        ProblemError: as for :func:`writing`.
    """
    with writing(folder):
        sync(path)
