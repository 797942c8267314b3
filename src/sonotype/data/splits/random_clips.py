"""The paper's split: clips are shuffled, without regard to class or recording."""

from __future__ import annotations

from sonotype.core.text import counted
from sonotype.data.manifest import Manifest
from sonotype.data.splits.classes import Subsets, check_held_out, no_room, return_classes
from sonotype.data.splits.subsets import NoteKind, SplitNote, not_kept_notes


def random_split(
    manifest: Manifest, *, test_fraction: float, val_fraction: float, seed: int
) -> tuple[Subsets, list[SplitNote]]:
    """Shuffle sounds; clips of one sound stay together, and every class is trained.

    Raises:
        DataError: a subset would be empty.
    """
    rest, test = _shuffle(manifest, list(range(len(manifest.clips))), test_fraction, seed, "test")
    train, val = _shuffle(manifest, rest, val_fraction, seed, "validation")
    before = len(train)
    train, val, test = return_classes(manifest, train, val, test, by_sound=True)
    check_held_out(manifest, test, "test")
    check_held_out(manifest, val, "validation")
    notes = [SplitNote(NoteKind.RANDOM), *not_kept_notes(manifest)]
    if len(train) > before:
        notes.append(SplitNote(NoteKind.MOVED, (counted(len(train) - before, "clip"),)))
    return (train, val, test), notes


def _shuffle(
    manifest: Manifest, indices: list[int], fraction: float, seed: int, subset: str
) -> tuple[list[int], list[int]]:
    from sklearn.model_selection import ShuffleSplit

    by_sound: dict[int, list[int]] = {}
    for index in indices:
        by_sound.setdefault(manifest.sounds[index], []).append(index)
    sounds = list(by_sound.values())
    held = max(1, round(fraction * len(sounds)))
    if held >= len(sounds):
        raise no_room(manifest, subset, f"there are only {counted(len(indices), 'clip')} for it")
    shuffle = ShuffleSplit(1, test_size=held, random_state=seed)
    kept, taken = next(shuffle.split(list(range(len(sounds)))))
    rest, held_out = ([index for i in some for index in sounds[i]] for some in (kept, taken))
    return rest, held_out
