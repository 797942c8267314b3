"""Splits of windows and of clips with several labels."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from pathlib import Path

import pytest

from sonotype.core.types import Clip, Content
from sonotype.data.manifest import Manifest
from sonotype.data.splits.crossfit import balanced_folds, crossfit_split, unscored_classes
from sonotype.data.splits.split import Split, cross_validation, split
from sonotype.data.splits.split_file import read_split, same_split, split_table, write_split


def recordings(seed: int, *, groups: int = 20, classes: int = 6, folds: bool = False) -> Manifest:
    """Windows of recordings, each with some of the classes; many windows have none."""
    rng = random.Random(seed)
    clips = []
    for group in range(groups):
        path, own = Path(f"{group:02}.wav"), rng.sample(range(classes), rng.randint(1, classes - 1))
        content = Content(f"f{group}", f"s{group}")
        for start in range(rng.randint(1, 25)):
            some = tuple(f"c{c}" for c in sorted(rng.sample(own, rng.randint(0, len(own)))))
            fold = group % 3 if folds else None
            clips.append(Clip(path, {"category": some}, str(path), fold, content, start * 2.5, 5.0))
    return Manifest("made", tuple(clips), grouped=True, problem="multi")


def groups_of(manifest: Manifest, indices: tuple[int, ...]) -> set[str]:
    return {manifest.clips[index].group for index in indices}


def classes_in(manifest: Manifest, indices: tuple[int, ...]) -> set[str]:
    return {label for index in indices for label in manifest.clips[index].labels["category"]}


@pytest.mark.parametrize("seed", range(30))
def test_recordings_stay_together(seed: int) -> None:
    manifest = recordings(seed)
    everything = set(range(len(manifest.clips)))
    for made in (split(manifest, seed=seed), *cross_validation(manifest, folds=4, seed=seed)):
        subsets = (made.train, made.val, made.test)
        assert sorted(index for subset in subsets for index in subset) == sorted(everything)
        named = [groups_of(manifest, subset) for subset in subsets]
        assert sum(map(len, named)) == 20
        assert classes_in(manifest, made.train) == classes_in(manifest, tuple(everything))
        assert made.test
        assert made.val


@pytest.mark.parametrize("seed", range(30))
def test_folds_for_scores(seed: int) -> None:
    """Each class of several recordings is in two folds, so that it can be scored."""
    manifest = recordings(seed, groups=6)
    folds = balanced_folds(manifest, range(len(manifest.clips)), seed=seed)
    assert len(folds) >= 2
    assert sorted(index for fold in folds for index in fold) == list(range(len(manifest.clips)))
    assert sum(len(groups_of(manifest, fold)) for fold in folds) == 6
    homes: dict[str, set[str]] = {}
    for clip in manifest.clips:
        for label in clip.labels["category"]:
            homes.setdefault(label, set()).add(clip.group)
    single = {label for label, groups in homes.items() if len(groups) == 1}
    assert set(unscored_classes(manifest, folds)) <= single
    assert single <= set(unscored_classes(manifest, folds))


def test_folds_of_the_source() -> None:
    manifest = recordings(0, folds=True)
    made = crossfit_split(manifest)
    assert made.protocol == "folds"
    assert made.grouped
    for number, fold in enumerate(made.folds):
        assert {manifest.clips[index].fold for index in fold} == {number}


def test_a_rare_class_beside_a_frequent_one_is_spread() -> None:
    """Every clip has the label ``all``; the folds are balanced by the rarer label of a clip."""
    clips = []
    for number in range(60):
        rare = ("a",) if number % 3 else ("a", "b")
        clips.append(Clip(Path(f"{number:02}.wav"), {"category": rare}, str(number), None))
    manifest = Manifest("made", tuple(clips), problem="multi")
    folds = balanced_folds(manifest, range(60), seed=0)
    counts = [sum("b" in manifest.clips[i].labels["category"] for i in fold) for fold in folds]
    assert counts == [4] * 5


# The table of a split


def rows(table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table)))


def test_windows_have_a_start_in_the_table(tmp_path: Path) -> None:
    manifest = recordings(1)
    made = split(manifest)
    write_split(tmp_path / "split.csv", manifest, made)
    read = read_split(tmp_path / "split.csv")
    assert len(read) == len(manifest.clips)
    for row, clip in zip(read, manifest.clips, strict=True):
        assert (row["path"], float(row["start"])) == (str(clip.path), clip.start)
        assert tuple(filter(None, row["category"].split(";"))) == clip.labels["category"]
        assert (row["file_digest"], row["group"]) == (
            f"f{clip.path.stem.lstrip('0') or 0}",
            clip.group,
        )
    assert same_split(tmp_path / "split.csv", manifest, made)


def test_clips_have_no_start_in_the_table() -> None:
    clip = Clip(Path("a.wav"), {"category": ("x",)}, "a", None)
    table = split_table(Manifest("made", (clip,)), Split((0,), (), (), "all", True))
    assert "start" not in rows(table)[0]
    mixed = Manifest("made", (clip, replace(clip, start=0.5, seconds=1.0)))
    table = split_table(mixed, Split((0, 1), (), (), "all", True))
    assert [row["start"] for row in rows(table)] == ["", "0.5"]


def test_a_split_of_other_windows_is_another(tmp_path: Path) -> None:
    manifest = recordings(1)
    made = split(manifest)
    write_split(tmp_path / "split.csv", manifest, made)
    moved = [replace(clip, start=(clip.start or 0) + 0.1) for clip in manifest.clips]
    assert not same_split(tmp_path / "split.csv", replace(manifest, clips=tuple(moved)), made)
    elsewhere = [replace(clip, path="there" / clip.path) for clip in manifest.clips]
    assert same_split(tmp_path / "split.csv", replace(manifest, clips=tuple(elsewhere)), made)
    other = [replace(clip, labels={"category": ("c0",)}) for clip in manifest.clips]
    assert not same_split(tmp_path / "split.csv", replace(manifest, clips=tuple(other)), made)


def test_labels_in_another_order_are_the_same_split(tmp_path: Path) -> None:
    manifest = recordings(1)
    made = split(manifest)
    write_split(tmp_path / "split.csv", manifest, made)
    turned = [
        replace(clip, labels={"category": clip.labels["category"][::-1]}) for clip in manifest.clips
    ]
    assert same_split(tmp_path / "split.csv", replace(manifest, clips=tuple(turned)), made)
