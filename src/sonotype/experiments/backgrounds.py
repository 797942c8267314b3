"""Recordings without events, by which detection learns what is no event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.errors import DataError, OptionsError
from sonotype.core.text import counted
from sonotype.core.types import Content
from sonotype.data.annotations.check import length_of
from sonotype.data.digest import contents_of
from sonotype.data.readers.walk import sounds_below


def background_paths(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The recordings in the folders, each once.

    Raises:
        OptionsError: a folder without recordings.
    """
    found: dict[Path, None] = {}
    for path in paths:
        sounds = sounds_below(path) if path.is_dir() else [path] if path.is_file() else []
        if not sounds:
            raise OptionsError(f"--background-folder {path}: holds no recordings")
        found |= dict.fromkeys(sounds)
    return tuple(found)


def readable_backgrounds(
    paths: Sequence[Path], data: Mapping[Path, Content], *, progress: bool
) -> tuple[dict[Path, Content], list[str]]:
    """The backgrounds that can be decoded, each sound once, and a note on the others.

    Args:
        paths: of recordings.
        data: the contents of the sounds with labels.
        progress: draw a bar.

    Raises:
        DataError: none can be decoded.
        OptionsError: some are sounds with labels.
    """
    contents, issues = contents_of(paths, progress=progress)
    bad = {issue.file for issue in issues}
    labelled = {digest for content in data.values() for digest in content.digests}
    known: set[str] = set()
    found: dict[Path, Content] = {}
    for path, content in contents.items():
        if str(path) in bad or not known.isdisjoint(content.digests):
            continue
        known.update(content.digests)
        found[path] = content
    if both := [path for path, one in found.items() if not labelled.isdisjoint(one.digests)]:
        raise OptionsError(
            f"--background-folder: {counted(len(both), 'recording')} of DATA, such as {both[0]}; "
            "name recordings without events that are not in DATA"
        )
    if paths and not found:
        raise DataError("--background-folder", issues)
    if not issues:
        return found, []
    number = counted(len(issues), "unreadable background recording")
    return found, [f"left out: {number}, such as {issues[0]}"]


def without_events(path: Path) -> AnnotatedRecording:
    """A recording that was listened to, without any event.

    Raises:
        AudioError: it cannot be read.
    """
    seconds = length_of(path)
    return AnnotatedRecording(path, seconds, (), ((0.0, seconds),), group=str(path))
