"""Find files whose names are written in another Unicode normal form than on the disk."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


class Names:
    """Paths from a table, as the disk has them.

    ``é`` is one character (NFC), or ``e`` and an accent (NFD): macOS writes the second, most
    editors the first. Each folder is listed at most once, so a look-up takes the same time however
    many files it has.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}
        self._listings: dict[Path, dict[str, str]] = {}

    def find(self, path: Path) -> Path:
        """The path itself where it exists, else the one of canonically equal names, else itself."""
        if os.path.lexists(path):
            return path
        folder = self._folder(path.parent)
        return self._within(folder, path.name) or path

    def _folder(self, folder: Path) -> Path:
        """The folder of that name, in any normal form on the way."""
        missing: list[Path] = []
        while folder not in self._folders and not os.path.lexists(folder) and folder.name:
            missing.append(folder)
            folder = folder.parent
        found = self._folders.setdefault(folder, folder)
        for wanted in reversed(missing):
            found = self._within(found, wanted.name) or found / wanted.name
            self._folders[wanted] = found
        return found

    def _within(self, folder: Path, name: str) -> Path | None:
        if os.path.lexists(folder / name):
            return folder / name
        if folder not in self._listings:
            self._listings[folder] = _listing(folder)
        found = self._listings[folder].get(unicodedata.normalize("NFC", name))
        return None if found is None else folder / found


def _listing(folder: Path) -> dict[str, str]:
    """Names of the entries of a folder, by their composed form; the composed name comes first."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names, not paths, are wanted)
    except (OSError, ValueError):
        return {}
    names.sort(key=lambda name: (not unicodedata.is_normalized("NFC", name), name))
    listing: dict[str, str] = {}
    for name in names:
        listing.setdefault(unicodedata.normalize("NFC", name), name)
    return listing
