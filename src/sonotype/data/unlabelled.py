"""Sounds without labels, which a teacher alone can say something about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sonotype.data.check import raise_faults, sound_faults
from sonotype.data.rows import content_of, sounds_below
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
    known = {content_of(clip.path) for clip in labelled} if folders else set()
    clips: list[Clip] = []
    for name in folders:
        folder = Path(name)
        contents = {path: content_of(path) for path in sounds_below(folder)}
        if not contents:
            raise OptionsError(f"{folder}: holds no sound files, or is no folder")
        new = [path for path, content in contents.items() if content not in known]
        if not new:
            raise OptionsError(f"{folder}: all its sounds are among the labelled clips")
        raise_faults(folder, sound_faults(new))
        known.update(contents.values())
        clips += [Clip(path, "", None, str(path), None) for path in new]
    return tuple(clips)
