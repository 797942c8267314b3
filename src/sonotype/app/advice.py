"""What is missing before a training can start, in one sentence."""

from __future__ import annotations

from typing import NamedTuple

from sonotype.app.layout import loose_sounds, nested_classes
from sonotype.app.project import Project
from sonotype.core.text import counted, listed
from sonotype.data.readers.folder import ROLES
from sonotype.data.records import is_negative

LEAST_CLIPS = 2
"""Of a class: with one, the clip is either learnt or tested."""
GOOD_CLIPS = 5
"""Of a class: the scores of fewer say little."""


class Advice(NamedTuple):
    """Whether a training can start, and the next thing to do.

    Attributes:
        ready: whether it can start.
        text: a sentence.
    """

    ready: bool
    text: str


def advice_of(project: Project) -> Advice:
    """What to do next with a project."""
    labels = project.classes()
    if problem := _layout(project, labels):
        return Advice(False, problem)
    clips = {label: project.clips(label) for label in labels}
    broken = [one for some in clips.values() for one in some if one.seconds is None]
    if broken:
        first = broken[0]
        return Advice(
            False, f"Delete or replace {first.label}/{first.file}: the sound cannot be read."
        )
    counts = {label: len(some) for label, some in clips.items()}
    return _counts(counts)


def _counts(counts: dict[str, int]) -> Advice:
    """The advice for a number of readable clips by class."""
    sounds = {label: count for label, count in counts.items() if not is_negative(label)}
    if not sounds:
        return Advice(False, "Add a class for each sound that you want to tell apart.")
    fewest = min(sounds, key=lambda label: (sounds[label], label))
    if sounds[fewest] < LEAST_CLIPS:
        lacking = LEAST_CLIPS - sounds[fewest]
        more = "more " if sounds[fewest] else ""
        return Advice(False, f"Add {lacking} {more}{_sounds(lacking)} to {fewest}.")
    empty = [label for label, count in counts.items() if not count]
    if empty:
        return Advice(False, f"Add a sound to {empty[0]}, or delete this class.")
    if len(counts) < 2:
        return Advice(
            False,
            "Add a second class, or a class named background with sounds that are none of the "
            "others.",
        )
    if sounds[fewest] < GOOD_CLIPS:
        few = GOOD_CLIPS - sounds[fewest]
        return Advice(
            True,
            f"You can train now. {counted(few, 'more sound')} in {fewest} would make the "
            "result more certain.",
        )
    return Advice(True, "You can train now.")


def _sounds(number: int) -> str:
    return "sound" if number == 1 else "sounds"


def _layout(project: Project, labels: list[str]) -> str:
    """What in the folder would stop the training; empty if nothing would."""
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
