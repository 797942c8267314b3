"""Train, validation and test parts in which no recording lies on two sides.

Parts are cut from scikit-learn's ``StratifiedGroupKFold``: the clips are dealt into folds that keep
recordings whole and classes balanced, and as many folds as come nearest to the wanted fraction are
held out. Two things are added for small sets. The folds that are held out are those that leave the
most classes to learn from, and a class that would have no clip in the training part gets one
recording back, from validation before test. A class with two recordings is thus learnt and, where
the fractions have room for it, tested; a class with a single recording is learnt and never tested,
and the split's note names it.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import TYPE_CHECKING, get_args

from sonotype.config import Protocol
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.data.manifest import PARTS, Manifest
from sonotype.data.records import counted, listed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)

MOST_FOLDS = 10
"""Fractions of a tenth or more become a ratio with at most this denominator, smaller ones one of so
many folds; every fold costs time."""

RANDOM_NOTE = (
    "random split of clips, not grouped: clips of one recording may lie on both sides, "
    "as in the paper"
)
GROUPED_NOTE = "stratified split, clips of one recording stay together"
ALL_NOTE = "every clip is learnt from; nothing is left to validate or to test"
ALONE_NOTE = (
    "stratified split; no recordings are known, so each clip stands alone, and clips of one "
    "recording may lie on both sides"
)


@dataclass(frozen=True)
class Split:
    """Positions in ``Manifest.clips`` for the three parts, each sorted.

    Attributes:
        train: what is learnt from.
        val: what chooses the epoch.
        test: what is read once, at the end.
        protocol: ``"folds"``, ``"grouped"``, ``"random"`` or ``"all"``.
        grouped: whether recordings are known and none lies on two sides.
        note: what has to be said beside a score on this split.
    """

    train: tuple[int, ...]
    val: tuple[int, ...]
    test: tuple[int, ...]
    protocol: str
    grouped: bool
    note: str


def split(
    manifest: Manifest,
    *,
    protocol: str = "auto",
    test_fraction: float = 0.2,
    val_fraction: float = 0.15,
    train_folds: Sequence[int] = (),
    val_folds: Sequence[int] = (),
    test_folds: Sequence[int] = (),
    seed: int = 0,
) -> Split:
    """Split a manifest into train, validation and test.

    Args:
        manifest: the clips.
        protocol: ``"folds"`` takes the source's own folds; ``"grouped"`` is stratified (by event
            where every clip has one, else by category) and keeps recordings together; ``"random"``
            is the paper's shuffle of clips; ``"all"`` learns from every clip and tests on none;
            ``"auto"`` is folds where the source has two or more, else grouped. Where folders are
            named after parts (train, validation, test), these are the folds, each for its part;
            a part that has no folder is cut from those to train on.
        test_fraction: share of all clips to test on.
        val_fraction: share of the remaining clips to validate on.
        train_folds: folds to train on; all that are left by default.
        val_folds: folds to validate on; the one before the test fold by default.
        test_folds: folds to test on; the last one by default.
        seed: of the shuffling; the same seed gives the same split.

    Raises:
        OptionsError: unknown protocol, impossible fractions, folds that do not exist or overlap.
        DataError: a part would be empty, or the training folds lack a class; names the classes.
    """
    protocol = _choose_protocol(manifest, protocol, (train_folds, val_folds, test_folds))
    _check_fraction("--test-fraction", test_fraction)
    _check_fraction("--val-fraction", val_fraction)
    _check_not_empty(manifest)
    if protocol == "folds":
        return _by_folds(
            manifest, train_folds, val_folds, test_folds, val_fraction, seed, test_fraction
        )
    if protocol == "random":
        return _by_chance(manifest, test_fraction, val_fraction, seed)
    everything = list(range(len(manifest.clips)))
    if protocol == "all":
        return Split(
            tuple(everything), (), (), "all", manifest.grouped, ALL_NOTE + _unkept(manifest)
        )
    rest, test = _carve(manifest, everything, test_fraction, seed, "test")
    train, val = _carve(manifest, rest, val_fraction, seed, "validation")
    note = _grouped_note(manifest) + _unkept(manifest)
    return _finish(manifest, train, val, test, "grouped", note)


def cross_validation(manifest: Manifest, *, folds: int = 5, seed: int = 0) -> list[Split]:
    """Splits in which each fold tests in turn, the next one validates, and the rest trains.

    The folds are the source's own where it has two or more (``folds`` is not looked at then), else
    stratified grouped ones. With two folds a validation part is cut from the one that trains.

    Raises:
        OptionsError: fewer than two folds, or more folds than recordings; or folders that are
            named after parts, which are not to change their places.
        DataError: as for ``split``.
    """
    _check_not_empty(manifest)
    if len(manifest.parts) > 1:
        raise OptionsError(
            f"{manifest.name} has parts of its own ({', '.join(manifest.parts)}), and "
            "cross-validation tests each clip in turn: use sonotype train, which keeps the parts, "
            "or name the folder of one part as the data"
        )
    if len(manifest.folds) > 1:
        return [
            _by_folds(manifest, (), (_next(manifest.folds, fold),), (fold,), 0.15, seed)
            if len(manifest.folds) > 2
            else _by_folds(manifest, (), (), (fold,), 0.15, seed)
            for fold in manifest.folds
        ]
    groups = len({clip.group for clip in manifest.clips})
    if not 2 <= folds <= groups:
        raise OptionsError(
            f"--folds {folds}: has to be from 2 to {groups}, the number of recordings"
        )
    parts = _deal(manifest, list(range(len(manifest.clips))), folds, seed)
    return [_fold_split(manifest, parts, fold, seed) for fold in range(folds)]


def _fold_split(manifest: Manifest, parts: list[list[int]], fold: int, seed: int) -> Split:
    test = parts[fold]
    rest = [part for index, part in enumerate(parts) if index != fold]
    if len(parts) > 2:
        val = parts[(fold + 1) % len(parts)]
        train = [index for part in rest if part is not val for index in part]
        train, val, test = _return_classes(manifest, train, val, test)
    else:
        train, _, test = _return_classes(manifest, rest[0], [], test)
        train, val = _carve(manifest, train, 0.15, seed, "validation")
    _check_held(manifest, test, "test")
    _check_held(manifest, val, "validation")
    return _finish(manifest, train, val, test, "grouped", _grouped_note(manifest))


def _choose_protocol(manifest: Manifest, protocol: str, folds: Sequence[Sequence[int]]) -> str:
    if protocol not in PROTOCOLS:
        raise OptionsError(f"--protocol {protocol}: has to be one of {', '.join(PROTOCOLS)}")
    auto = protocol == "auto" and not any(folds)
    if auto and manifest.parts and "train" not in manifest.parts:
        there = " and ".join(manifest.parts)
        raise OptionsError(
            f"{manifest.name} has no part to train on, only {there}: add a folder train, or split "
            "all clips with --protocol grouped"
        )
    if protocol == "auto":
        named = any(folds)
        protocol = "folds" if named or len(manifest.folds) > 1 else "grouped"
    elif protocol != "folds" and any(folds):
        raise OptionsError(
            f"--train-folds, --val-folds and --test-folds need --protocol folds, not {protocol}"
        )
    if protocol == "folds" and len(manifest.folds) < 2:
        there = f"only fold {manifest.folds[0]}" if manifest.folds else "no folds"
        raise OptionsError(f"--protocol folds: {manifest.name} has {there}; use --protocol grouped")
    return protocol


def _check_fraction(flag: str, fraction: float) -> None:
    if not 0 < fraction < 1:
        raise OptionsError(f"{flag} {fraction}: has to lie between 0 and 1")


def _check_not_empty(manifest: Manifest) -> None:
    if not manifest.clips:
        raise DataError(manifest.name, [DataIssue(manifest.name, 0, "no clips to split")])


# Official folds


def _by_folds(
    manifest: Manifest,
    train_folds: Sequence[int],
    val_folds: Sequence[int],
    test_folds: Sequence[int],
    val_fraction: float,
    seed: int,
    test_fraction: float = 0.2,
) -> Split:
    assign = _assign_parts if manifest.parted else _assign_folds
    train_folds, val_folds, test_folds = assign(manifest.folds, train_folds, val_folds, test_folds)
    train, val, test = (
        [index for index, clip in enumerate(manifest.clips) if clip.fold in chosen]
        for chosen in (train_folds, val_folds, test_folds)
    )
    if not test_folds:
        train, test = _carve(manifest, train, test_fraction, seed, "test")
    if not val_folds:
        train, val = _carve(manifest, train, val_fraction, seed, "validation")
    missing = _missing(manifest, train, range(len(manifest.clips)))
    if missing:
        cause = (
            f"folds {listed(train_folds)} train, and have no clip of "
            f"{listed(missing)}; choose other --train-folds"
        )
        if manifest.parted:
            cause = (
                f"the part to train on has no clip of {listed(missing)}; add clips of it, or take "
                "it out of the other parts"
            )
        raise DataError(manifest.name, [DataIssue(manifest.name, 0, cause)])
    note = (
        f"the source's own folds: {listed(train_folds)} train, "
        f"{listed(val_folds) or 'a part of them'} validates, {listed(test_folds)} tests"
    )
    if manifest.parted:
        learnt, chooses, scored = (
            " and ".join(PARTS[fold] for fold in chosen)
            for chosen in (train_folds, val_folds, test_folds)
        )
        note = (
            f"the source's own parts: {learnt} trains, {chooses or f'a part of {learnt}'} "
            f"validates, {scored or f'a part of {learnt}'} tests"
        )
    unused = [
        fold for fold in manifest.folds if fold not in {*train_folds, *val_folds, *test_folds}
    ]
    if unused:
        note += f"; not used: {listed(unused)}"
    return _finish(manifest, train, val, test, "folds", note)


def _assign_folds(
    folds: Sequence[int], train: Sequence[int], val: Sequence[int], test: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Complete the folds of the three parts; ``val`` stays empty where no fold is left for it."""
    train, val, test = tuple(train), tuple(val), tuple(test)
    named = {"--train-folds": train, "--val-folds": val, "--test-folds": test}
    _check_folds(folds, named)
    free = [fold for fold in folds if fold not in {*train, *val, *test}]
    if not test:
        if not free:
            raise OptionsError("--test-folds: the other parts have taken all folds")
        test = (free.pop(),)
    if not val and len(free) > (0 if train else 1):
        # The fold before the test fold, around the corner where that is the first.
        before = [fold for fold in free if fold < min(test)]
        val = (max(before or free),)
        free.remove(val[0])
    if not train:
        if not free:
            raise OptionsError("--train-folds: the other parts have taken all folds")
        train = tuple(free)
    return train, val, test


def _assign_parts(
    folds: Sequence[int], train: Sequence[int], val: Sequence[int], test: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Complete the folds by the parts that they are; a part that is not there stays empty."""
    named = {"--train-folds": tuple(train), "--val-folds": tuple(val), "--test-folds": tuple(test)}
    _check_folds(folds, named)
    taken = {fold for chosen in named.values() for fold in chosen}
    train, val, test = (
        chosen or tuple({number} & set(folds) - taken)
        for number, chosen in zip(PARTS, named.values(), strict=True)
    )
    if not train:
        raise OptionsError("--train-folds: no part is left to train on")
    return train, val, test


def _check_folds(folds: Sequence[int], named: Mapping[str, Sequence[int]]) -> None:
    """Raise an ``OptionsError`` for folds that are not there, or that two parts have."""
    for flag, chosen in named.items():
        unknown = [fold for fold in chosen if fold not in folds]
        if unknown:
            raise OptionsError(f"{flag}: no fold {listed(unknown)}; there are {listed(folds)}")
    for (one, first), (other, second) in combinations(named.items(), 2):
        both = sorted(set(first) & set(second))
        if both:
            raise OptionsError(f"{one} and {other} both have fold {listed(both)}")


def _next(folds: Sequence[int], fold: int) -> int:
    return folds[(folds.index(fold) + 1) % len(folds)]


# The paper's protocol


def _by_chance(manifest: Manifest, test_fraction: float, val_fraction: float, seed: int) -> Split:
    from sklearn.model_selection import ShuffleSplit

    def shuffled(indices: list[int], fraction: float, part: str) -> tuple[list[int], list[int]]:
        same: dict[int, list[int]] = {}  # clips of one sound stay together
        for index in indices:
            same.setdefault(manifest.sounds[index], []).append(index)
        units = list(same.values())
        held = max(1, round(fraction * len(units)))
        if held >= len(units):
            raise _no_room(manifest, part, f"there are only {counted(len(indices), 'clip')} for it")
        shuffle = ShuffleSplit(1, test_size=held, random_state=seed)
        kept, taken = next(shuffle.split(list(range(len(units)))))
        return [n for i in kept for n in units[i]], [n for i in taken for n in units[i]]

    rest, test = shuffled(list(range(len(manifest.clips))), test_fraction, "test")
    train, val = shuffled(rest, val_fraction, "validation")
    before = len(train)
    train, val, test = _return_classes(manifest, train, val, test, alone=True)
    _check_held(manifest, test, "test")
    _check_held(manifest, val, "validation")
    note = RANDOM_NOTE + _unkept(manifest)
    if len(train) > before:
        note += (
            f"; {counted(len(train) - before, 'clip')} moved to the training part, "
            "which had none of its class"
        )
    return _finish(manifest, train, val, test, "random", note)


# Stratified and grouped


def _carve(
    manifest: Manifest, indices: list[int], fraction: float, seed: int, part: str
) -> tuple[list[int], list[int]]:
    """Hold out about this fraction of the clips; every class keeps a recording in what is left."""
    groups = len({manifest.clips[index].group for index in indices})
    if groups < 2:
        where = "all clips" if part == "test" else "all clips left for training and validation"
        raise _no_room(manifest, part, f"{where} come from one recording")
    folds, held = _ratio(fraction, groups)
    parts = _deal(manifest, indices, folds, seed)
    taken = _best(manifest, parts, held, fraction * len(indices))
    left = [index for index in indices if index not in taken]
    left, test, _ = _return_classes(manifest, left, sorted(taken), [])
    _check_held(manifest, test, part)
    return left, test


def _ratio(fraction: float, groups: int) -> tuple[int, int]:
    """How many folds to deal, and how many of them to hold out, to come near a fraction."""
    if fraction * MOST_FOLDS < 1:
        return max(2, min(round(1 / fraction), groups)), 1
    ratio = Fraction(fraction).limit_denominator(min(MOST_FOLDS, groups))
    folds = ratio.denominator if 0 < ratio < 1 else min(MOST_FOLDS, groups)
    return folds, min(max(1, round(fraction * folds)), folds - 1)


def _deal(manifest: Manifest, indices: list[int], folds: int, seed: int) -> list[list[int]]:
    """Deal clips into folds, stratified and grouped, by scikit-learn."""
    import numpy as np
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    names, groups = np.unique(
        [manifest.clips[index].group for index in indices], return_inverse=True
    )
    # Where each clip is a group of its own, the plain splitter keeps the same promise, balances
    # exactly, and does not slow down with the number of groups.
    kind = StratifiedKFold if len(names) == len(indices) else StratifiedGroupKFold
    splitter = kind(folds, shuffle=True, random_state=seed)
    strata = _strata(manifest, indices, folds)
    with warnings.catch_warnings():
        # Classes with fewer clips than folds are expected; what follows from them is in the note.
        warnings.simplefilter("ignore", UserWarning)
        parts = [held for _, held in splitter.split(groups, strata, groups)]
    return [[indices[position] for position in part] for part in parts]


def _strata(manifest: Manifest, indices: list[int], folds: int) -> npt.NDArray[np.intp]:
    """What to balance: events, else categories, else nothing.

    scikit-learn refuses labels of which none has as many clips as there are folds; such a level is
    too fine to be balanced.
    """
    import numpy as np

    clips = [manifest.clips[index] for index in indices]
    levels = [[clip.category for clip in clips]]
    if all(clip.event is not None for clip in manifest.clips):
        levels.insert(0, [clip.event or "" for clip in clips])
    for level in levels:
        _, inverse, counts = np.unique(level, return_inverse=True, return_counts=True)
        if counts.max() >= folds:
            return np.asarray(inverse, dtype=np.intp)
    return np.zeros(len(clips), dtype=np.intp)


def _best(manifest: Manifest, parts: list[list[int]], held: int, wanted: float) -> set[int]:
    """The folds to hold out, as the clips in them.

    First so that few classes are lost to training, then few to the test, then near the wanted
    size, then in the order in which they were dealt.
    """
    names = [{name for index in part for name in _classes(manifest, index)} for part in parts]
    total = sum(len(part) for part in parts)
    every: set[tuple[str, str]] = set().union(*names)

    def cost(chosen: tuple[int, ...]) -> tuple[int, int, float]:
        kept = [names[fold] for fold in range(len(parts)) if fold not in chosen]
        taken = [names[fold] for fold in chosen]
        size = sum(len(parts[fold]) for fold in chosen)
        lost, unseen = every.difference(*kept), every.difference(*taken)
        return len(lost), len(unseen), abs(size - wanted)

    choices = [
        chosen
        for chosen in combinations(range(len(parts)), held)
        if 0 < sum(len(parts[fold]) for fold in chosen) < total
    ]
    return {index for fold in min(choices, key=cost) for index in parts[fold]}


def _classes(manifest: Manifest, index: int) -> tuple[tuple[str, str], ...]:
    clip = manifest.clips[index]
    category = ("category", clip.category)
    return (category,) if clip.event is None else (category, ("event", clip.event))


def _missing(manifest: Manifest, indices: Iterable[int], among: Iterable[int]) -> list[str]:
    """Names of the classes of ``among`` that have no clip in ``indices``."""
    there = {name for index in indices for name in _classes(manifest, index)}
    wanted = {name for index in among for name in _classes(manifest, index)}
    return sorted({name for _, name in wanted - there})


def _return_classes(
    manifest: Manifest,
    train: list[int],
    val: list[int],
    test: list[int],
    *,
    alone: bool = False,
) -> tuple[list[int], list[int], list[int]]:
    """Give the training part the smallest recording of each class that it lacks.

    ``val`` gives before ``test``. With ``alone`` single sounds move, not recordings.
    """
    known = {name for index in train for name in _classes(manifest, index)}
    for part in (val, test):
        bundles: defaultdict[str | int, list[int]] = defaultdict(list)
        for index in part:
            key = manifest.sounds[index] if alone else manifest.clips[index].group
            bundles[key].append(index)
        for bundle in sorted(bundles.values(), key=lambda bundle: (len(bundle), bundle)):
            names = {name for index in bundle for name in _classes(manifest, index)}
            if names - known:
                known |= names
                train = [*train, *bundle]
    moved = set(train)
    val, test = ([index for index in part if index not in moved] for part in (val, test))
    return train, val, test


def _check_held(manifest: Manifest, part: list[int], name: str) -> None:
    if not part:
        classes = _single_recordings(manifest)
        only = f" ({listed(classes)} have only one)" if classes else ""
        raise _no_room(manifest, name, f"there are too few recordings to learn every class{only}")


def _single_recordings(manifest: Manifest) -> list[str]:
    """Classes all of whose clips come from one recording."""
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for index, clip in enumerate(manifest.clips):
        for _, name in _classes(manifest, index):
            groups[name].add(clip.group)
    return sorted(name for name, members in groups.items() if len(members) == 1)


def _no_room(manifest: Manifest, part: str, cause: str) -> DataError:
    if manifest.copies:
        cause += f"; {_copies_of(manifest)}, and count as one recording with it"
    text = f"no clip can be held out for the {part} part: {cause}; add recordings"
    return DataError(manifest.name, [DataIssue(manifest.name, 0, text)])


def _copies_of(manifest: Manifest) -> str:
    clips = "clip has" if manifest.copies == 1 else "clips have"
    return f"{manifest.copies} of {len(manifest.clips)} {clips} the sound of another clip"


def _unkept(manifest: Manifest) -> str:
    """What to say where the source has parts, and the split is another."""
    if len(manifest.parts) < 2:
        return ""
    return f"; the source's own parts ({', '.join(manifest.parts)}) are not kept"


def _grouped_note(manifest: Manifest) -> str:
    note = GROUPED_NOTE if manifest.grouped else ALONE_NOTE
    return f"{note}; {_copies_of(manifest)}, and stay with it" if manifest.copies else note


def _finish(
    manifest: Manifest, train: list[int], val: list[int], test: list[int], protocol: str, note: str
) -> Split:
    """Say in the note what is shared between the parts and what is missing from them."""
    sides: defaultdict[str, set[int]] = defaultdict(set)
    sounds: defaultdict[int, set[int]] = defaultdict(set)
    for side, part in enumerate((train, val, test)):
        for index in part:
            sides[manifest.clips[index].group].add(side)
            sounds[manifest.sounds[index]].add(side)
    shared = sorted(group for group, where in sides.items() if len(where) > 1)
    if protocol == "folds" and not manifest.grouped:
        note += "; recordings are not known"
    elif protocol == "folds" and shared:
        tested = [group for group in shared if 2 in sides[group]]
        note += (
            f"; {counted(len(shared), 'recording')} on two sides, as the source has it "
            f"({listed(shared)}; {len(tested)} of them in the test part)"
        )
    twice = [where for where in sounds.values() if len(where) > 1]
    if twice:
        note += (
            f"; {counted(len(twice), 'sound')} as identical clips on two sides, as the source has "
            f"it ({sum(2 in where for where in twice)} of them in the test part)"
        )
    for part, name in ((val, "validation"), (test, "test")):
        missing = _missing(manifest, part, range(len(manifest.clips)))
        if missing:
            note += f"; no clip in the {name} part of: {listed(missing)}"
    return Split(
        train=tuple(sorted(train)),
        val=tuple(sorted(val)),
        test=tuple(sorted(test)),
        protocol=protocol,
        grouped=manifest.grouped and not shared and protocol != "random",
        note=note,
    )
