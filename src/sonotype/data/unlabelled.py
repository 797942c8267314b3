"""Sounds without labels, which a teacher alone can say something about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sonotype.data.check import raise_faults, sound_faults
from sonotype.data.rows import is_sound
from sonotype.errors import OptionsError
from sonotype.types import Clip


def unlabelled_clips(
    folders: Sequence[str | Path], labelled: Sequence[Clip] = ()
) -> tuple[Clip, ...]:
    """All sounds below some folders, sorted, as clips with an empty category.

    Files with the very content of a labelled clip are left out: that clip may be one to test on, or
    one that a teacher has heard.

    Raises:
        DataError: sounds that cannot be read, all of them.
        OptionsError: a folder that is not there, or holds no other sounds.
    """
    known = {_content(clip.path) for clip in labelled} if folders else set()
    clips: list[Clip] = []
    for name in folders:
        folder = Path(name)
        paths = sorted(one for one in folder.rglob("*") if one.is_file() and is_sound(one))
        if not paths:
            raise OptionsError(f"{folder}: holds no sound files, or is no folder")
        new = [path for path in paths if _content(path) not in known]
        if not new:
            raise OptionsError(f"{folder}: all its sounds are among the labelled clips")
        raise_faults(folder, sound_faults(new))
        known |= {_content(path) for path in new}
        clips += [Clip(path, "", None, str(path), None) for path in new]
    return tuple(clips)


def _content(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
