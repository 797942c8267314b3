"""What to do next with a project, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable

from sonotype.app.clip_files import ClipFile
from sonotype.app.layout import loose_sounds, nested_classes
from sonotype.app.needs import Needs, needs_of
from sonotype.app.project import Project
from sonotype.core.text import listed
from sonotype.data.readers.folder import ROLES


def advice_of(project: Project) -> Needs:
    """Whether a training can start, and what to do next."""
    clips = project.all_clips()
    problem = _layout(project, list(clips)) or _unreadable(clips.values())
    if problem:
        return Needs({}, False, problem)
    return needs_of({label: len(some) for label, some in clips.items()})


def _layout(project: Project, labels: list[str]) -> str:
    """What in the folder would stop a training; empty if nothing would."""
    roles = [label for label in labels if label.casefold() in ROLES]
    if roles:
        return (
            f"Rename the class {roles[0]}: a folder of this name stands for a part of the data, "
            "not for a class."
        )
    if nested := nested_classes(project.folder):
        return (
            f"Move the folders in {listed(nested, 3)} up into the project: on this page a class is "
            "a folder with sounds and no folders."
        )
    if loose := loose_sounds(project.folder):
        return f"Move {listed(loose, 3)} into the folder of a class."
    return ""


def _unreadable(clips: Iterable[list[ClipFile]]) -> str:
    for some in clips:
        for clip in some:
            if clip.seconds is None:
                return f"Delete or replace {clip.file} in {clip.label}: the sound cannot be read."
    return ""
