"""Folds of annotated recordings, for heads that score recordings that they did not learn from."""

from __future__ import annotations

from collections.abc import Sequence

from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.errors import DataError, DataIssue
from sonotype.core.types import Clip
from sonotype.data.manifest import Manifest
from sonotype.data.splits.crossfit import FOLDS, balanced_folds


def fold_of_groups(
    recordings: Sequence[AnnotatedRecording], *, most: int = FOLDS, seed: int = 0
) -> dict[str, int]:
    """The fold of each group of recordings; their own, or balanced by class.

    Raises:
        DataError: all recordings are of one group.
    """
    own = {one.group: one.fold for one in recordings if one.group and one.fold is not None}
    groups = dict.fromkeys(one.own_group for one in recordings)
    if len(groups) < 2:
        cause = (
            "all recordings are of one group, so thresholds cannot be chosen on recordings that "
            "the frame head has not learnt from; add recordings"
        )
        raise DataError("the recordings", [DataIssue(str(recordings[0].path), 0, cause)])
    if groups.keys() == own.keys() and len(set(own.values())) > 1:
        return {group: fold for group, fold in own.items() if fold is not None}
    clips = [
        Clip(one.path, {"event": tuple(sorted({event.label for event in one.events}))},
             one.own_group, None)
        for one in recordings if one.events
    ]  # fmt: skip
    folds = balanced_folds(Manifest("", tuple(clips)), range(len(clips)), most=most, seed=seed)
    found = {clips[index].group: number for number, fold in enumerate(folds) for index in fold}
    count = len(folds) or min(most, len(groups))
    for number, group in enumerate(group for group in groups if group not in found):
        found[group] = number % count
    return found
