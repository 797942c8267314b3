"""Sounds without labels, which a teacher alone can say something about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sonotype.data.check import raise_faults, sound_faults
from sonotype.data.rows import is_sound
from sonotype.errors import OptionsError
from sonotype.types import Clip


def unlabelled_clips(folders: Sequence[str | Path]) -> tuple[Clip, ...]:
    """All sounds below some folders, sorted, as clips with an empty category.

    Raises:
        DataError: sounds that cannot be read, all of them.
        OptionsError: a folder that is not there, or holds no sounds.
    """
    clips: list[Clip] = []
    for name in folders:
        folder = Path(name)
        paths = sorted(one for one in folder.rglob("*") if one.is_file() and is_sound(one))
        if not paths:
            raise OptionsError(f"{folder}: holds no sound files, or is no folder")
        raise_faults(folder, sound_faults(paths))
        clips += [Clip(path, "", None, str(path), None) for path in paths]
    return tuple(clips)
