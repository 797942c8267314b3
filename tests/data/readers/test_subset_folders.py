"""Folders named train, val and test are subsets of the data, not classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from heads import classes_of
from soundsets import faults_of, touch

from sonotype.cli.main import run
from sonotype.core.errors import DataError, OptionsError
from sonotype.data import SourceOptions, open_source, split
from sonotype.data.manifest import Manifest
from sonotype.data.readers.folder import NO_SOUND
from sonotype.data.splits.split import cross_validation


def sets(
    root: Path, *parts: str, count: int = 4, classes: tuple[str, ...] = ("dog", "rain")
) -> Path:
    """Class folders in parts, with different names of files in each."""
    for part in parts:
        touch(root, *(f"{part}/{one}/{part}{n}.wav" for one in classes for n in range(count)))
    return root


def part_of(manifest: Manifest, indices: tuple[int, ...], root: Path) -> dict[str, int]:
    """Clips of a part by the name of the folder they are in."""
    names = [manifest.clips[index].path.relative_to(root).parts[0] for index in indices]
    return {name: names.count(name) for name in sorted(set(names))}


@pytest.mark.parametrize(
    ("names", "folds"),
    [
        (("train", "test"), {"train": 1, "test": 3}),
        (("Training", "VALID", "Testing"), {"Training": 1, "VALID": 2, "Testing": 3}),
        (("train", "dev", "eval"), {"train": 1, "dev": 2, "eval": 3}),
        (("train", "validation"), {"train": 1, "validation": 2}),
        (("dev", "eval"), {"dev": 1, "eval": 3}),  # a development and an evaluation part
        (("train",), {"train": 1}),
        (("evaluation",), {"evaluation": 3}),
    ],
)
def test_parts_are_folds_and_classes_lie_below(
    tmp_path: Path, names: tuple[str, ...], folds: dict[str, int]
) -> None:
    manifest = open_source(sets(tmp_path, *names))
    assert manifest.heads[0].classes == ("dog", "rain")
    assert len(manifest.heads) == 1
    for clip in manifest.clips:
        assert clip.fold == folds[clip.path.relative_to(tmp_path).parts[0]]
    assert sum(manifest.subsets.values()) == len(manifest.clips) == 8 * len(names)


def test_three_parts_split_as_their_names_say(tmp_path: Path) -> None:
    root = sets(tmp_path, "train", "val", "test")
    manifest = open_source(root)
    parts = split(manifest)
    assert part_of(manifest, parts.train, root) == {"train": 8}
    assert part_of(manifest, parts.val, root) == {"val": 8}
    assert part_of(manifest, parts.test, root) == {"test": 8}
    assert parts.protocol == "folds"
    assert parts.note == (
        "the source's own subsets: train trains, validation validates, test tests; "
        "recordings are not known"
    )


def test_a_part_without_a_folder_is_cut_from_the_training_part(tmp_path: Path) -> None:
    root = sets(tmp_path / "a", "train", "test", count=10)
    manifest = open_source(root)
    parts = split(manifest)
    assert part_of(manifest, parts.test, root) == {"test": 20}
    assert part_of(manifest, parts.train + parts.val, root) == {"train": 20}
    assert len(parts.val) == 3  # 15 % of 20
    assert "train trains, a part of train validates, test tests" in parts.note
    root = sets(tmp_path / "b", "train", "val", count=10)
    manifest = open_source(root)
    parts = split(manifest)
    assert part_of(manifest, parts.val, root) == {"val": 20}
    assert part_of(manifest, parts.train + parts.test, root) == {"train": 20}
    assert len(parts.test) == 4
    assert "train trains, validation validates, a part of train tests" in parts.note


def test_a_part_alone_is_split_as_any_source(tmp_path: Path) -> None:
    assert split(open_source(sets(tmp_path, "train", count=10))).protocol == "grouped"


def test_the_user_may_choose_otherwise(tmp_path: Path) -> None:
    root = sets(tmp_path, "train", "val", "test")
    manifest = open_source(root)
    parts = split(manifest, train_folds=(1, 2), test_folds=(3,))
    assert part_of(manifest, parts.test, root) == {"test": 8}
    assert part_of(manifest, parts.train + parts.val, root) == {"train": 8, "val": 8}
    grouped = split(manifest, protocol="grouped")
    assert grouped.note.endswith(
        "; the source's own subsets (train, validation, test) are not kept"
    )


def test_without_a_part_to_train_on(tmp_path: Path) -> None:
    manifest = open_source(sets(tmp_path, "val", "test"))
    with pytest.raises(OptionsError) as caught:
        split(manifest)
    assert str(caught.value) == (
        f"{tmp_path.name} has no training subset, only validation and test: add a folder train, "
        "or split all clips with --protocol grouped"
    )


def test_a_class_that_is_not_learnt(tmp_path: Path) -> None:
    sets(tmp_path, "train", "test")
    sets(tmp_path, "test", classes=("wind",))
    with pytest.raises(DataError, match="the training subset has no clip of wind; add clips"):
        split(open_source(tmp_path))


def test_cross_validation_is_refused(tmp_path: Path) -> None:
    manifest = open_source(sets(tmp_path, "train", "test"))
    with pytest.raises(OptionsError) as caught:
        cross_validation(manifest)
    assert f"{tmp_path.name} has its own subsets (train, test)" in str(caught.value)
    assert "sonotype train" in str(caught.value)
    assert len(cross_validation(open_source(tmp_path / "train"), folds=2)) == 2


def test_two_levels_below_the_parts(tmp_path: Path) -> None:
    for part in ("train", "test"):
        sets(tmp_path / part, "nature", classes=("rain", "wind"))
        sets(tmp_path / part, "urban", classes=("car", "train"))
    manifest = open_source(tmp_path)
    assert manifest.heads[0].classes == ("nature", "urban")
    assert manifest.heads[1].classes == ("car", "rain", "train", "wind")
    assert manifest.subsets == {"train": 16, "test": 16}


def test_parts_below_the_classes(tmp_path: Path) -> None:
    for name in ("dog", "rain"):
        touch(
            tmp_path, *(f"{name}/{part}/{part}{n}.wav" for part in ("train", "test") for n in "123")
        )
    manifest = open_source(tmp_path)
    assert classes_of(manifest.heads) == {"category": ("dog", "rain")}
    assert manifest.subsets == {"train": 6, "test": 6}
    touch(tmp_path, "dog/loose.wav")
    assert faults_of(lambda: open_source(tmp_path), tmp_path) == [
        (
            "dog: subsets (test, train) beside other sounds or folders: move all sounds into the "
            "subsets, or rename a subset that is a class"
        )
    ]


def test_subsets_below_deep_class_folders(tmp_path: Path) -> None:
    for name in ("nature/rain", "nature/wind", "urban/car/fast", "urban/car/slow"):
        below = "/any" if name.count("/") == 1 else ""
        for subset in ("train", "test"):
            touch(tmp_path, *(f"{name}{below}/{subset}/{subset}{n}.wav" for n in "123"))
    with pytest.raises(DataError, match="level_3 'any' is under 2 events: rain "):
        open_source(tmp_path)
    (tmp_path / "nature/wind/any").rename(tmp_path / "nature/wind/other")
    manifest = open_source(tmp_path)
    assert classes_of(manifest.heads) == {
        "category": ("nature", "urban"),
        "event": ("car", "rain", "wind"),
        "level_3": ("any", "fast", "other", "slow"),
    }
    assert manifest.subsets == {"train": 12, "test": 12}
    assert {(clip.path.parent.name, clip.fold) for clip in manifest.clips} == {
        ("train", 1),
        ("test", 3),
    }
    (tmp_path / "nature/wind/other/test").rename(tmp_path / "nature/test")
    (tmp_path / "nature/wind/other/train").rename(tmp_path / "nature/wind/train")
    issues = faults_of(lambda: open_source(tmp_path), tmp_path)
    assert [issue.split(" of the folders")[0] for issue in issues] == [
        "nature/test: mixed levels: 3 sounds on level 1",
        f"nature/wind/other: {NO_SOUND}",
        "nature/wind/train: mixed levels: 3 sounds on level 2",
    ]


def test_folders_without_sounds_and_of_systems_are_no_classes(tmp_path: Path) -> None:
    sets(tmp_path, "train", "test")
    touch(tmp_path, "docs/readme.txt", "@eaDir/train/dog/x.wav", "meta.json")
    assert open_source(tmp_path).subsets == {"train": 8, "test": 8}


def test_parts_beside_classes_are_refused(tmp_path: Path) -> None:
    sets(tmp_path, "train", "test")
    touch(tmp_path, "wind/1.wav", "wind/2.wav")
    assert faults_of(lambda: open_source(tmp_path), tmp_path) == [
        (
            f"{tmp_path}: folders named as subsets (test, train) beside others (wind): move all "
            "class folders into the subsets, as in test/wind, or rename a subset that is a class"
        )
    ]


def test_sounds_of_a_part_without_classes_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{n}.wav" for part in ("train", "Val") for n in "1234"))
    assert faults_of(lambda: open_source(tmp_path), tmp_path) == [
        f"{subset}: a subset, and its sounds have no class: put them into class folders, as in "
        f"{subset}/dog/1.wav, or list them in a table with a category for each"
        for subset in ("Val", "train")
    ]


def test_a_loose_sound_in_a_part_and_an_empty_part(tmp_path: Path) -> None:
    sets(tmp_path, "train", "test")
    touch(tmp_path, "train/loose.wav")
    assert faults_of(lambda: open_source(tmp_path), tmp_path) == [
        "train/loose.wav: lies beside the category folders; move it into the one it belongs to"
    ]
    (tmp_path / "train/loose.wav").unlink()
    touch(tmp_path, "val/dog/notes.txt")
    (issue,) = faults_of(lambda: open_source(tmp_path), tmp_path)
    assert issue.startswith("val: no sound inside (")


def test_a_train_can_be_heard(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/{n}.wav" for name in ("car", "plane", "train") for n in "12"))
    manifest = open_source(tmp_path)
    assert manifest.heads[0].classes == ("car", "plane", "train")
    assert manifest.subsets == {}
    touch(tmp_path / "deep", *(f"urban/{name}/{n}.wav" for name in ("car", "train") for n in "12"))
    touch(tmp_path / "deep", *(f"nature/{name}/{n}.wav" for name in ("rain", "wind") for n in "12"))
    assert open_source(tmp_path / "deep").heads[1].classes == ("car", "rain", "train", "wind")


@pytest.mark.parametrize("flags", [[], ["--qualify-events"]])
def test_data_check_counts_the_parts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    sets(tmp_path, "train", "test")
    assert run(["data", "check", str(tmp_path), *flags]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert "subsets     train 8, test 8" in lines
    assert "categories  2" in lines
    assert "events      none" in lines
    assert lines[-2:] == ["dog           8", "rain          8"]
    assert run(["data", "check", str(tmp_path), "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["folds"], found["subsets"]) == ([1, 3], {"train": 8, "test": 8})


def test_recordings_in_two_parts_are_told(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        touch(tmp_path / part, *(f"{one}/rec{n}_{part}.wav" for one in "xy" for n in "12"))
    manifest = open_source(tmp_path, SourceOptions(group_pattern=r"rec\d"))
    note = split(manifest).note
    assert (
        "2 recordings in two subsets, as in the source's own folds (rec1, rec2; 2 of them in"
        in note
    )


def test_a_run_folder_is_no_data(tmp_path: Path) -> None:
    touch(tmp_path, "model.safetensors", "config.json", "plots/a.png", "training/best.ckpt")
    assert faults_of(lambda: open_source(tmp_path), tmp_path) == [
        (
            f"{tmp_path}: a run folder with a model, and no labelled sounds; name the folder or "
            "table of the sounds"
        )
    ]


@pytest.mark.parametrize(
    "folders",
    [
        ("a/train/dog", "a/train/cat", "b/test/car", "b/test/bus"),
        ("a/train/dog", "a/test/dog", "b/train/car", "b/test/car"),
    ],
)
def test_subsets_between_levels_of_classes_are_no_classes(
    tmp_path: Path, folders: tuple[str, ...]
) -> None:
    touch(tmp_path, *(f"{folder}/{number}.wav" for folder in folders for number in "12"))
    faults = faults_of(lambda: open_source(tmp_path), tmp_path)
    named = {fault.partition(":")[0] for fault in faults if "subset between two levels" in fault}
    assert named == {folder.rpartition("/")[0] for folder in folders}


def test_a_train_is_a_class_with_classes_below_it(tmp_path: Path) -> None:
    folders = ("vehicles/train/steam", "vehicles/train/electric", "vehicles/car/engine")
    touch(tmp_path, *(f"{folder}/{n}.wav" for folder in (*folders, "a/b/c") for n in "12"))
    assert open_source(tmp_path).heads[1].classes == ("b", "car", "train")
