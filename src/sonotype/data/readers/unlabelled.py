"""Sounds without labels, for distillation from teachers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.core.errors import DataIssue, OptionsError
from sonotype.core.types import Clip
from sonotype.data.digest import contents_of
from sonotype.data.readers.walk import walk
from sonotype.data.validate import raise_issues


def unlabelled_clips(
    folders: Sequence[str | Path],
    labelled: Sequence[Clip] = (),
    *,
    partial: bool = False,
    progress: bool = False,
) -> tuple[Clip, ...]:
    """All sounds below some folders, sorted, as clips without labels.

    A file with the sound of a labelled clip is left out, since that clip may be a test clip or one
    that a teacher has seen. Each sound is taken once. With ``partial``, truncated files are used.

    Raises:
        DataError: sounds that cannot be read, all of them.
        OptionsError: a folder that is not there, or holds no other sounds.
    """
    known: set[str] = set()
    if folders:
        known = _digests_of(labelled)
    clips: list[Clip] = []
    for name in folders:
        folder = Path(name)
        if cause := _no_folder(folder):
            raise OptionsError(f"--unlabelled {folder}: {cause}; name a folder of sounds")
        found = walk(folder)
        raise_issues(folder, [DataIssue(str(path), 0, cause) for path, cause in found.broken])
        paths = found.sounds()
        if not paths:
            raise OptionsError(f"--unlabelled {folder}: holds no sound files")
        contents, issues = contents_of(paths, partial=partial, progress=progress)
        raise_issues(folder, issues)
        new = []
        for path in paths:
            if known.isdisjoint(contents[path].digests):
                new.append(Clip(path, {}, str(path), None, contents[path]))
                known.update(contents[path].digests)
        if not new:
            raise OptionsError(f"{folder}: all its sounds are among the labelled clips")
        clips += new
    return tuple(clips)


def _digests_of(clips: Sequence[Clip]) -> set[str]:
    """All digests of some clips; files whose contents are not known are read."""
    unknown = [clip.path for clip in clips if clip.content is None]
    contents, _ = contents_of(unknown, partial=True)
    known = [clip.content or contents.get(clip.path) for clip in clips]
    return {digest for content in known if content for digest in content.digests}


def _no_folder(path: Path) -> str:
    """Why a path is not a folder; empty for folders."""
    if path.is_dir():
        return ""
    if kind := special_kind(path):
        return f"is {kind}"
    return "is a file" if path.exists() else "no such folder"
