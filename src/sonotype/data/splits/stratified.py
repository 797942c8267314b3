"""Stratified splits that keep recordings together.

Clips are assigned to folds by scikit-learn's ``StratifiedGroupKFold``, and the number of folds that
comes nearest to the wanted fraction is held out. Two steps are added for small sets. The folds that
leave the most classes for training are held out, and a class that would have no training clip gets
one recording back, from validation before test. A class with two recordings is thus trained and, if
the fractions allow it, tested; a class with a single recording is trained and never tested.
"""

from __future__ import annotations

import warnings
from collections import Counter
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING

from sonotype.data.manifest import Manifest
from sonotype.data.splits.classes import (
    Subsets,
    check_held_out,
    classes_of,
    no_room,
    return_classes,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAX_FOLDS = 10
"""Fractions of 0.1 or more become a ratio with at most this denominator, to limit the folds."""


def stratified_split(
    manifest: Manifest, *, test_fraction: float, val_fraction: float, seed: int
) -> Subsets:
    """Hold out test clips, then validation clips from the rest.

    Raises:
        DataError: a subset would be empty.
    """
    rest, test = hold_out(manifest, list(range(len(manifest.clips))), test_fraction, seed, "test")
    train, val = hold_out(manifest, rest, val_fraction, seed, "validation")
    return train, val, test


def stratified_fold(
    manifest: Manifest, folds: list[list[int]], fold: int, *, val_fraction: float, seed: int
) -> Subsets:
    """One fold tests and the next one validates; of two folds, the other gives both subsets."""
    test, rest = folds[fold], [*folds[:fold], *folds[fold + 1 :]]
    if len(folds) > 2:
        val = folds[(fold + 1) % len(folds)]
        train = [index for indices in rest if indices is not val for index in indices]
        train, val, test = return_classes(manifest, train, val, test)
    else:
        train, _, test = return_classes(manifest, rest[0], [], test)
        train, val = hold_out(manifest, train, val_fraction, seed, "validation")
    check_held_out(manifest, test, "test")
    check_held_out(manifest, val, "validation")
    return train, val, test


def hold_out(
    manifest: Manifest, indices: list[int], fraction: float, seed: int, subset: str
) -> tuple[list[int], list[int]]:
    """Hold out about this fraction of the clips; every class keeps a recording in the rest."""
    groups = len({manifest.clips[index].group for index in indices})
    if groups < 2:
        clips = "all clips" if subset == "test" else "all clips left for training and validation"
        raise no_room(manifest, subset, f"{clips} come from one recording")
    n_folds, held = _ratio(fraction, groups)
    folds = stratified_folds(manifest, indices, n_folds, seed)
    taken = _best(manifest, folds, held, fraction * len(indices))
    rest = [index for index in indices if index not in taken]
    rest, held_out, _ = return_classes(manifest, rest, sorted(taken), [])
    check_held_out(manifest, held_out, subset)
    return rest, held_out


def stratified_folds(
    manifest: Manifest, indices: list[int], n_folds: int, seed: int
) -> list[list[int]]:
    """Stratified, grouped folds from scikit-learn."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    names, groups = np.unique(
        [manifest.clips[index].group for index in indices], return_inverse=True
    )
    # If each clip is its own group, StratifiedKFold gives the same guarantee, balances exactly and
    # does not slow down with the number of groups.
    kind = StratifiedKFold if len(names) == len(indices) else StratifiedGroupKFold
    splitter = kind(n_folds, shuffle=True, random_state=seed)
    strata = _strata(manifest, indices, n_folds)
    with warnings.catch_warnings():
        # Classes with fewer clips than folds are expected; notes name the missing classes.
        warnings.simplefilter("ignore", UserWarning)
        folds = [held for _, held in splitter.split(groups, strata, groups)]
    return [[indices[position] for position in fold] for fold in folds]


def _ratio(fraction: float, groups: int) -> tuple[int, int]:
    """Number of folds, and number of them to hold out, that come near a fraction."""
    if fraction * MAX_FOLDS < 1:
        return max(2, min(round(1 / fraction), groups)), 1
    ratio = Fraction(fraction).limit_denominator(min(MAX_FOLDS, groups))
    folds = ratio.denominator if 0 < ratio < 1 else min(MAX_FOLDS, groups)
    return folds, min(max(1, round(fraction * folds)), folds - 1)


def _strata(manifest: Manifest, indices: list[int], n_folds: int) -> npt.NDArray[np.intp]:
    """The label to balance: of the finest level on which every clip has one, else none.

    Of several labels of a clip, that of the class with the fewest clips is balanced.
    scikit-learn refuses labels if none of them has as many clips as there are folds.
    """
    import numpy as np

    clips = [manifest.clips[index] for index in indices]
    for level in reversed(manifest.levels):
        if any(level not in clip.labels and clip.labels for clip in manifest.clips):
            continue
        clips_of = Counter(label for clip in clips for label in clip.labels.get(level, ()))
        names = [
            min(clip.labels.get(level) or ("",), key=lambda label: (clips_of[label], label))
            for clip in clips
        ]
        _, inverse, counts = np.unique(names, return_inverse=True, return_counts=True)
        if counts.max() >= n_folds:
            return np.asarray(inverse, dtype=np.intp)
    return np.zeros(len(clips), dtype=np.intp)


def _best(manifest: Manifest, folds: list[list[int]], held: int, wanted: float) -> set[int]:
    """The clips of the best folds to hold out.

    The criteria in order: few classes lost to training, few classes without a held-out clip, near
    the wanted number of clips, first folds.
    """
    names = [{name for index in fold for name in classes_of(manifest, index)} for fold in folds]
    total = sum(map(len, folds))
    every: set[tuple[str, str]] = set().union(*names)

    def cost(chosen: tuple[int, ...]) -> tuple[int, int, float]:
        kept = [names[fold] for fold in range(len(folds)) if fold not in chosen]
        taken = [names[fold] for fold in chosen]
        size = sum(len(folds[fold]) for fold in chosen)
        lost, unseen = every.difference(*kept), every.difference(*taken)
        return len(lost), len(unseen), abs(size - wanted)

    choices = [
        chosen
        for chosen in combinations(range(len(folds)), held)
        if 0 < sum(len(folds[fold]) for fold in chosen) < total
    ]
    return {index for fold in min(choices, key=cost) for index in folds[fold]}
