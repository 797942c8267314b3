"""The sounds of an archive: folders, patterns, tables of paths, and addresses of storages.

Listing opens no sound.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sonotype.archive.remote import WEB, address_of, filesystem, name_in, repeated
from sonotype.core.errors import AudioError, DataError, OptionsError
from sonotype.core.io import is_folder, is_link
from sonotype.core.prefetch import prefetch
from sonotype.data.file_names import Names
from sonotype.data.readers.csv_table import read_csv
from sonotype.data.readers.table import match_columns, read_parquet
from sonotype.data.readers.walk import BROKEN_LINK, passed_over, walk
from sonotype.data.records import is_sound
from sonotype.data.suffixes import COMMON_SOUNDS

TABLES = (".csv", ".parquet")
WILD = "*?["
THREADS = 8
"""Requests for the sizes of files behind web addresses at the same time."""
STAMPS = ("ETag", "etag", "md5Hash", "Last-Modified", "LastModified", "mtime", "updated", "created")
"""Keys of fsspec's descriptions of files that change with the file."""
TIMES = ("LastModified", "Last-Modified", "mtime", "updated", "created")


@dataclass(frozen=True)
class SoundFile:
    """A sound of an archive.

    Attributes:
        path: of this machine, or an address.
        size: in bytes; -1 if it is not known.
        stamp: another one means that the file has changed.
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
                f"{source}: contains no sound files ({kinds} or another known suffix); name "
                "another folder, pattern or address"
            )
        for file in files:
            found.setdefault(file.path, file)
    return found


def _listed(source: str | Path, retries: int) -> Iterator[SoundFile]:
    if address := address_of(source):
        try:
            return iter(repeated(lambda: list(_remote(address)), address, retries))
        except AudioError as error:
            raise OptionsError(str(error)) from error
    path = _local_path(source)
    if is_folder(path):
        return _in_folder(path)
    if path.suffix.lower() in TABLES and path.is_file():
        return _in_table(path, retries)
    if os.path.lexists(path):
        return iter([_local(path)])
    if any(sign in str(path) for sign in WILD):
        return _matching(str(path))
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
    except (OSError, ValueError):
        cause = BROKEN_LINK if is_link(path) else "does not exist"
        return SoundFile(str(path), -1, "missing", None, prefix, cause)
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    return SoundFile(str(path), status.st_size, stamp, status.st_mtime, prefix)


def _in_folder(folder: Path) -> Iterator[SoundFile]:
    found = walk(folder)
    for path in found.sounds():
        yield _local(path, folder)
    for path, cause in found.broken:
        file = _local(path, folder)
        yield SoundFile(file.path, file.size, file.stamp, file.modified, file.prefix, cause)


def _matching(pattern: str) -> Iterator[SoundFile]:
    """The sounds that match a pattern, and those in matching folders."""
    fixed = []
    for part in Path(pattern).parts:
        if any(sign in part for sign in WILD):
            break
        fixed.append(part)
    root = Path(*fixed)
    for name in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (keeps the text)
        path = Path(name)
        if is_folder(path):
            if "**" not in pattern and not passed_over(path.name):
                for below in walk(path).sounds():
                    yield _local(below, root)
        elif is_sound(path):
            yield _local(path, root)


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
        system, path = filesystem(address)
        try:
            info = repeated(lambda: system.info(path), address, retries)
        except Exception as error:
            return SoundFile(address, -1, "missing", cause=str(getattr(error, "cause", error)))
        return _described(address, info, "")

    if addresses:
        yield from prefetch(one, addresses, threads=THREADS, buffer_size=THREADS)


def _remote(address: str) -> Iterator[SoundFile]:
    """The sounds below an address, or those that match a pattern in it."""
    system, path = filesystem(address)
    if any(sign in path for sign in WILD):
        root = path[: min(path.find(sign) for sign in WILD if sign in path)].rpartition("/")[0]
        found = system.glob(path, detail=True)
    elif name_in(address).suffix and is_sound(Path(name_in(address).name)):
        root, found = path.rpartition("/")[0], {path: system.info(path)}
    else:
        root, found = path, system.find(path, detail=True)
    wanted = {
        name: info
        for name, info in sorted(found.items())
        if info.get("type") != "directory" and _is_wanted(system.unstrip_protocol(name))
    }
    incomplete = address.partition(":")[0] in WEB

    def one(name: str) -> SoundFile:
        info = system.info(name) if incomplete else wanted[name]
        below = name.removeprefix(root).strip("/")
        prefix = below.partition("/")[0] if "/" in below else ""
        return _described(system.unstrip_protocol(name), info, prefix)

    yield from prefetch(one, wanted, threads=THREADS, buffer_size=THREADS)


def _is_wanted(address: str) -> bool:
    name = name_in(address)
    return is_sound(Path(name.name)) and not any(map(passed_over, name.parts[1:-1]))


def _described(address: str, info: dict[str, Any], prefix: str) -> SoundFile:
    size = info.get("size")
    stamp = next((f"{key} {info[key]}" for key in STAMPS if info.get(key)), "")
    modified = next((_seconds(info[key]) for key in TIMES if info.get(key)), None)
    number = -1 if size is None else int(size)
    return SoundFile(address, number, f"{number} {stamp}", modified, prefix)


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
