"""Folds of annotated recordings, for heads that score recordings that they did not learn from."""

from __future__ import annotations

from collections.abc import Sequence

from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.types import Clip
from sonotype.data.manifest import Manifest
from sonotype.data.splits.crossfit import FOLDS, balanced_folds


def groups_with_events(recordings: Sequence[AnnotatedRecording]) -> int:
    """The number of groups of recordings that have an event."""
    return len({one.own_group for one in recordings if one.events})


def fold_of_groups(
    recordings: Sequence[AnnotatedRecording], *, most: int = FOLDS, seed: int = 0
) -> dict[str, int]:
    """The fold of each group of recordings; their own, or balanced by class.

    Groups without a fold of their own, or without events, are distributed over the folds of the
    others. At least two groups must have events.
    """
    own = {one.own_group: one.fold for one in recordings if one.fold is not None}
    used = {own[one.own_group] for one in recordings if one.events and one.own_group in own}
    found = {group: fold for group, fold in own.items() if fold in used}
    if len(used) < 2:
        found = _balanced(recordings, most, seed)
    others = dict.fromkeys(one.own_group for one in recordings if one.own_group not in found)
    folds = sorted(set(found.values())) or range(min(most, len(others)))
    return found | {group: folds[number % len(folds)] for number, group in enumerate(others)}


def _balanced(recordings: Sequence[AnnotatedRecording], most: int, seed: int) -> dict[str, int]:
    """Folds of the groups with events, balanced by class."""
    clips = [
        Clip(one.path, {"event": tuple(sorted({event.label for event in one.events}))},
             one.own_group, None)
        for one in recordings if one.events
    ]  # fmt: skip
    folds = balanced_folds(Manifest("", tuple(clips)), range(len(clips)), most=most, seed=seed)
    return {clips[index].group: number for number, fold in enumerate(folds) for index in fold}
