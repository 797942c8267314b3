"""Atomic file writes and digests of files.

Under its final name a file is complete and on the disk, or it does not exist.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO
from uuid import uuid4

from sonotype.core.errors import LinkError, OptionsError

PART = ".part"
NAME_CHARACTERS = 50
"""Of the file's name in its temporary name; file systems limit names to 255 bytes."""

_PART_NAME = re.compile(rf"\..*\.[0-9a-f]{{32}}{re.escape(PART)}", re.DOTALL)

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk, and of a full quota of a user."""
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Errors of places where this user may not write."""
NO_FOLDER_SYNC = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
"""Errors of file systems that cannot sync a folder."""


def stays_inside(name: str) -> bool:
    """Whether a relative path with ``/`` names a place inside the folder that it is relative to."""
    parts = name.split("/")
    apart = os.name == "nt" and not {"\\", ":"}.isdisjoint(name)
    return all(parts) and {".", ".."}.isdisjoint(parts) and "\0" not in name and not apart


def refuse_link(path: Path) -> None:
    """Raise a ``LinkError`` if a file or folder of this program is a link to another place.

    A folder that someone else made could otherwise have files of its reader changed.
    """
    if is_link(path):
        raise LinkError(
            f"{path} is a link to another place, which sonotype does not change; replace it by "
            "what it refers to, or name another folder"
        )


def refuse_links(folder: Path, levels: int = 1) -> None:
    """:func:`refuse_link` for a folder and for all that is in it.

    Args:
        folder: may be missing.
        levels: of folders whose files and folders are looked at.
    """
    refuse_link(folder)
    if not is_folder(folder) or not levels:
        return
    with os.scandir(folder) as entries:  # far fewer questions to the system than for each path
        for entry in entries:
            if entry.is_symlink() or entry.is_dir():
                refuse_links(folder / entry.name, levels - 1)


def file_inside(folder: Path, name: str) -> Path:
    """The path of a file of this program in a folder; the folder itself may be a link.

    Args:
        folder: that contains the file.
        name: relative, with ``/``.

    Raises:
        LinkError: a folder between both is a link.
    """
    *between, last = name.split("/")
    for part in between:
        folder = folder / part
        refuse_link(folder)
    return folder / last


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; also of a name that is too long or in a closed folder.

    ``Path.is_dir`` raises an error for these.
    """
    return os.path.isdir(path)  # noqa: PTH112


def is_link(path: Path) -> bool:
    """Whether a path is a link; also of a name that is too long or in a closed folder.

    ``Path.is_symlink`` raises an error for these.
    """
    return os.path.islink(path) or _is_junction(path)  # noqa: PTH114


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _is_junction(path: Path) -> bool:
    """Whether a path is a junction, the link to a folder of Windows."""
    return sys.version_info >= (3, 12) and os.path.isjunction(path)


def read_saved(path: Path) -> bytes:
    """The content of a file that a program wrote earlier.

    Raises:
        OSError: it cannot be read, or is no regular file: reading a named pipe would wait for a
            writer, possibly forever.
    """
    with open_saved(path) as stream:
        return stream.read()


def open_saved(path: Path) -> BinaryIO:
    """The file of :func:`read_saved`, open for reading; with the same errors."""
    stream = open(path, "rb", opener=open_without_waiting)  # noqa: SIM115 (has an opener)
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    stream.close()
    raise OSError(errno.EINVAL, "is no regular file", str(path))


def open_to_append(path: Path) -> TextIO:
    """A text file, open for appending.

    Raises:
        OSError: it cannot be written, or is a named pipe that no program reads.
    """
    return open(path, "a", encoding="utf-8", opener=open_without_waiting)


def open_without_waiting(path: str, flags: int) -> int:
    """For ``open``: a named pipe does not wait for the program at its other end."""
    flag = getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags | flag, 0o666)
    except BlockingIOError:  # a program has a lease of the file, and gives it up when asked
        if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 (for an opener)
            return os.open(path, flags, 0o666)
        raise


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; on success it replaces ``path``.

    The temporary name is hidden and unique, so threads and processes may write one file at the
    same time: the last to finish wins. If the block fails, an older file stays as it was.
    After a kill the temporary file may remain; nothing reads it.

    Raises:
        OSError: the file cannot be written there, or the block wrote nothing.
    """
    part = path.with_name(f".{path.name[:NAME_CHARACTERS]}.{uuid4().hex}{PART}")
    try:
        # Some writers ignore the umask; an empty file shows which mode it gives.
        part.touch(exist_ok=False)
        mode = part.stat().st_mode
        part.unlink()
        yield part
        if part.stat().st_mode != mode:
            part.chmod(mode)
        rename_synced(part, path)
    finally:
        # If the folder itself fails, this error must not hide the first error.
        with contextlib.suppress(OSError):
            part.unlink()


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success its files are those of ``folder``.

    The temporary folder is hidden. If the block fails, there is no new file in ``folder``. After a
    kill the temporary folder may remain; nothing reads it, and :func:`is_new_or_empty` passes it
    over.

    Args:
        folder: new, or empty; a new one gets its name when it is complete. Missing folders above
            are created.

    Raises:
        OSError: the folder cannot be written, or another program wrote into it.
    """
    is_new = not is_folder(folder)
    parent = folder.parent if is_new else folder
    parent.mkdir(parents=True, exist_ok=True)
    part = parent / f".{folder.name[:NAME_CHARACTERS]}.{uuid4().hex}{PART}"
    try:
        part.mkdir()
        yield part
        if is_new:
            _rename(part, folder)
        else:
            _move_content(part, folder)
        _sync_folder(parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _move_content(part: Path, folder: Path) -> None:
    """Move all files of one folder into another, or none."""
    moved: list[str] = []
    try:
        for path in sorted(part.iterdir()):
            _rename(path, folder / path.name)
            moved.append(path.name)
    except OSError:
        for name in moved:
            with contextlib.suppress(OSError):
                (folder / name).rename(part / name)
        raise


def _rename(path: Path, new: Path) -> None:
    """Rename a file or folder; wait for programs that examine new files in Windows."""
    for pause in (0.1, 0.3, 0.6) if os.name == "nt" else ():
        try:
            path.rename(new)
        except PermissionError:
            time.sleep(pause)
        else:
            return
    path.rename(new)


def is_new_or_empty(folder: Path) -> bool:
    """Whether nothing is at a path, or a folder without files other than temporary ones."""
    if not os.path.lexists(folder):
        return True
    return is_folder(folder) and all(is_part(path.name) for path in folder.iterdir())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As :func:`atomic`, for a path that the user chose. Missing folders are created.

    Raises:
        OptionsError: the file cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            yield part
    except OSError as error:
        advice = "choose another place"
        if error.errno in FULL:
            advice = "free some space there, then start the same command again, or " + advice
        raise OptionsError(
            f"{path} cannot be written ({error.strerror or error}): {advice}"
        ) from error


def is_part(name: str) -> bool:
    """Whether a file name is one of the temporary names of :func:`atomic`."""
    return _PART_NAME.fullmatch(name) is not None


def remove_parts(folder: Path) -> None:
    """Remove the temporary files of :func:`atomic` that killed processes left in a folder.

    No other process may write into the folder or into the folders in it.
    """
    for root, _, names in os.walk(folder):
        for name in names:
            if is_part(name):
                Path(root, name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def rename_synced(part: Path, path: Path) -> None:
    """Write a file to the disk and give it its final name.

    Without the sync a power cut could leave the name without the content.
    """
    sync(part)
    part.replace(path)
    _sync_folder(path.parent)


def sync(path: Path) -> None:
    """Write a file to the disk."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, where the system can."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
