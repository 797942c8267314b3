"""The sounds behind an address: one file, those below a folder, or those that match a pattern."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from sonotype.archive.remote import filesystem, is_missing, is_web, name_in, repeated
from sonotype.core.errors import AudioError
from sonotype.core.prefetch import prefetch
from sonotype.data.readers.walk import passed_over
from sonotype.data.records import is_sound

SIGNS, WEB_SIGNS = "*?[", "*["
"""Of patterns; in web addresses a question mark begins the query."""
THREADS = 8
"""Requests for the sizes of files behind web addresses at the same time."""


class Entry(NamedTuple):
    """A sound, or a folder that cannot be listed.

    Attributes:
        address: of the sound, or of the folder without a slash at its end.
        prefix: first folder below the source in which it lies; empty if there is none.
        info: fsspec's description.
        error: why there is no description; ``None`` if there is one.
    """

    address: str
    prefix: str
    info: dict[str, Any]
    error: AudioError | None = None


def list_address(address: str, retries: int) -> list[Entry]:
    """The sounds at an address.

    Raises:
        AudioError: there is no such file; the folder cannot be listed.
        MissingExtraError: the part of fsspec for the address is not installed.
        OptionsError: an unknown kind of address.
    """
    system, path = filesystem(address)
    signs = WEB_SIGNS if is_web(address) else SIGNS
    first = min((path.find(sign) for sign in signs if sign in path), default=-1)
    if is_sound(Path(name_in(address).name)) and not address.endswith("/"):
        entry = describe(address, "", retries)
        if entry.error is None or (first < 0 and not is_missing(entry.error)):
            return [entry]
        if first < 0:
            raise entry.error
    if is_web(address):
        return list(_in_web(system, path, first, retries))
    if first < 0:
        root, find = path, system.find
    else:
        root, find = path[:first].rpartition("/")[0], system.glob
    found = repeated(lambda: find(path, detail=True), address, retries)
    named = {system.unstrip_protocol(name): name for name in sorted(found)}
    return [
        Entry(name, _prefix(path, root), found[path])
        for name, path in named.items()
        if found[path].get("type") != "directory" and _is_wanted(name)
    ]


def describe(address: str, prefix: str, retries: int) -> Entry:
    """A file, with its description or the error.

    Raises:
        MissingExtraError: the part of fsspec for the address is not installed.
        OptionsError: an unknown kind of address.
    """
    system, path = filesystem(address)
    try:
        return Entry(address, prefix, repeated(lambda: system.info(path), address, retries))
    except AudioError as error:
        return Entry(address, prefix, {}, error)


def _in_web(system: Any, path: str, first: int, retries: int) -> Iterator[Entry]:
    """The sounds below a web folder, or those that match the pattern which begins at ``first``."""
    from fsspec.utils import glob_translate

    root, depth, matches = path, None, re.compile("").match
    if first >= 0:
        root = path[:first].rpartition("/")[0]
        depth = None if "**" in path else path.count("/") - root.count("/")
        try:
            matches = re.compile(glob_translate(path.replace("?", "[?]"))).match
        except (ValueError, re.error) as error:
            raise AudioError(path, f"is no valid pattern: {error}") from error
    sounds: list[str] = []
    for entry in _walk(system, root, depth, retries):
        if entry.error is not None:
            yield entry
        elif _is_wanted(entry.address) and matches(entry.address):
            sounds.append(entry.address)

    def one(name: str) -> Entry:
        return describe(name, _prefix(name, root), retries)

    yield from prefetch(one, sorted(sounds), threads=THREADS, buffer_size=THREADS)


def _walk(system: Any, root: str, depth: int | None, retries: int) -> Iterator[Entry]:
    """The files below a web folder, and the folders that cannot be listed.

    Args:
        system: of fsspec.
        root: the folder.
        depth: number of levels; ``None`` for all.
        retries: of a failed request.
    """
    start = root.rstrip("/") + "/"
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            found = repeated(partial(system.ls, folder, detail=True), folder, retries)
        except AudioError as error:
            if folder == root:
                raise
            if not is_missing(error):
                yield Entry(folder.rstrip("/"), _prefix(folder, root), {}, error)
            continue
        for name in (info["name"] for info in found):
            parts = name.removeprefix(start).rstrip("/").split("/")
            if not {"", ".", ".."}.isdisjoint(parts):
                continue
            if not name.endswith("/"):
                yield Entry(name, "", {})
            elif (depth is None or len(parts) < depth) and not passed_over(unquote(parts[-1])):
                waiting.append(name)


def _prefix(name: str, root: str) -> str:
    below = name.removeprefix(root).strip("/")
    return below.partition("/")[0] if "/" in below else ""


def _is_wanted(address: str) -> bool:
    name = name_in(address)
    return is_sound(Path(name.name)) and not any(map(passed_over, name.parts[1:-1]))
