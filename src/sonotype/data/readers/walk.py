"""Find the sound files below a folder.

Links to folders are followed, each real folder once. Hidden and system folders are skipped. Files
and folders that cannot be read are listed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.core.io import is_link
from sonotype.data.records import is_sound

SYSTEM_FOLDERS = frozenset(
    {
        "$recycle.bin",
        "#recycle",
        "#snapshot",
        "@eadir",
        "@recycle",
        "__macosx",
        "lost+found",
        "network trash folder",
        "recycled",
        "recycler",
        "system volume information",
        "temporary items",
    }
)
"""Recycle bins, snapshots and other system folders, in lower case."""

BROKEN_LINK = "is a broken link; remove the link, or restore its target"

_OTHER_SUFFIX = re.compile(r"\.[a-z0-9]*[a-z][a-z0-9]*", re.IGNORECASE)


def passed_over(name: str) -> bool:
    """Whether a folder of this name is hidden, or a system folder."""
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


@dataclass
class Walk:
    """The content of a folder and of the folders below it.

    Attributes:
        root: the folder.
        folders: for each walked folder, the folders directly in it, sorted.
        files: for each walked folder, the sounds directly in it, links included, sorted.
        broken: paths that cannot be read (broken links, pipes, no access), with the cause.
        again: links to folders that were walked under another path, with that path.
    """

    root: Path
    folders: dict[Path, list[Path]] = field(default_factory=dict)
    files: dict[Path, list[Path]] = field(default_factory=dict)
    broken: list[tuple[Path, str]] = field(default_factory=list)
    again: list[tuple[Path, Path]] = field(default_factory=list)

    def sounds(self) -> list[Path]:
        """All sounds, each real file once, sorted."""
        return once(path for files in self.files.values() for path in files)

    def holds_sounds(self, folder: Path) -> bool:
        """Whether a walked folder, or one below it, has a sound."""
        return bool(self.files[folder]) or any(map(self.holds_sounds, self.folders[folder]))


def walk(root: str | Path) -> Walk:
    """Walk a folder, whatever its own name is.

    Real folders come before links, so that a file gets a path without links if it has one. A link
    to one of its own parent folders is not followed.
    """
    found = Walk(Path(root))
    known: dict[tuple[int, int] | str, Path] = {}
    waiting: list[Path] = [found.root]
    links: list[Path] = []
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            identity = _identity(folder)
            if identity in known:
                found.again.append((folder, known[identity]))
                continue
            entries = _entries(folder)
        except OSError as error:
            found.broken.append((folder, f"cannot be opened ({error.strerror or error})"))
            entries = []
            identity = str(folder)
        known[identity] = folder
        if folder != found.root:
            found.folders[folder.parent].append(folder)
        found.folders[folder], found.files[folder] = [], []
        for entry in entries:
            path = folder / entry.name
            if _is_folder(entry):
                if entry.is_symlink() and not passed_over(entry.name) and not _is_loop(path):
                    links.append(path)
                elif not entry.is_symlink() and not passed_over(entry.name):
                    waiting.append(path)
            elif cause := _read_error(entry, path):
                found.broken.append((path, cause))
            elif is_sound(path) and _is_file(entry):
                found.files[folder].append(path)
        links.sort(key=lambda link: (len(link.parts), link))
    for below in found.folders.values():
        below.sort()
    found.broken.sort()
    return found


def sounds_below(folder: Path) -> list[Path]:
    """All sound files in a folder and the folders in it, each real file once, sorted."""
    return walk(folder).sounds()


def once(paths: Iterable[Path]) -> list[Path]:
    """The paths sorted, each real file once: a file stays, and a link to it goes."""
    known: dict[str, Path] = {}
    real = _RealPaths()
    for path in sorted(paths, key=lambda path: (is_link(path), path)):
        known.setdefault(real.of(path), path)
    return sorted(known.values())


def in_order(paths: Iterable[Path]) -> list[Path]:
    """The paths in their order, each real file once."""
    known: dict[str, Path] = {}
    real = _RealPaths()
    for path in paths:
        known.setdefault(real.of(path), path)
    return list(known.values())


class _RealPaths:
    """Paths without links; each folder is resolved once."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def of(self, path: Path) -> str:
        if is_link(path) or not path.name:
            return os.path.realpath(path)
        folder = path.parent
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], path.name)  # noqa: PTH118 (names that are '..')


def _identity(folder: Path) -> tuple[int, int] | str:
    """A value that is equal for two paths of one folder."""
    status = folder.stat()
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file, also if it cannot be reached now: reading it raises the error."""
    try:
        return entry.is_file()
    except OSError:
        return True


def _read_error(entry: os.DirEntry[str], path: Path) -> str:
    """Why an entry that may be a sound, or a link to sounds, cannot be read; empty if it can."""
    if entry.name.startswith("."):
        return ""
    if entry.is_symlink():
        try:
            path.stat()
        except OSError as error:
            if _OTHER_SUFFIX.fullmatch(path.suffix) and not is_sound(path):
                return ""  # of another kind of file
            gone = isinstance(error, FileNotFoundError)
            return BROKEN_LINK if gone else f"cannot be opened ({error.strerror or error})"
    kind = special_kind(path) if is_sound(path) else ""
    return f"is {kind}, not a sound file" if kind else ""


def _is_loop(link: Path) -> bool:
    """Whether a link leads to a folder that it lies in."""
    return Path(os.path.realpath(link.parent)).is_relative_to(os.path.realpath(link))
