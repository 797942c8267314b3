"""The files of the classes of a project, and what is read of them once for each content."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sonotype.app.kept import Kept
from sonotype.app.layout import is_inside, names_in
from sonotype.app.sound_files import length_of
from sonotype.core.io import file_sha256
from sonotype.data.records import is_sound

Stamp = tuple[int, int]
"""Time of the last change in ns, and size; it changes with the content of a file."""

KEPT_DIGESTS = 1000


@dataclass(frozen=True)
class ClipFile:
    """A sound of a class.

    Attributes:
        label: the class.
        file: name of the file.
        path: the file.
        seconds: length; ``None`` if it cannot be read.
        added: time of the last change of the file in seconds since 1970.
        stamp: changes with the content of the file.
    """

    label: str
    file: str
    path: Path
    seconds: float | None
    added: float
    stamp: Stamp


class ClipFiles:
    """Reads the class folders of a project. Every method may be called in any thread.

    Args:
        folder: of the project.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lengths: dict[Path, dict[str, tuple[Stamp, float | None]]] = {}
        self._digests: Kept[tuple[Path, Stamp], str] = Kept(KEPT_DIGESTS)

    def clip(self, path: Path) -> ClipFile | None:
        """The sound in a file of a class folder; ``None`` if it is not a sound."""
        found = self.status(path)
        if found is None:
            return None
        stamp = _stamp(found)
        seconds = self._seconds(path, stamp)
        return ClipFile(path.parent.name, path.name, path, seconds, found.st_mtime, stamp)

    def clips(self, folder: Path) -> list[ClipFile]:
        """The sounds in a class folder, the newest first."""
        names = names_in(folder)
        known = self._lengths.get(folder, {})
        for gone in known.keys() - set(names):
            known.pop(gone, None)
        found = [clip for name in names if (clip := self.clip(folder / name)) is not None]
        return sorted(found, key=lambda clip: (-clip.added, clip.file))

    def status(self, path: Path) -> os.stat_result | None:
        """The status of a file of a class folder; ``None`` if it is no sound of the project."""
        try:
            if not is_sound(path) or not path.is_file() or not is_inside(path, self._folder):
                return None
            return path.stat()
        except OSError:
            return None

    def same_content(self, folder: Path, path: Path) -> Path | None:
        """A sound in a class folder with the same bytes as a file; files are read once.

        Raises:
            OSError: the file is gone.
        """
        stamp = _stamp(path.stat())
        for name in names_in(folder):
            found = self.status(folder / name)
            if found is None or found.st_size != stamp[1]:
                continue
            with suppress(OSError):  # removed meanwhile
                if self._digest(folder / name, _stamp(found)) == self._digest(path, stamp):
                    return folder / name
        return None

    def note_length(self, path: Path, seconds: float) -> None:
        """Remember the length of a sound, which is known."""
        with suppress(OSError):  # removed meanwhile
            self._note(path, _stamp(path.stat()), seconds)

    def keep_folders(self, folders: Collection[Path]) -> None:
        """Forget the lengths of all sounds in other folders."""
        for folder in self._lengths.keys() - set(folders):
            self._lengths.pop(folder, None)

    def _seconds(self, path: Path, stamp: Stamp) -> float | None:
        known = self._lengths.get(path.parent, {}).get(path.name)
        if known is not None and known[0] == stamp:
            return known[1]
        seconds: float | None
        try:
            seconds = length_of(path)
        except Exception:  # a damaged file; the findings say what is wrong
            seconds = None
        self._note(path, stamp, seconds)
        return seconds

    def _note(self, path: Path, stamp: Stamp, seconds: float | None) -> None:
        self._lengths.setdefault(path.parent, {})[path.name] = (stamp, seconds)

    def _digest(self, path: Path, stamp: Stamp) -> str:
        return self._digests.get((path, stamp), lambda: file_sha256(path))


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_mtime_ns, found.st_size
