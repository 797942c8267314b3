"""The sounds of an archive: folders, patterns, tables of paths, and addresses of storages.

Listing opens no sound.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sonotype.archive.remote import address_of, is_missing, name_in
from sonotype.archive.remote_listing import THREADS, Entry, describe, list_address
from sonotype.core.errors import AudioError, DataError, OptionsError
from sonotype.core.io import is_folder, is_link
from sonotype.core.prefetch import prefetch
from sonotype.data.file_names import Names
from sonotype.data.readers.csv_table import read_csv
from sonotype.data.readers.table import match_columns, read_parquet
from sonotype.data.readers.walk import BROKEN_LINK, in_order, passed_over, walk
from sonotype.data.records import is_sound
from sonotype.data.suffixes import COMMON_SOUNDS

TABLES = (".csv", ".parquet")
WILD = "*?["
MISSING, UNKNOWN = "missing", "unknown"
"""Stamps of a file that does not exist, and of one that cannot be reached now: it may have changed,
or vanished, or neither."""
_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""Errors of paths that lead to no file."""
STAMPS = ("ETag", "etag", "md5Hash", "Last-Modified", "LastModified", "mtime", "updated", "created")
"""Keys of fsspec's descriptions of files that change with the file."""
TIMES = ("LastModified", "Last-Modified", "mtime", "updated", "created")


@dataclass(frozen=True)
class SoundFile:
    """A sound of an archive, or a folder that cannot be listed now, with the stamp ``UNKNOWN``.

    Attributes:
        path: of this machine, or an address.
        size: in bytes; -1 if it is not known.
        stamp: another one means that the file has changed; ``MISSING`` or ``UNKNOWN`` if there is
            no description of the file.
        modified: time of the last change in seconds since 1970; ``None`` if it is not known.
        prefix: first folder below the source in which it lies; empty if there is none.
        cause: why it is known to be unreadable; empty if that is not known.
    """

    path: str
    size: int
    stamp: str
    modified: float | None = None
    prefix: str = ""
    cause: str = ""

    @property
    def name(self) -> PurePosixPath:
        """The path for suffixes and names."""
        return name_in(self.path) if address_of(self.path) else PurePosixPath(Path(self.path))


def list_sources(sources: Sequence[str | Path], retries: int = 2) -> dict[str, SoundFile]:
    """All sounds by path, each once, in the order of the sources.

    A file of this machine that has several names, as by links, has the first one. A folder that
    cannot be listed now is among the sounds, see :func:`below_unlisted`.

    Raises:
        DataError: a table with invalid lines.
        MissingExtraError: the part of fsspec for an address is not installed.
        OptionsError: a source without sounds, or one that does not exist.
    """
    found: dict[str, SoundFile] = {}
    for source in sources:
        files = list(_listed(source, retries))
        if not files:
            kinds = ", ".join(COMMON_SOUNDS)
            raise OptionsError(
                f"{address_of(source) or source}: contains no sound files ({kinds} or another "
                "known suffix); name another folder, pattern or address"
            )
        for file in files:
            found.setdefault(file.path, file)
    return _each_once(found)


def below_unlisted(files: Mapping[str, SoundFile]) -> Callable[[str], bool]:
    """A function that says of a path whether it lies below a folder that could not be listed.

    The sounds there are not in ``files``, but may exist.
    """
    unknown = {path for path, file in files.items() if file.stamp == UNKNOWN}

    def is_below(path: str) -> bool:
        return bool(unknown) and any(folder in unknown for folder in _folders(path))

    return is_below


def _folders(path: str) -> Iterator[str]:
    """The folders above a path or an address."""
    if address_of(path):
        while "/" in path:
            path = path.rpartition("/")[0]
            yield path
    else:
        yield from map(str, Path(path).parents)


def _each_once(found: dict[str, SoundFile]) -> dict[str, SoundFile]:
    """The sounds without further names of the same files."""
    local = {path for path in found if not address_of(path) and "\0" not in path}
    first = set(map(str, in_order(Path(path) for path in found if path in local)))
    return {path: file for path, file in found.items() if path in first or path not in local}


def _listed(source: str | Path, retries: int) -> Iterator[SoundFile]:
    if address := address_of(source):
        try:
            return map(_described, list_address(address, retries))
        except AudioError as error:
            raise OptionsError(str(error)) from error
    path = _local_path(source)
    if is_folder(path):
        return _in_folder(path, path)
    file, exists = _local(path), os.path.lexists(path)
    if path.suffix.lower() in TABLES:
        if file.stamp == UNKNOWN:
            raise OptionsError(f"{source}: {file.cause}")
        if os.path.isfile(path):  # noqa: PTH113 (raises nothing)
            return _in_table(path, retries)
    if not exists and any(sign in str(path) for sign in WILD):
        return _matching(path)
    if exists or file.stamp != MISSING:
        return iter([file])
    raise OptionsError(f"{source}: no such file or folder; check the spelling")


def _local_path(source: str | Path) -> Path:
    text = str(source)
    if text.lower().startswith("file:/"):
        text = url2pathname(urlsplit(text.replace("file:/", "file:///", 1)).path)
        text = "/" + text.lstrip("/") if os.name != "nt" else text
    return Path(text)


def _local(path: Path, root: Path | None = None) -> SoundFile:
    """A file of this machine as it is now."""
    prefix = ""
    if root is not None and len(parts := path.relative_to(root).parts) > 1:
        prefix = parts[0]
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno not in _ABSENT:
            cause = f"cannot be opened ({error.strerror or error})"
            return SoundFile(str(path), -1, UNKNOWN, None, prefix, cause)
        cause = BROKEN_LINK if is_link(path) else "does not exist"
        return SoundFile(str(path), -1, MISSING, None, prefix, cause)
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    return SoundFile(str(path), status.st_size, stamp, status.st_mtime, prefix)


def _in_folder(folder: Path, root: Path) -> Iterator[SoundFile]:
    found = walk(folder)
    for path in found.sounds():
        yield _local(path, root)
    for path, cause in found.broken:
        file = replace(_local(path, root), cause=cause)
        unlisted = path in found.files and file.stamp != MISSING
        yield replace(file, size=-1, stamp=UNKNOWN, modified=None) if unlisted else file


def _matching(pattern: Path) -> Iterator[SoundFile]:
    """The sounds that match a pattern, and those in matching folders."""
    wild = [any(sign in part for sign in WILD) for part in pattern.parts]
    fixed = wild.index(True)
    root = Path(*pattern.parts[:fixed])
    for name in sorted(glob.glob(str(pattern), recursive=True)):  # noqa: PTH207 (keeps the text)
        path = Path(name)
        if is_folder(path):
            if "**" not in str(pattern) and not passed_over(path.name):
                yield from _in_folder(path, root)
        elif is_sound(path):
            yield _local(path, root)
    for end in range(fixed, len(pattern.parts)):
        yield from _unlisted(Path(*pattern.parts[:end]), root)


def _unlisted(pattern: Path, root: Path) -> Iterator[SoundFile]:
    """The folders that match a pattern and cannot be listed; ``glob`` passes over them."""
    for name in glob.iglob(os.path.join(pattern, ""), recursive=True):  # noqa: PTH118, PTH207
        try:
            os.scandir(name).close()
        except OSError as error:
            if error.errno not in _ABSENT:
                file = _local(Path(name), root)
                cause = f"cannot be opened ({error.strerror or error})"
                yield SoundFile(file.path, -1, UNKNOWN, None, file.prefix, cause)


def _in_table(table: Path, retries: int) -> Iterator[SoundFile]:
    """The files in the column of paths; relative ones are relative to the table."""
    content = read_parquet(table) if table.suffix.lower() == ".parquet" else read_csv(table)
    if content.issues:
        raise DataError(table, content.issues)
    columns, causes = match_columns(content.header, {}, ignore=True, required=("path",))
    if "path" not in columns:
        raise OptionsError(f"{table}: {'; '.join(causes) or 'no column of paths'}")
    names, addresses = Names(), []
    for record in content.records:
        text = record.cells[columns["path"]].strip()
        if address := address_of(text):
            addresses.append(address)
        elif text:
            yield _local(names.find(table.parent / text))

    def one(address: str) -> SoundFile:
        return _described(describe(address, "", retries))

    if addresses:
        yield from prefetch(one, addresses, threads=THREADS, buffer_size=THREADS)


def _described(entry: Entry) -> SoundFile:
    """A file behind an address."""
    if entry.error is not None:
        stamp = MISSING if is_missing(entry.error) else UNKNOWN
        return SoundFile(entry.address, -1, stamp, None, entry.prefix, entry.error.cause)
    info = entry.info
    size = info.get("size")
    stamp = next((f"{key} {info[key]}" for key in STAMPS if info.get(key)), "")
    modified = next((_seconds(info[key]) for key in TIMES if info.get(key)), None)
    number = -1 if size is None else int(size)
    return SoundFile(entry.address, number, f"{number} {stamp}", modified, entry.prefix)


def _seconds(value: Any) -> float | None:
    """A time in seconds since 1970, from the kinds of values that storages give."""
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        from email.utils import parsedate_to_datetime

        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            try:
                value = parsedate_to_datetime(value)
            except ValueError:
                return None
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return aware.timestamp()
    return None
