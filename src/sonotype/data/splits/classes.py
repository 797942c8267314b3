"""Which classes a subset has, and how to give the training subset at least one clip of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sonotype.core.errors import DataError, DataIssue
from sonotype.core.text import listed
from sonotype.data.manifest import Manifest
from sonotype.data.splits.subsets import copies_text

Subsets = tuple[list[int], list[int], list[int]]
"""Positions of the training, validation and test clips."""


def classes_of(manifest: Manifest, index: int) -> tuple[tuple[str, str], ...]:
    """The classes of a clip: level and name of each label."""
    labels = manifest.clips[index].labels
    return tuple((level, name) for level, names in labels.items() for name in names)


def missing_classes(manifest: Manifest, indices: Iterable[int]) -> list[str]:
    """Names of the classes that have no clip in ``indices``."""
    found = {name for index in indices for name in classes_of(manifest, index)}
    expected = {
        name for index in range(len(manifest.clips)) for name in classes_of(manifest, index)
    }
    return sorted({name for _, name in expected - found})


def return_classes(
    manifest: Manifest,
    train: list[int],
    val: list[int],
    test: list[int],
    *,
    by_sound: bool = False,
) -> Subsets:
    """Move the smallest recording of each class that the training subset lacks into it.

    Recordings come from ``val`` before ``test``. With ``by_sound`` single sounds are moved instead.
    """
    known = {name for index in train for name in classes_of(manifest, index)}
    for subset in (val, test):
        bundles: defaultdict[str | int, list[int]] = defaultdict(list)
        for index in subset:
            key = manifest.sounds[index] if by_sound else manifest.clips[index].group
            bundles[key].append(index)
        for bundle in sorted(bundles.values(), key=lambda bundle: (len(bundle), bundle)):
            names = {name for index in bundle for name in classes_of(manifest, index)}
            if names - known:
                known |= names
                train = [*train, *bundle]
    moved = set(train)
    val, test = ([index for index in subset if index not in moved] for subset in (val, test))
    return train, val, test


def check_held_out(manifest: Manifest, indices: list[int], subset: str) -> None:
    """Raise a ``DataError`` if a subset is empty; it names the classes with one recording."""
    if not indices:
        groups: defaultdict[str, set[str]] = defaultdict(set)
        for index, clip in enumerate(manifest.clips):
            for _, name in classes_of(manifest, index):
                groups[name].add(clip.group)
        single = sorted(name for name, members in groups.items() if len(members) == 1)
        only = f" ({listed(single)} have only one)" if single else ""
        raise no_room(manifest, subset, f"there are too few recordings to learn every class{only}")


def no_room(manifest: Manifest, subset: str, cause: str) -> DataError:
    """The error for a subset that cannot get a clip."""
    if manifest.copies:
        cause += f"; {copies_text(manifest)}, and count as one recording with it"
    text = f"no clip can be held out for the {subset} subset: {cause}; add recordings"
    return DataError(manifest.name, [DataIssue(manifest.name, 0, text)])
