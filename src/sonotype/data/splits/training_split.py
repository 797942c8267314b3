"""The splits that the options of a run ask for."""

from __future__ import annotations

from sonotype.config import SplitOptions, to_dict
from sonotype.core.errors import OptionsError
from sonotype.data.manifest import Manifest
from sonotype.data.splits.split import Split, cross_validation, split
from sonotype.data.splits.subsets import NoteKind, chosen_on_test, without_validation


def split_by_options(
    manifest: Manifest,
    options: SplitOptions,
    *,
    checkpoint: str,
    seed: int,
    note: NoteKind = NoteKind.LAST_EPOCH,
) -> Split:
    """One split into training, validation and test.

    Args:
        manifest: the clips.
        options: protocol, fractions and folds.
        checkpoint: ``"last"`` keeps the last epoch, so the validation clips are trained on too.
        seed: of the shuffling.
        note: why validation clips are trained on.

    Raises:
        DataError: a subset would be empty, or lacks a class.
        OptionsError: invalid or contradictory options.
    """
    arguments = to_dict(options)
    del arguments["evaluation"]
    select_on = arguments.pop("select_on")
    if select_on == "test" and checkpoint == "last":
        raise OptionsError("checkpoint is last, so no epoch is selected; leave out select_on")
    made = split(manifest, **arguments, seed=seed)
    if made.protocol == "all":
        return made
    if checkpoint == "last":
        return without_validation(made, note)
    return chosen_on_test(made) if select_on == "test" else made


def fold_splits(
    manifest: Manifest,
    *,
    folds: int = 5,
    checkpoint: str = "best",
    seed: int = 0,
    note: NoteKind = NoteKind.LAST_EPOCH,
) -> list[Split]:
    """The splits of a cross-validation, see :func:`cross_validation`.

    Raises:
        DataError: as for :func:`split_by_options`.
        OptionsError: an invalid number of folds.
    """
    splits = cross_validation(manifest, folds=folds, seed=seed)
    return [without_validation(fold, note) for fold in splits] if checkpoint == "last" else splits


def fold_split(
    manifest: Manifest,
    fold: int,
    *,
    checkpoint: str = "best",
    seed: int = 0,
    note: NoteKind = NoteKind.LAST_EPOCH,
) -> Split:
    """The split of a cross-validation that tests on one official fold.

    Raises:
        DataError: as for :func:`split_by_options`.
        OptionsError: the source has no such fold, or no other.
    """
    if len(manifest.folds) == 1:
        raise OptionsError(f"{manifest.name} has only fold {manifest.folds[0]}; at least 2 needed")
    if fold not in manifest.folds:
        there = ", ".join(map(str, manifest.folds)) or "no folds"
        raise OptionsError(f"fold {fold} is not in {manifest.name}, which has {there}")
    splits = fold_splits(manifest, checkpoint=checkpoint, seed=seed, note=note)
    return splits[manifest.folds.index(fold)]
