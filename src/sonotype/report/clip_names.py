"""From the names of clips in predictions to files, also where the data were moved."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

WINDOW = re.compile(r"(.*)#t=([0-9.e+-]+),([0-9.e+-]+)", re.DOTALL)
"""The name of a window of a recording, see :attr:`sonotype.core.types.Clip.name`."""


@dataclass(frozen=True)
class Place:
    """A file, or a window of it.

    Attributes:
        path: as in the predictions.
        start: of the window in seconds; ``None`` for a whole file.
        end: likewise.
    """

    path: str
    start: float | None = None
    end: float | None = None

    def overlaps(self, other: Place) -> bool:
        """Whether two windows of one file have a common part; whole files do not."""
        if self.start is None or self.end is None or other.start is None or other.end is None:
            return False
        return self.path == other.path and self.start < other.end and other.start < self.end


def place_of(name: str, *, windows: bool) -> Place:
    """The file of a clip, and where in it the clip is.

    Args:
        name: of the clip.
        windows: whether the clips of the run are windows.
    """
    if windows and (found := WINDOW.fullmatch(name)):
        return Place(found[1], float(found[2]), float(found[3]))
    return Place(name)


def find_file(path: str, data: str) -> Path | None:
    """The file of a clip, also where the run is read from another folder or machine.

    A run has paths relative to the working directory of the training. A file that is not there is
    looked for below the data source: by its whole path, and by the part of its path after a folder
    with the name of the source's folder. Other files of the same name are not taken.

    Args:
        path: as in the predictions.
        data: the source of the run, a folder or a table.
    """
    try:
        root = Path(data) if Path(data).is_dir() else Path(data).parent
        parts = PurePosixPath(path.replace("\\", "/")).parts
        below = [parts[n + 1 :] for n, part in enumerate(parts[:-1]) if part == root.name]
        wanted = [root.joinpath(*each) for each in (parts, *below)]
        # Of a relative path, the file below the data is preferred to that of the working directory.
        wanted.insert(0 if Path(path).is_absolute() else len(wanted), Path(path))
        return next((each for each in wanted if each.is_file()), None)
    except (OSError, ValueError):
        return None


def short_names(places: Sequence[Place]) -> list[str]:
    """Paths without the folders that all of them have in common, with the times of windows."""
    split = [re.split(r"[/\\]", place.path) for place in places]
    common = 0
    for column in zip(*(parts[:-1] for parts in split), strict=False):
        if len(set(column)) > 1:
            break
        common += 1
    return [
        "/".join(parts[common:])
        + ("" if place.start is None else f", {place.start:g} to {place.end:g} s")
        for parts, place in zip(split, places, strict=True)
    ]
