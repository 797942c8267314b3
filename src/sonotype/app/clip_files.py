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
from sonotype.core.io import file_sha256, is_link
from sonotype.data.records import is_sound

Stamp = tuple[int, int, int, int]
"""Changes with the content of a file, and if another file takes its place: see :func:`stamp_of`."""

KEPT_DIGESTS = 100_000
"""More than a class has: for each new sound, the digests of those of the same size are compared."""


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
        stamp = stamp_of(found)
        seconds = self._seconds(path, stamp)
        if seconds is None and self.status(path) is None:  # it was moved or removed meanwhile
            return None
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
        """Another sound in a class folder with the same bytes as a file; files are read once.

        A symbolic link to the file is no other sound: it has nothing when the file is moved.

        Raises:
            OSError: the file is gone.
        """
        wanted = path.stat()
        stamp = stamp_of(wanted)
        for name in names_in(folder):
            found = self.status(folder / name)
            if found is None or found.st_size != wanted.st_size:
                continue
            if is_link(folder / name) and os.path.samestat(found, wanted):
                continue
            with suppress(OSError):  # removed meanwhile
                if self._digest(folder / name, stamp_of(found)) == self._digest(path, stamp):
                    return folder / name
        return None

    def unread(self, path: Path, seconds: float | None = None) -> ClipFile | None:
        """:meth:`clip` without reading the file.

        Args:
            path: the file.
            seconds: its length, if that is known, which is remembered; otherwise the length of the
                result is what was read before, or ``None``.
        """
        found = self.status(path)
        if found is None:
            return None
        stamp = stamp_of(found)
        if seconds is not None:
            self._note(path, stamp, seconds)
        known = self._lengths.get(path.parent, {}).get(path.name)
        seconds = known[1] if known is not None and known[0] == stamp else None
        return ClipFile(path.parent.name, path.name, path, seconds, found.st_mtime, stamp)

    def keep_folders(self, folders: Collection[Path]) -> None:
        """Forget the lengths of all sounds in other folders."""
        for folder in self._lengths.keys() - set(folders):
            self._lengths.pop(folder, None)

    def _seconds(self, path: Path, stamp: Stamp) -> float | None:
        known = self._lengths.get(path.parent, {}).get(path.name)
        if known is not None and known[0] == stamp:
            return known[1]
        seconds = self.length(path)
        if seconds is None:
            if not opens(path):  # another program has it, or took it away: read it again later
                return None
            seconds = self.length(path)
        self._note(path, stamp, seconds)
        return seconds

    def length(self, path: Path) -> float | None:
        """The length of a sound in seconds, read now; ``None`` if it cannot be read."""
        try:
            return length_of(path)
        except Exception:  # a damaged file; the findings say what is wrong
            return None

    def _note(self, path: Path, stamp: Stamp, seconds: float | None) -> None:
        self._lengths.setdefault(path.parent, {})[path.name] = (stamp, seconds)

    def _digest(self, path: Path, stamp: Stamp) -> str:
        return self._digests.get((path, stamp), lambda: file_sha256(path))


def stamp_of(found: os.stat_result) -> Stamp:
    """Times of the last change of content and of status in ns, size, and number of the file.

    Files of one archive often have the same size and time, and keep both when they are moved. The
    time of the status changes then; on Windows the number of the file does.
    """
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def opens(path: Path) -> bool:
    """Whether a file can be opened and read now."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError:
        return False
    return True
