"""Split a data set into train, validation and test clips, or into folds of a cross-validation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import get_args

from sonotype.config import Protocol
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.text import counted, listed
from sonotype.data.manifest import Manifest
from sonotype.data.splits.classes import Subsets, missing_classes
from sonotype.data.splits.official import next_fold, official_split
from sonotype.data.splits.random_clips import random_split
from sonotype.data.splits.stratified import stratified_fold, stratified_folds, stratified_split
from sonotype.data.splits.subsets import (
    NoteKind,
    Split,
    SplitNote,
    not_kept_notes,
    stratified_notes,
)

__all__ = ["PROTOCOLS", "Split", "cross_validation", "split"]

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

TEST_FRACTION, VAL_FRACTION = 0.2, 0.15


def split(
    manifest: Manifest,
    *,
    protocol: str = "auto",
    test_fraction: float = TEST_FRACTION,
    val_fraction: float = VAL_FRACTION,
    train_folds: Sequence[int] = (),
    val_folds: Sequence[int] = (),
    test_folds: Sequence[int] = (),
    seed: int = 0,
) -> Split:
    """Split a manifest into train, validation and test clips.

    Args:
        manifest: the clips.
        protocol: ``"folds"`` uses the source's own folds. ``"grouped"`` is stratified by the
            finest level on which every clip has a label, and keeps recordings together.
            ``"random"`` is the paper's shuffle of clips. ``"all"`` trains on every clip and tests
            on none. ``"auto"`` is ``folds`` if the source has two or more, else ``grouped``. If
            folders are named after subsets (train, validation, test), these are the folds, and a
            missing subset is held out from the training clips.
        test_fraction: share of all clips to test on.
        val_fraction: share of the remaining clips to validate on.
        train_folds: folds to train on; default: all that are left.
        val_folds: folds to validate on; default: the one before the test fold.
        test_folds: folds to test on; default: the last one.
        seed: of the shuffling; the same seed gives the same split.

    Raises:
        OptionsError: unknown protocol, invalid fractions, folds that do not exist or overlap.
        DataError: a subset would be empty, or the training folds lack a class; names the classes.
    """
    folds = train_folds, val_folds, test_folds
    protocol = _choose_protocol(manifest, protocol, any(folds))
    for flag, fraction in (("--test-fraction", test_fraction), ("--val-fraction", val_fraction)):
        if not 0 < fraction < 1:
            raise OptionsError(f"{flag} {fraction}: has to be between 0 and 1")
    _check_not_empty(manifest)
    if protocol == "all":
        everything = tuple(range(len(manifest.clips)))
        all_notes = (SplitNote(NoteKind.ALL), *not_kept_notes(manifest))
        return Split(everything, (), (), "all", manifest.grouped, all_notes)
    fractions = {"test_fraction": test_fraction, "val_fraction": val_fraction}
    if protocol == "folds":
        subsets, notes = official_split(manifest, folds, **fractions, seed=seed)
    elif protocol == "random":
        subsets, notes = random_split(manifest, **fractions, seed=seed)
    else:
        subsets = stratified_split(manifest, **fractions, seed=seed)
        notes = [*stratified_notes(manifest), *not_kept_notes(manifest)]
    return _finish(manifest, subsets, protocol, notes)


def cross_validation(manifest: Manifest, *, folds: int = 5, seed: int = 0) -> list[Split]:
    """Splits in which each fold tests once, the next one validates, and the rest trains.

    The folds are the source's own if it has two or more (``folds`` is ignored then), else
    stratified grouped ones. With two folds, validation clips are held out from the training fold.

    Raises:
        OptionsError: fewer than two folds, or more folds than recordings; or folders named after
            subsets, which are fixed.
        DataError: as for :func:`split`.
    """
    _check_not_empty(manifest)
    if len(manifest.subsets) > 1:
        raise OptionsError(
            f"{manifest.name} has its own subsets ({', '.join(manifest.subsets)}), and "
            "cross-validation tests each clip once: use sonotype train, which keeps the subsets, "
            "or name the folder of one subset as the data"
        )
    if len(manifest.folds) > 1:
        return [_official_fold(manifest, fold, seed) for fold in manifest.folds]
    groups = len({clip.group for clip in manifest.clips})
    if not 2 <= folds <= groups:
        raise OptionsError(
            f"--folds {folds}: has to be from 2 to {groups}, the number of recordings"
        )
    fold_indices = stratified_folds(manifest, list(range(len(manifest.clips))), folds, seed)
    return [
        _finish(
            manifest,
            stratified_fold(manifest, fold_indices, fold, val_fraction=VAL_FRACTION, seed=seed),
            "grouped",
            stratified_notes(manifest),
        )
        for fold in range(folds)
    ]


def _official_fold(manifest: Manifest, fold: int, seed: int) -> Split:
    val = (next_fold(manifest.folds, fold),) if len(manifest.folds) > 2 else ()
    subsets, notes = official_split(
        manifest,
        ((), val, (fold,)),
        test_fraction=TEST_FRACTION,
        val_fraction=VAL_FRACTION,
        seed=seed,
    )
    return _finish(manifest, subsets, "folds", notes)


def _choose_protocol(manifest: Manifest, protocol: str, folds_given: bool) -> str:
    if protocol not in PROTOCOLS:
        raise OptionsError(f"--protocol {protocol}: has to be one of {', '.join(PROTOCOLS)}")
    if protocol == "auto":
        if not folds_given and manifest.subsets and "train" not in manifest.subsets:
            raise OptionsError(
                f"{manifest.name} has no training subset, only {' and '.join(manifest.subsets)}: "
                "add a folder train, or split all clips with --protocol grouped"
            )
        protocol = "folds" if folds_given or len(manifest.folds) > 1 else "grouped"
    elif protocol != "folds" and folds_given:
        raise OptionsError(
            f"--train-folds, --val-folds and --test-folds need --protocol folds, not {protocol}"
        )
    if protocol == "folds" and len(manifest.folds) < 2:
        found = f"only fold {manifest.folds[0]}" if manifest.folds else "no folds"
        raise OptionsError(f"--protocol folds: {manifest.name} has {found}; use --protocol grouped")
    return protocol


def _check_not_empty(manifest: Manifest) -> None:
    if not manifest.clips:
        raise DataError(manifest.name, [DataIssue(manifest.name, 0, "no clips to split")])


def _finish(manifest: Manifest, subsets: Subsets, protocol: str, notes: list[SplitNote]) -> Split:
    """Add notes on what the subsets share and which classes they lack."""
    subsets_of_group: defaultdict[str, set[int]] = defaultdict(set)
    subsets_of_sound: defaultdict[int, set[int]] = defaultdict(set)
    for number, subset in enumerate(subsets):
        for index in subset:
            subsets_of_group[manifest.clips[index].group].add(number)
            subsets_of_sound[manifest.sounds[index]].add(number)
    shared = sorted(group for group, where in subsets_of_group.items() if len(where) > 1)
    if protocol == "folds" and not manifest.grouped:
        notes.append(SplitNote(NoteKind.UNKNOWN_RECORDINGS))
    elif protocol == "folds" and shared:
        tested = sum(2 in subsets_of_group[group] for group in shared)
        recordings = counted(len(shared), "recording")
        notes.append(SplitNote(NoteKind.SHARED_RECORDINGS, (recordings, listed(shared), tested)))
    repeated = [where for where in subsets_of_sound.values() if len(where) > 1]
    if repeated:
        tested = sum(2 in where for where in repeated)
        sounds = counted(len(repeated), "sound")
        notes.append(SplitNote(NoteKind.SHARED_SOUNDS, (sounds, tested)))
    for subset, name in zip(subsets[1:], ("validation", "test"), strict=True):
        missing = missing_classes(manifest, subset)
        if missing:
            notes.append(SplitNote(NoteKind.MISSING_CLASSES, (name, listed(missing))))
    train, val, test = (tuple(sorted(subset)) for subset in subsets)
    grouped = manifest.grouped and not shared and protocol != "random"
    return Split(train, val, test, protocol, grouped, tuple(notes))
