"""Splits by the source's own folds, or by folders named train, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.text import listed
from sonotype.data.manifest import SUBSETS, Manifest
from sonotype.data.splits.classes import Subsets, missing_classes
from sonotype.data.splits.stratified import hold_out
from sonotype.data.splits.subsets import NoteKind, SplitNote

Folds = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Folds to train, to validate and to test on."""


def official_split(
    manifest: Manifest, folds: Folds, *, test_fraction: float, val_fraction: float, seed: int
) -> tuple[Subsets, list[SplitNote]]:
    """Split by folds; a subset without a fold is held out from the training folds.

    Args:
        manifest: the clips.
        folds: chosen folds; empty ones are completed.
        test_fraction: share of the training clips to test on if no fold is for that.
        val_fraction: share of the remaining training clips to validate on if no fold is for that.
        seed: of the shuffling.

    Raises:
        OptionsError: folds that do not exist or overlap, or no fold is left for a subset.
        DataError: the training clips lack a class.
    """
    complete = _complete_subsets if manifest.folds_are_subsets else _complete_folds
    folds = complete(manifest.folds, *folds)
    train, val, test = (
        [index for index, clip in enumerate(manifest.clips) if clip.fold in chosen]
        for chosen in folds
    )
    if not folds[2]:
        train, test = hold_out(manifest, train, test_fraction, seed, "test")
    if not folds[1]:
        train, val = hold_out(manifest, train, val_fraction, seed, "validation")
    missing = missing_classes(manifest, train)
    if missing:
        cause = (
            f"folds {listed(folds[0])} train, and have no clip of {listed(missing)}; choose other "
            "--train-folds"
        )
        if manifest.folds_are_subsets:
            cause = (
                f"the training subset has no clip of {listed(missing)}; add clips of it, or remove "
                "it from the other subsets"
            )
        raise DataError(manifest.name, [DataIssue(manifest.name, 0, cause)])
    return (train, val, test), _notes(manifest, folds)


def next_fold(folds: Sequence[int], fold: int) -> int:
    """The fold after a fold; the first one after the last."""
    return folds[(folds.index(fold) + 1) % len(folds)]


def _notes(manifest: Manifest, folds: Folds) -> list[SplitNote]:
    if manifest.folds_are_subsets:
        trains, validates, tests = (
            " and ".join(SUBSETS[fold] for fold in chosen) for chosen in folds
        )
        held_out = f"a part of {trains}"
        values = (trains, validates or held_out, tests or held_out)
        notes = [SplitNote(NoteKind.OWN_SUBSETS, values)]
    else:
        trains, validates, tests = map(listed, folds)
        values = (trains, validates or "a part of them", tests)
        notes = [SplitNote(NoteKind.OWN_FOLDS, values)]
    unused = [fold for fold in manifest.folds if not any(fold in chosen for chosen in folds)]
    if unused:
        notes.append(SplitNote(NoteKind.UNUSED_FOLDS, (listed(unused),)))
    return notes


def _complete_folds(
    folds: Sequence[int], train: Sequence[int], val: Sequence[int], test: Sequence[int]
) -> Folds:
    """Complete the folds of the three subsets; ``val`` stays empty if no fold is left for it."""
    _check_folds(folds, train, val, test)
    free = [fold for fold in folds if fold not in {*train, *val, *test}]
    if not test:
        if not free:
            raise OptionsError("--test-folds: the other subsets use all folds")
        test = (free.pop(),)
    if not val and len(free) > (0 if train else 1):
        # The fold before the test fold; the last one if the test fold is the first.
        before = [fold for fold in free if fold < min(test)]
        val = (max(before or free),)
        free.remove(val[0])
    if not train:
        if not free:
            raise OptionsError("--train-folds: the other subsets use all folds")
        train = tuple(free)
    return train, val, test


def _complete_subsets(
    folds: Sequence[int], train: Sequence[int], val: Sequence[int], test: Sequence[int]
) -> Folds:
    """Complete the folds by the subsets that they stand for; a missing subset stays empty."""
    _check_folds(folds, train, val, test)
    taken = {*train, *val, *test}
    train, val, test = (
        chosen or tuple({number} & set(folds) - taken)
        for number, chosen in zip(SUBSETS, (train, val, test), strict=True)
    )
    if not train:
        raise OptionsError("--train-folds: no subset is left to train on")
    return train, val, test


def _check_folds(
    folds: Sequence[int], train: Sequence[int], val: Sequence[int], test: Sequence[int]
) -> None:
    """Raise an ``OptionsError`` for folds that do not exist or are in two subsets."""
    chosen: Mapping[str, Sequence[int]] = {
        "--train-folds": train,
        "--val-folds": val,
        "--test-folds": test,
    }
    for flag, some in chosen.items():
        unknown = [fold for fold in some if fold not in folds]
        if unknown:
            raise OptionsError(f"{flag}: no fold {listed(unknown)}; there are {listed(folds)}")
    for (flag, first), (other_flag, second) in combinations(chosen.items(), 2):
        both = sorted(set(first) & set(second))
        if both:
            raise OptionsError(f"{flag} and {other_flag} both have fold {listed(both)}")
