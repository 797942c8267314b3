"""Find the recording of a label file by its name, or by what the file says."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath

from sonotype.core.io import is_folder
from sonotype.data.file_names import Names
from sonotype.data.readers.walk import Walk, walk
from sonotype.data.records import SoundFolder, nfc
from sonotype.data.suffixes import SOUND_SUFFIXES

_REST = re.compile(r"\.[^\W\d_].*", re.DOTALL)
"""What a label file's name may add to that of its recording: ``.2.txt`` is another recording."""


class RecordingsByName:
    """Recordings whose name is the beginning of a label file's name.

    The longest name wins. Among equal names a recording in the same folder wins, then the one whose
    folders share most names with those of the label file, then the nearest.
    """

    def __init__(self, sounds: Iterable[Path]) -> None:
        self._sounds: defaultdict[str, list[Path]] = defaultdict(list)
        for sound in sounds:
            self._sounds[nfc(sound.stem)].append(sound)
            self._sounds[nfc(sound.name)].append(sound)

    def find(self, label_file: Path) -> list[Path]:
        """The recording of a label file; none if there is none, several if they fit equally."""
        name = nfc(label_file.name)
        for length in range(len(name) - 1, 0, -1):
            if name[length] != "." or not _REST.fullmatch(name[length:]):
                continue
            found = self._sounds.get(name[:length])
            if found:
                best = min(_distance(label_file, sound) for sound in found)
                return [sound for sound in found if _distance(label_file, sound) == best]
        return []


def _distance(one: Path, other: Path) -> tuple[int, int]:
    """Sorts pairs of files: by the folders above both that share a name, and by steps."""
    first, second = one.parent.parts, other.parent.parts
    pairs = zip(first, second, strict=False)
    shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    steps = len(first) + len(second) - 2 * shared
    return -len({*map(nfc, first)} & {*map(nfc, second)}), steps


class RecordingFinder:
    """Recordings that a table names, by relative or absolute paths, or by paths of another machine.

    Args:
        root: the folder below which recordings are searched where a path does not lead to one.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names = Names()
        self._folders: dict[Path, SoundFolder] = {}
        self._real: dict[str, Path] = {}

    @cached_property
    def walked(self) -> Walk:
        """The content of the root."""
        return walk(self.root)

    @cached_property
    def sounds(self) -> Sequence[Path]:
        """All sounds below the root."""
        return [self._once(sound) for sound in self.walked.sounds()]

    def _once(self, path: Path) -> Path:
        """The path by which a file was found first."""
        return self._real.setdefault(os.path.realpath(path), path)

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found: defaultdict[str, list[Path]] = defaultdict(list)
        for sound in self.sounds:
            found[nfc(sound.name)].append(sound)
            found[nfc(sound.stem)].append(sound)
        return found

    def find(self, text: str, table: Path) -> Path | str:
        """The recording that a table names, or why there is none."""
        if "\0" in text:
            return "not a file name"
        posix = text.replace("\\", "/")
        for name in dict.fromkeys((text, posix)):
            path = self._names.find(table.parent / name)
            if os.path.isfile(path):  # noqa: PTH113 (of a name that is too long, too)
                return self._once(path)
        path = table.parent / posix
        if is_folder(path):
            return "a folder, not a recording; name a file"
        if is_folder(path.parent):
            folder = self._folders.setdefault(path.parent, SoundFolder(path.parent))
            other = folder.find(path.name)
            if os.path.isfile(other):  # noqa: PTH113
                return self._once(other)
        return self._below(posix)

    def _below(self, text: str) -> Path | str:
        """The recording below the root that shares most of the last parts of a path."""
        parts = [nfc(part) for part in PurePosixPath(text).parts]
        name = parts[-1] if parts else ""
        found = self._by_name.get(name, [])
        if not found and PurePosixPath(name).suffix.lower() in SOUND_SUFFIXES:
            found = self._by_name.get(PurePosixPath(name).stem, [])
        if not found:
            return f"no such recording below {self.root}; correct the name, or add the file"
        shared = [_shared_end(parts, path) for path in found]
        best = [path for path, count in zip(found, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            both = " and ".join(map(str, sorted(best)))
            return f"could be {both}; write the path relative to the table's folder"
        return best[0]


def _shared_end(parts: Sequence[str], path: Path) -> int:
    """Number of folders at the end of a path that agree with the parts of another path."""
    folders = zip(reversed(parts[:-1]), reversed(path.parent.parts), strict=False)
    count = 0
    for one, other in folders:
        if one != nfc(other):
            break
        count += 1
    return count
