from __future__ import annotations

import random
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from soundsets import manifest_of

from sonotype.core.errors import DataError, OptionsError, SonotypeError
from sonotype.core.types import Clip, level_name
from sonotype.data.manifest import Manifest
from sonotype.data.readers.esc50 import read_esc50
from sonotype.data.splits.split import Split, cross_validation, split
from sonotype.data.splits.stratified import _ratio
from sonotype.data.splits.subsets import NoteKind

Rows = list[tuple[str, str | None, str, int | None]]


def random_manifest(seed: int) -> Manifest:
    """Categories, events, recordings and their sizes drawn at random."""
    rng = random.Random(seed)
    with_events = rng.random() < 0.7
    grouped = rng.random() < 0.8
    rows: Rows = []
    for c in range(rng.randint(2, 5)):
        for e in range(rng.randint(1, 5) if with_events else 1):
            event = f"c{c}e{e}" if with_events else None
            for g in range(rng.choice([1, 2, 3, 5, 8, 20])):
                group = f"c{c}e{e}g{g}"
                if grouped and rng.random() < 0.05:
                    group = "shared"  # one recording with several classes in it
                size = rng.choice([1, 1, 1, 2, 4, 8]) if grouped else 1
                rows += [(f"c{c}", event, group, None)] * size
    rng.shuffle(rows)
    return manifest_of(rows, grouped=grouped)


def parts_of(made: Split) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    return made.train, made.val, made.test


def assert_complete(manifest: Manifest, made: Split) -> None:
    train, val, test = parts_of(made)
    assert sorted([*train, *val, *test]) == list(range(len(manifest.clips)))
    assert train
    assert val
    assert test
    assert all(list(part) == sorted(part) for part in (train, val, test))


def shared_by_brute_force(manifest: Manifest, made: Split) -> set[str]:
    """Recordings on two sides, by looking at every pair of clips."""
    groups = [clip.group for clip in manifest.clips]
    sides = parts_of(made)
    return {
        groups[i]
        for one, part in enumerate(sides)
        for other in sides[one + 1 :]
        for i in part
        for j in other
        if groups[i] == groups[j]
    }


def untaught(manifest: Manifest, made: Split) -> set[str]:
    """Classes that the training part has no clip of."""

    def classes(indices: Sequence[int]) -> set[str]:
        clips = [manifest.clips[index] for index in indices]
        return {clip.label("category") for clip in clips} | {
            clip.label("event") for clip in clips if clip.label("event")
        }

    return classes(range(len(manifest.clips))) - classes(made.train)


@pytest.mark.parametrize("seed", range(120))
def test_grouped_split_of_random_sets(seed: int) -> None:
    manifest = random_manifest(seed)
    try:
        made = split(manifest, protocol="grouped", seed=seed)
    except DataError as error:
        assert "can be held out" in str(error)
        assert len({clip.group for clip in manifest.clips}) < 12
        return
    assert_complete(manifest, made)
    assert shared_by_brute_force(manifest, made) == set()
    assert untaught(manifest, made) == set()
    assert made.grouped == manifest.grouped
    assert made.note.startswith(NoteKind.GROUPED if manifest.grouped else NoteKind.UNGROUPED)
    # A recording is never cut, and classes are given back: that is how far a share can be off.
    largest = max(Counter(clip.group for clip in manifest.clips).values())
    classes = len({(clip.label("category"), clip.label("event")) for clip in manifest.clips})
    share = 0.2 * len(manifest.clips)
    assert abs(len(made.test) - share) <= max(largest + classes, 0.25 * share)


@pytest.mark.parametrize("seed", range(40))
def test_cross_validation_of_random_sets(seed: int) -> None:
    manifest = random_manifest(seed)
    try:
        made = cross_validation(manifest, folds=3, seed=seed)
    except SonotypeError as error:
        assert "recording" in str(error)
        assert len({clip.group for clip in manifest.clips}) < 12
        return
    assert len(made) == 3
    tested = Counter(index for turn in made for index in turn.test)
    assert set(tested.values()) <= {1}
    for turn in made:
        assert_complete(manifest, turn)
        assert shared_by_brute_force(manifest, turn) == set()
        assert untaught(manifest, turn) == set()
    untested = [manifest.clips[i] for i in range(len(manifest.clips)) if not tested[i]]
    groups = Counter((c.label("category"), c.label("event"), c.group) for c in manifest.clips)
    recordings = Counter((category, event) for category, event, _ in groups)
    for clip in untested:  # only what training could not spare
        assert recordings[clip.label("category"), clip.label("event")] <= 3


@pytest.mark.parametrize(
    "seed", [seed for seed in range(60) if len(random_manifest(seed).clips) >= 30]
)
def test_random_split_of_random_sets(seed: int) -> None:
    manifest = random_manifest(seed)
    made = split(manifest, protocol="random", seed=seed)
    assert_complete(manifest, made)
    assert untaught(manifest, made) == set()
    assert not made.grouped
    assert made.note.startswith("random split of clips, not grouped")


def balanced(classes: int, recordings: int, clips: int, *, grouped: bool = True) -> Manifest:
    rows: Rows = [
        (f"c{c % 2}", f"e{c:02}", f"{c}.{r}" if grouped else f"{c}.{r}.{k}", None)
        for c in range(classes)
        for r in range(recordings)
        for k in range(clips)
    ]
    return manifest_of(rows, grouped=grouped)


def test_classes_are_balanced_and_sizes_kept() -> None:
    manifest = balanced(classes=6, recordings=20, clips=2)
    made = split(manifest, protocol="grouped")
    assert (len(made.train), len(made.val), len(made.test)) == pytest.approx((163, 29, 48), abs=6)
    for part, share in zip(parts_of(made), (0.68, 0.12, 0.2), strict=True):
        counts = Counter(manifest.clips[index].label("event") for index in part)
        assert all(abs(counts[f"e{c:02}"] - share * 40) <= 4 for c in range(6))


def test_clips_that_stand_alone_are_balanced_exactly() -> None:
    manifest = balanced(classes=4, recordings=50, clips=1, grouped=False)
    made = split(manifest)
    counts = [Counter(manifest.clips[i].label("event") for i in part) for part in parts_of(made)]
    assert set(counts[2].values()) == {10}
    assert set(counts[1].values()) <= {5, 6}
    assert made.note == NoteKind.UNGROUPED
    assert not made.grouped


@pytest.mark.parametrize("fraction", [0.02, 0.05, 0.1, 0.25, 1 / 3, 0.4, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("clips", [1, 2])
def test_fractions(fraction: float, clips: int) -> None:
    manifest = balanced(classes=4, recordings=100 // clips, clips=clips)
    made = split(manifest, test_fraction=fraction, val_fraction=fraction)
    total = len(manifest.clips)
    assert len(made.test) == pytest.approx(fraction * total, rel=0.1, abs=4)
    assert len(made.val) == pytest.approx(fraction * (total - len(made.test)), rel=0.1, abs=4)


@pytest.mark.parametrize("fraction", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("groups", [2, 3, 4])
def test_fractions_of_few_recordings(fraction: float, groups: int) -> None:
    folds, held = _ratio(fraction, groups)
    assert 2 <= folds <= groups
    assert 1 <= held < folds


def test_same_seed_same_split_and_another_seed_another() -> None:
    manifest = balanced(classes=4, recordings=20, clips=2)
    for protocol in ("grouped", "random"):
        one, two, other = (split(manifest, protocol=protocol, seed=seed) for seed in (3, 3, 4))
        assert one == two
        assert one.test != other.test


def test_clips_of_which_only_some_have_events_are_stratified_by_category() -> None:
    rows: Rows = [("ab"[k % 2], "x" if k == 0 else None, str(k), None) for k in range(100)]
    made = split(manifest_of(rows))
    assert Counter(rows[index][0] for index in made.test) == {"a": 10, "b": 10}
    assert 0 in made.train  # the only clip of x


def test_three_levels() -> None:
    """Every class of every level is trained, and the finest level is balanced."""
    labels = [(f"c{n % 2}", f"e{n % 6}", f"f{n % 18:02}") for n in range(360)]
    clips = tuple(
        Clip(
            Path(f"{n:03}"),
            {level_name(depth): (label,) for depth, label in enumerate(names)},
            f"{names[-1]}.{n // 36}",
            None,
        )
        for n, names in enumerate(labels)
    )
    manifest = Manifest("deep", clips, grouped=True)
    for protocol in ("grouped", "random"):
        made = split(manifest, protocol=protocol)
        for level in manifest.levels:
            trained = {manifest.clips[index].label(level) for index in made.train}
            assert trained == {clip.label(level) for clip in clips}
    made = split(manifest, protocol="grouped")
    assert shared_by_brute_force(manifest, made) == set()
    counts = Counter(manifest.clips[index].label("level_3") for index in made.test)
    assert counts == dict.fromkeys({names[-1] for names in labels}, 4)
    few = Manifest("few", tuple(clip for clip in clips if clip.group[-2:] in (".0", ".1")))
    made = split(few, test_fraction=0.4)
    assert {few.clips[index].label("level_3") for index in made.train} == set(counts)
    unseen = {*counts} - {few.clips[index].label("level_3") for index in made.test}
    assert f"no clip in the test subset of: {', '.join(sorted(unseen)[:10])}" in made.note


def test_two_clips_a_class() -> None:
    manifest = balanced(classes=10, recordings=2, clips=1)
    made = split(manifest)
    assert_complete(manifest, made)
    assert untaught(manifest, made) == set()
    assert len(made.test) == 4
    assert len(made.val) in (2, 3)
    unseen = {clip.label("event") for clip in manifest.clips} - {
        manifest.clips[index].label("event") for index in made.test
    }
    assert f"no clip in the test subset of: {', '.join(sorted(unseen))}" in made.note


def test_smallest_set() -> None:
    rows: Rows = [("a", None, "1", None), ("a", None, "2", None), ("b", None, "3", None)]
    made = split(manifest_of([*rows, ("b", None, "4", None)]))
    assert (len(made.train), len(made.val), len(made.test)) == (2, 1, 1)


def test_class_of_one_recording_is_learnt_and_named_as_untested() -> None:
    rows: Rows = [("ab"[k % 2], None, str(k), None) for k in range(40)]
    rows += [("single", None, "one", None)] * 4
    made = split(manifest_of(rows), seed=1)
    assert set(range(40, 44)) <= set(made.train)
    assert made.note == (
        f"{NoteKind.GROUPED}; no clip in the validation subset of: single"
        "; no clip in the test subset of: single"
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("a", None, "1", None), ("a", None, "1", None), ("b", None, "1", None)],
            (
                "no clip can be held out for the test subset: all clips come from one recording; "
                "add recordings"
            ),
        ),
        (
            [("a", None, "1", None), ("b", None, "2", None), ("c", None, "3", None)],
            (
                "no clip can be held out for the test subset: there are too few recordings to "
                "learn every class (a, b, c have only one); add recordings"
            ),
        ),
        (
            [("a", None, "1", None), ("a", None, "2", None)],
            (
                "no clip can be held out for the validation subset: all clips left for training "
                "and validation come from one recording; add recordings"
            ),
        ),
        ([], "no clips to split"),
    ],
)
def test_sets_that_cannot_be_split(rows: Rows, message: str) -> None:
    with pytest.raises(DataError) as caught:
        split(manifest_of(rows))
    assert [str(issue) for issue in caught.value.issues] == [f"made: {message}"]


def folded(folds: Sequence[int], *, shared: bool = False) -> Manifest:
    rows: Rows = [
        ("ab"[k % 2], None, "same" if shared and k == 0 else f"{fold}.{k}", fold)
        for fold in folds
        for k in range(4)
    ]
    return manifest_of(rows)


def folds_of(manifest: Manifest, made: Split) -> list[set[int | None]]:
    return [{manifest.clips[index].fold for index in part} for part in parts_of(made)]


@pytest.mark.parametrize(
    ("train", "val", "test", "expected"),
    [
        ((), (), (), [{1, 2, 3}, {4}, {5}]),
        ((), (), (1,), [{2, 3, 4}, {5}, {1}]),
        ((), (), (3,), [{1, 4, 5}, {2}, {3}]),
        ((), (5,), (), [{1, 2, 3}, {5}, {4}]),
        ((), (1,), (2, 3), [{4, 5}, {1}, {2, 3}]),
        ((1, 2), (), (), [{1, 2}, {4}, {5}]),
        ((1, 2), (3,), (4,), [{1, 2}, {3}, {4}]),
        ((1, 2, 3), (), (4, 5), [{1, 2, 3}, {1, 2, 3}, {4, 5}]),
    ],
)
def test_official_folds(
    train: tuple[int, ...],
    val: tuple[int, ...],
    test: tuple[int, ...],
    expected: list[set[int]],
) -> None:
    manifest = folded(range(1, 6))
    made = split(manifest, train_folds=train, val_folds=val, test_folds=test)
    assert made.protocol == "folds"
    assert made.grouped
    if expected[0] == expected[1]:  # validation comes out of the training folds
        where = folds_of(manifest, made)
        assert (where[0] | where[1], where[2]) == (expected[0], expected[2])
        assert set(made.train).isdisjoint(made.val)
        assert len(made.val) == 2
    else:
        assert folds_of(manifest, made) == expected


def test_notes_of_official_folds() -> None:
    assert split(folded((1, 2, 3))).note == (
        "the source's own folds: 1 train, 2 validates, 3 tests"
    )
    assert split(folded((1, 2, 3, 4)), train_folds=(1,)).note == (
        "the source's own folds: 1 train, 3 validates, 4 tests; not used: 2"
    )
    assert split(folded((1, 2))).note == (
        "the source's own folds: 1 train, a part of them validates, 2 tests"
        "; no clip in the validation subset of: a"
    )
    made = split(folded((1, 2, 3), shared=True))
    assert not made.grouped
    assert made.note == (
        "the source's own folds: 1 train, 2 validates, 3 tests; 1 recording in two subsets, "
        "as in the source's own folds (same; 1 of them in the test subset)"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"protocol": "kfold"},
            "--protocol kfold: has to be one of auto, folds, grouped, random, all",
        ),
        ({"test_fraction": 0}, "--test-fraction 0: has to be between 0 and 1"),
        ({"val_fraction": 1.5}, "--val-fraction 1.5: has to be between 0 and 1"),
        ({"test_folds": (7, 1)}, "--test-folds: no fold 7; there are 1, 2, 3"),
        (
            {"val_folds": (1,), "test_folds": (1, 2)},
            "--val-folds and --test-folds both have fold 1",
        ),
        (
            {"val_folds": (1,), "test_folds": (2, 3)},
            "--train-folds: the other subsets use all folds",
        ),
        ({"train_folds": (1, 2, 3)}, "--test-folds: the other subsets use all folds"),
        (
            {"protocol": "random", "test_folds": (1,)},
            "--train-folds, --val-folds and --test-folds need --protocol folds, not random",
        ),
    ],
)
def test_options_that_cannot_work(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError) as caught:
        split(folded((1, 2, 3)), **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_folds_where_there_are_none() -> None:
    manifest = balanced(2, 4, 1)
    for options in ({"protocol": "folds"}, {"test_folds": (1,)}):
        with pytest.raises(OptionsError) as caught:
            split(manifest, **options)  # type: ignore[arg-type]
        assert str(caught.value) == "--protocol folds: made has no folds; use --protocol grouped"


def test_training_folds_without_a_class() -> None:
    rows: Rows = [("ab"[k % 2], None, str(k), 1 + k // 4) for k in range(12)]
    rows += [("late", None, "12", 3), ("late", None, "13", 2)]
    with pytest.raises(DataError) as caught:
        split(manifest_of(rows))
    assert str(caught.value.issues[0]) == (
        "made: folds 1 train, and have no clip of late; choose other --train-folds"
    )


def test_random_moves_clips_of_classes_that_training_lacks() -> None:
    rows: Rows = [("a", None, str(k), None) for k in range(60)] + [("b", None, "60", None)] * 2
    notes = [split(manifest_of(rows), protocol="random", seed=seed).note for seed in range(40)]
    moved = [
        note for note in notes if "1 clip moved to the training subset, which had none" in note
    ]
    assert len(moved) > 0
    assert len(moved) < 20


def test_random_test_part_is_that_of_shuffle_split() -> None:
    from sklearn.model_selection import ShuffleSplit

    manifest = balanced(classes=4, recordings=40, clips=1)
    made = split(manifest, protocol="random", seed=1)
    rest, test = next(ShuffleSplit(1, test_size=0.2, random_state=1).split(np.zeros(160)))
    assert made.test == tuple(sorted(test.tolist()))
    assert sorted([*made.train, *made.val]) == sorted(rest.tolist())
    assert len(made.val) == round(0.15 * 128)


def test_cross_validation_over_official_folds() -> None:
    manifest = folded((1, 2, 3, 4))
    made = cross_validation(manifest, folds=9)
    assert [folds_of(manifest, turn) for turn in made] == [
        [{3, 4}, {2}, {1}],
        [{1, 4}, {3}, {2}],
        [{1, 2}, {4}, {3}],
        [{2, 3}, {1}, {4}],
    ]


def test_cross_validation_over_two_official_folds() -> None:
    manifest = folded((1, 2))
    made = cross_validation(manifest)
    assert [folds_of(manifest, turn) for turn in made] == [
        [{2}, {2}, {1}],
        [{1}, {1}, {2}],
    ]


def test_cross_validation_tests_every_clip_once() -> None:
    manifest = balanced(classes=4, recordings=10, clips=3)
    for folds in (2, 3, 5):
        made = cross_validation(manifest, folds=folds, seed=2)
        assert sorted(index for turn in made for index in turn.test) == list(range(120))
        for turn in made:
            assert_complete(manifest, turn)
            assert len(turn.test) == pytest.approx(120 / folds, abs=7)
            assert turn.protocol == "grouped"
            assert turn.note.startswith(NoteKind.GROUPED)


def test_number_of_folds() -> None:
    manifest = balanced(classes=2, recordings=2, clips=1)
    for folds in (1, 5):
        with pytest.raises(OptionsError) as caught:
            cross_validation(manifest, folds=folds)
        assert str(caught.value) == (
            f"--folds {folds}: has to be from 2 to 4, the number of recordings"
        )


def test_no_warning_leaks() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        split(balanced(classes=10, recordings=2, clips=1))
        rows: Rows = [("a", None, str(k), None) for k in range(30)]
        split(manifest_of([*rows, ("b", None, "x", None), ("b", None, "y", None)]))
    assert [str(warning.message) for warning in seen] == []


def test_many_clips_are_split_in_seconds() -> None:
    manifest = balanced(classes=50, recordings=400, clips=1)
    began = time.process_time()
    made = split(manifest)
    assert time.process_time() - began < 8
    assert len(made.test) == 4_000


def test_real_recordings_do_not_leak(assets: Path) -> None:
    manifest = read_esc50(assets / "data/esc50")
    made = split(manifest, protocol="grouped")
    assert_complete(manifest, made)
    assert made.grouped
    groups = [{manifest.clips[index].group for index in part} for part in parts_of(made)]
    assert groups[0] & groups[1] == groups[0] & groups[2] == groups[1] & groups[2] == set()
    assert (len(made.train), len(made.val), len(made.test)) == pytest.approx(
        (1088, 192, 320), abs=25
    )
    for part, share in zip(parts_of(made), (0.68, 0.12, 0.2), strict=True):
        counts = Counter(manifest.clips[index].label("event") for index in part)
        assert all(abs(count - share * 32) <= 6 for count in counts.values())
        assert len(counts) == 50


def test_real_folds(assets: Path) -> None:
    manifest = read_esc50(assets / "data/esc50")
    made = split(manifest, train_folds=(1, 2), val_folds=(3,), test_folds=(4,))
    assert (len(made.train), len(made.val), len(made.test)) == (800, 400, 400)
    assert shared_by_brute_force(manifest, made) == {"131943", "134049"}
    assert not made.grouped
    assert made.note == (
        "the source's own folds: 1, 2 train, 3 validates, 4 tests; 2 recordings in two subsets, "
        "as in the source's own folds (131943, 134049; 0 of them in the test subset)"
    )
