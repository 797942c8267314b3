"""Folds for cross-fitting: they divide the clips, keep recordings, and leave each class outside."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

import pytest
from soundsets import manifest_of

from sonotype.core.errors import OptionsError
from sonotype.data.manifest import Manifest
from sonotype.data.splits.crossfit import (
    FOLDS,
    balanced_folds,
    crossfit_split,
    own_folds,
    unscored_classes,
)
from sonotype.data.splits.subsets import NoteKind

Rows = list[tuple[str, str | None, str, int | None]]


def skewed(seed: int) -> Manifest:
    """Classes of very different numbers of recordings, some of which several classes share."""
    rng = random.Random(seed)
    rows: Rows = []
    events = rng.random() < 0.5
    for c in range(rng.randint(1, 8)):
        for g in range(rng.choice([1, 1, 2, 2, 3, 5, 12, 40])):
            group = f"c{c}g{g}"
            if rng.random() < 0.15:
                group = f"shared{rng.randint(0, 2)}"
            event = f"c{c}e{rng.randint(0, 2)}" if events and rng.random() < 0.9 else None
            rows += [(f"c{c}", event, group, None)] * rng.choice([1, 1, 1, 2, 7, 15])
    rng.shuffle(rows)
    return manifest_of(rows)


def recordings_of(manifest: Manifest) -> dict[tuple[str, str], set[str]]:
    """By level and name of each class its recordings."""
    found = defaultdict(set)
    for clip in manifest.clips:
        for level, names in clip.labels.items():
            for name in names:
                found[level, name].add(clip.group)
    return found


@pytest.mark.parametrize("seed", range(150))
def test_folds_divide_any_clips(seed: int) -> None:
    manifest = skewed(seed)
    made = crossfit_split(manifest, seed=seed % 3)
    clips = list(range(len(manifest.clips)))
    assert (list(made.train), made.val, made.test) == (clips, (), ())
    recordings = recordings_of(manifest)
    if all(len(groups) == 1 for groups in recordings.values()):
        assert made.folds == ()
        return
    folds = made.folds
    assert 2 <= len(folds) <= FOLDS
    assert all(fold and list(fold) == sorted(fold) for fold in folds)
    assert sorted(index for fold in folds for index in fold) == clips
    home = {manifest.clips[index].group: n for n, fold in enumerate(folds) for index in fold}
    for n, fold in enumerate(folds):
        assert all(home[manifest.clips[index].group] == n for index in fold), "a recording is cut"
    for name, groups in recordings.items():
        if len(groups) > 1:
            assert len({home[group] for group in groups}) > 1, f"{name} is in one fold only"


@pytest.mark.parametrize("seed", range(20))
def test_the_same_seed_gives_the_same_folds(seed: int) -> None:
    manifest = skewed(seed)
    assert crossfit_split(manifest, seed=seed) == crossfit_split(manifest, seed=seed)


@pytest.mark.parametrize(
    ("recordings", "count"), [((2, 2, 2), 2), ((3, 3, 40), 3), ((5, 9, 9), 5), ((40, 40), 5)]
)
def test_the_number_of_folds_is_the_median_number_of_recordings(
    recordings: tuple[int, ...], count: int
) -> None:
    rows: Rows = [
        (f"c{c}", None, f"c{c}g{g}", None) for c, size in enumerate(recordings) for g in range(size)
    ]
    folds = crossfit_split(manifest_of(rows)).folds
    assert len(folds) == count
    if set(recordings) == {2}:  # a recording of each class in each fold
        assert all(len(fold) == len(recordings) for fold in folds)


def test_equal_classes_are_spread_equally() -> None:
    rows: Rows = [(f"c{n % 4}", None, f"g{n}", None) for n in range(40)]
    manifest = manifest_of(rows)
    for fold in crossfit_split(manifest).folds:
        counts = [manifest.clips[index].label("category") for index in fold]
        assert sorted(counts) == sorted(["c0", "c1", "c2", "c3"] * 2)


def test_folds_of_some_clips_hold_only_these() -> None:
    manifest = skewed(7)
    some = [index for index in range(len(manifest.clips)) if index % 3]
    folds = balanced_folds(manifest, some, most=8)
    assert sorted(index for fold in folds for index in fold) == some
    assert len(folds) <= 8


@pytest.mark.parametrize("clips", [1, 3])
def test_one_recording_a_class_gives_no_folds(clips: int) -> None:
    rows: Rows = [(f"c{c}", None, f"c{c}", None) for c in range(4)] * clips
    made = crossfit_split(manifest_of(rows))
    assert made.folds == ()
    assert len(made.train) == 4 * clips
    assert made.notes[0].kind == NoteKind.NO_FOLDS
    assert "add recordings" in made.note


def test_classes_in_a_single_fold_are_named() -> None:
    rows: Rows = [("a", "x", "1", None), ("a", "y", "2", None), ("b", "z", "3", None)]
    rows += [("a", "x", "4", None), ("b", "z", "3", None)]
    manifest = manifest_of(rows)
    made = crossfit_split(manifest)
    assert unscored_classes(manifest, made.folds) == ["b", "y", "z"]
    [note] = [note for note in made.notes if note.kind == NoteKind.UNSCORED]
    assert str(note).endswith("only one fold has recordings: b, y, z")
    several = manifest_of([("a", None, "1", None), ("a", None, "2", None)])
    made = crossfit_split(several)
    assert unscored_classes(several, made.folds) == []
    assert NoteKind.UNSCORED not in [note.kind for note in made.notes]


def test_classes_in_one_own_fold_are_named_also_with_several_recordings() -> None:
    rows: Rows = [("a", None, f"a{n}", n % 2 + 1) for n in range(4)]
    rows += [("b", None, f"b{n}", 1) for n in range(3)]
    made = crossfit_split(manifest_of(rows))
    assert [str(note) for note in made.notes if note.kind == NoteKind.UNSCORED] == [
        "learnt, but without a score, because only one fold has recordings: b"
    ]


def test_protocol_folds_needs_folds() -> None:
    rows: Rows = [("a", None, "1", None), ("a", None, "2", None)]
    with pytest.raises(OptionsError, match="has no folds"):
        crossfit_split(manifest_of(rows), protocol="folds")


def test_subsets_of_the_source_are_not_folds() -> None:
    rows: Rows = [(c, None, f"{c}{n}", n % 3 + 1) for c in "ab" for n in range(6)]
    manifest = replace(manifest_of(rows), folds_are_subsets=True)
    assert crossfit_split(manifest).protocol == "grouped"


# The source's own folds


OWN: Rows = [
    ("a", None, "1", 1), ("a", None, "2", 2), ("b", None, "3", 1), ("b", None, "4", 4),
    ("a", None, "5", None),
]  # fmt: skip


def test_own_folds_are_kept() -> None:
    manifest = manifest_of(OWN)
    assert own_folds(manifest) == ((0, 2), (1,), (3,))
    made = crossfit_split(manifest)
    assert made.folds == ((0, 2), (1,), (3,))
    assert made.train == (0, 1, 2, 3, 4), "a clip without a fold is learnt"
    assert (made.protocol, made.grouped) == ("folds", True)
    assert str(made.notes[0]).startswith("cross-fitting: 3 models")
    assert made.notes[0].kind == NoteKind.CROSSFIT_OWN


def test_protocol_grouped_ignores_own_folds() -> None:
    made = crossfit_split(manifest_of(OWN), protocol="grouped")
    assert made.protocol == "grouped"
    assert sorted(index for fold in made.folds for index in fold) == [0, 1, 2, 3, 4]
    assert made.notes[0].kind == NoteKind.CROSSFIT


def test_a_single_own_fold_is_no_division() -> None:
    made = crossfit_split(manifest_of([("a", None, str(n), 1) for n in range(4)]))
    assert made.protocol == "grouped"
    assert len(made.folds) == 4


def test_recordings_in_two_own_folds_are_named() -> None:
    rows: Rows = [("a", None, "1", 1), ("a", None, "1", 2), ("a", None, "2", 2)]
    made = crossfit_split(manifest_of(rows))
    assert not made.grouped
    [note] = [note for note in made.notes if note.kind == NoteKind.CROSSFIT_SHARED]
    assert str(note) == "1 recordings in two folds, as in the source's own folds (1)"
    unknown = crossfit_split(manifest_of(OWN, grouped=False))
    assert not unknown.grouped
    assert NoteKind.UNKNOWN_RECORDINGS in [note.kind for note in unknown.notes]
