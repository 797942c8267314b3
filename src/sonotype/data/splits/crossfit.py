"""Folds for cross-fitting: every clip is a training clip and is scored by a model of other folds.

The folds are the source's own if it has two or more, else stratified folds that keep recordings
together. Their number is five, or the median number of recordings of a class where that is smaller,
so that the folds of a set of two recordings a class hold one of them each.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence

import numpy as np

from sonotype.core.errors import OptionsError
from sonotype.core.text import listed
from sonotype.data.manifest import Manifest
from sonotype.data.splits.classes import classes_of
from sonotype.data.splits.stratified import stratified_folds
from sonotype.data.splits.subsets import NoteKind, Split, SplitNote, stratified_notes

FOLDS = 5

Folds = tuple[tuple[int, ...], ...]


def crossfit_split(manifest: Manifest, *, protocol: str = "auto", seed: int = 0) -> Split:
    """All clips as training clips, with the folds that score them.

    Args:
        manifest: the clips.
        protocol: ``"grouped"`` ignores the source's own folds.
        seed: of the shuffling.

    Raises:
        OptionsError: protocol folds for a source without folds.
    """
    everything = list(range(len(manifest.clips)))
    several = len(manifest.folds) > 1 and not manifest.folds_are_subsets
    if protocol == "folds" and not several:
        raise OptionsError(f"--protocol folds: {manifest.name} has no folds; use grouped")
    own = protocol != "grouped" and several
    folds = own_folds(manifest) if own else balanced_folds(manifest, everything, seed=seed)
    notes: list[SplitNote | str] = [] if own else [*stratified_notes(manifest)]
    if folds:
        kind = NoteKind.CROSSFIT_OWN if own else NoteKind.CROSSFIT
        notes.insert(0, SplitNote(kind, (len(folds),)))
    else:
        notes.insert(0, SplitNote(NoteKind.NO_FOLDS))
    shared = _shared_recordings(manifest, folds)
    if own and not manifest.grouped:
        notes.append(SplitNote(NoteKind.UNKNOWN_RECORDINGS))
    if shared:
        notes.append(SplitNote(NoteKind.CROSSFIT_SHARED, (len(shared), listed(shared))))
    if folds and (unscored := unscored_classes(manifest, folds)):
        notes.append(SplitNote(NoteKind.UNSCORED, (listed(unscored),)))
    return Split(
        tuple(everything),
        (),
        (),
        "folds" if own else "grouped",
        manifest.grouped and not shared,
        tuple(notes),
        folds,
    )


def own_folds(manifest: Manifest) -> Folds:
    """The clips of each fold of the source; clips without a fold are in none."""
    return tuple(
        tuple(index for index, clip in enumerate(manifest.clips) if clip.fold == fold)
        for fold in manifest.folds
    )


def balanced_folds(
    manifest: Manifest, indices: Sequence[int], *, most: int = FOLDS, seed: int = 0
) -> Folds:
    """Stratified folds of some clips that keep recordings together.

    A class with two or more recordings has one outside of each fold; this can fail only where
    recordings have several classes. Empty where every class has a single recording.

    Args:
        manifest: the clips.
        indices: of the clips to divide.
        most: largest number of folds.
        seed: of the shuffling.
    """
    recordings = _recordings(manifest, indices)
    several = [len(groups) for groups in recordings.values() if len(groups) > 1]
    if not several:
        return ()
    count = max(2, min(most, int(np.median(several))))
    folds = stratified_folds(manifest, list(indices), count, seed)
    return tuple(tuple(sorted(fold)) for fold in _spread(manifest, folds) if fold)


def unscored_classes(manifest: Manifest, folds: Folds) -> list[str]:
    """Names of the classes that a single fold has: they are learnt, but cannot be scored."""
    homes: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    fold_of = {index: number for number, fold in enumerate(folds) for index in fold}
    for index in range(len(manifest.clips)):
        for name in classes_of(manifest, index):
            homes[name].add(fold_of.get(index, -1))  # clips in no fold are always learnt
    return sorted({name for (_, name), where in homes.items() if len(where) == 1})


def _recordings(
    manifest: Manifest, indices: Sequence[int]
) -> dict[tuple[str, str], dict[str, None]]:
    """The recordings of each class, in the order of the clips."""
    recordings: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for index in indices:
        for name in classes_of(manifest, index):
            recordings[name][manifest.clips[index].group] = None
    return recordings


def _spread(manifest: Manifest, folds: list[list[int]]) -> list[list[int]]:
    """Move a recording of each class that is in one fold only, though it has several recordings.

    Where a recording has several classes, a move can bring another class into one fold, from which
    a further recording is then moved. Each recording is moved at most once.
    """
    clips = manifest.clips
    fold_of = {clips[index].group: n for n, fold in enumerate(folds) for index in fold}
    everything = [index for fold in folds for index in fold]
    sizes, loads = Counter(clips[index].group for index in everything), [*map(len, folds)]
    recordings = [*_recordings(manifest, everything).values()]
    classes: defaultdict[str, list[dict[str, None]]] = defaultdict(list)
    for groups in recordings:
        if len(groups) > 1:
            for group in groups:
                classes[group].append(groups)

    def in_one_fold(groups: Iterable[str]) -> bool:
        return len({fold_of[group] for group in groups}) == 1

    def cost(move: tuple[str, int]) -> tuple[int, int]:
        """Classes that are in one fold after a move, and clips of the fold."""
        group, fold = move
        before, fold_of[group] = fold_of[group], fold
        left = sum(map(in_one_fold, classes[group]))
        fold_of[group] = before
        return left, loads[fold] + sizes[group]

    moved: set[str] = set()
    waiting = deque(groups for groups in recordings if len(groups) > 1 and in_one_fold(groups))
    while waiting:
        groups = waiting.popleft()
        movable = [group for group in groups if group not in moved]
        if not movable or not in_one_fold(groups):
            continue
        moves = [(group, n) for group in movable for n in range(len(folds)) if n != fold_of[group]]
        group, fold = min(moves, key=cost)
        loads[fold_of[group]] -= sizes[group]
        loads[fold] += sizes[group]
        fold_of[group] = fold
        moved.add(group)
        waiting += filter(in_one_fold, classes[group])
    spread: list[list[int]] = [[] for _ in folds]
    for index in everything:
        spread[fold_of[clips[index].group]].append(index)
    return spread


def _shared_recordings(manifest: Manifest, folds: Folds) -> list[str]:
    """Recordings that are in more than one fold."""
    homes: defaultdict[str, set[int]] = defaultdict(set)
    for number, fold in enumerate(folds):
        for index in fold:
            homes[manifest.clips[index].group].add(number)
    return sorted(group for group, where in homes.items() if len(where) > 1)
