"""Sounds without labels, which a teacher alone can say something about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.data.check import raise_faults, sound_faults
from sonotype.data.rows import content_of
from sonotype.data.walk import walk
from sonotype.errors import Fault, OptionsError
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
        if cause := _no_folder(folder):
            raise OptionsError(f"--unlabelled {folder}: {cause}; name a folder of sounds")
        found = walk(folder)
        raise_faults(folder, [Fault(str(path), 0, cause) for path, cause in found.broken])
        contents = {path: content_of(path) for path in found.sounds()}
        if not contents:
            raise OptionsError(f"--unlabelled {folder}: holds no sound files")
        new = [path for path, content in contents.items() if content not in known]
        if not new:
            raise OptionsError(f"{folder}: all its sounds are among the labelled clips")
        raise_faults(folder, sound_faults(new))
        known.update(contents.values())
        clips += [Clip(path, "", None, str(path), None) for path in new]
    return tuple(clips)


def _no_folder(path: Path) -> str:
    """What a path is that is no folder; empty for folders."""
    if path.is_dir():
        return ""
    if kind := special_kind(path):
        return f"is {kind}"
    return "is a file" if path.exists() else "no such folder"
