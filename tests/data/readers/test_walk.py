"""One way through folders: links once, systems' folders not at all, what cannot be read by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from soundsets import faults_of, touch

from sonotype.data.readers.folder import read_folder
from sonotype.data.readers.walk import BROKEN_LINK, in_order, passed_over, sounds_below, walk


def names(root: Path, paths: list[Path]) -> list[str]:
    return [str(path.relative_to(root)) for path in paths]


def slow_walk(folder: Path, seen: list[str], links: bool) -> Iterator[Path]:
    """All sounds: real folders first, then the links among them, by their real paths."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.append(real)
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink() and not passed_over(entry.name):
            yield from slow_walk(entry, seen, links)
        elif entry.is_file() and entry.suffix == ".wav" and not entry.name.startswith("."):
            yield entry
    if links:
        for entry in sorted(folder.rglob("*")):
            if entry.is_dir() and entry.is_symlink() and not passed_over(entry.name):
                yield from slow_walk(entry, seen, links)


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    field, store = tmp_path / "field", tmp_path / "store"
    touch(field, "one.wav", "day/two.wav")
    touch(store, "three.wav", "deep/four.WAV")
    (field / "a").symlink_to(store)
    (field / "b").symlink_to(store)  # the same folder a second time
    (store / "back").symlink_to(field)  # a loop
    (field / "day" / "self").symlink_to(".")
    (field / "aa").symlink_to("day")  # a real folder below keeps its own path
    wanted = ["a/deep/four.WAV", "a/three.wav", "day/two.wav", "one.wav"]
    assert names(field, sounds_below(field)) == wanted
    (store / "deep" / "four.WAV").rename(store / "deep" / "four.wav")
    assert sounds_below(field) == sorted(slow_walk(field, [], True))
    link = tmp_path / "link"
    link.symlink_to(field)
    assert len(sounds_below(link)) == 4
    (field / "up").symlink_to("..")  # leads out of the folder, and to it again
    assert names(field, sounds_below(field))[0] == "a/deep/four.wav"
    assert len(sounds_below(field)) == 4
    assert walk(field).broken == []


def test_links_to_files_count_once_and_the_file_has_its_own_name(tmp_path: Path) -> None:
    touch(tmp_path, "field/b.wav", "else/c.wav")
    (tmp_path / "field/a.wav").symlink_to("b.wav")
    (tmp_path / "field/d.wav").symlink_to("../else/c.wav")
    (tmp_path / "field/e.wav").symlink_to("../else/c.wav")
    assert names(tmp_path / "field", sounds_below(tmp_path / "field")) == ["b.wav", "d.wav"]
    os.link(tmp_path / "field/b.wav", tmp_path / "field/f.wav")  # another name, and no link
    assert names(tmp_path / "field", sounds_below(tmp_path / "field"))[-1] == "f.wav"


@pytest.mark.parametrize(
    "name",
    [
        *(".Trash-1000", ".ipynb_checkpoints", ".git", "$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER"),
        *("System Volume Information", "__MACOSX", "lost+found", "@eaDir", "#recycle"),
    ],
)
def test_folders_of_systems_are_passed_over(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/files/x.wav", "night/a.wav", f"night/{name}/x.wav", "night/._a.wav")
    (tmp_path / "night" / ".link").symlink_to(tmp_path)
    assert names(tmp_path, sounds_below(tmp_path)) == ["night/a.wav"]
    assert names(tmp_path, sounds_below(tmp_path / name)) == [
        f"{name}/files/x.wav"
    ]  # requested for


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "a.wav", "closed/b.wav", "notes.txt")
    for link, target in (("gone.wav", "x"), ("siteB", "y"), ("loop.wav", "loop.wav"),
                         ("README.md", "z"), (".hidden.wav", "x"), ("site.2024", "y")):  # fmt: skip
        (tmp_path / link).symlink_to(target)
    os.mkfifo(tmp_path / "pipe.wav")
    os.mkfifo(tmp_path / "pipe")
    plain = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = walk(tmp_path)
    assert names(tmp_path, found.sounds()) == ["a.wav"]
    assert [(path.name, cause) for path, cause in found.broken] == [
        ("closed", "cannot be opened (Permission denied)"),
        ("gone.wav", BROKEN_LINK),
        ("loop.wav", "cannot be opened (Too many levels of symbolic links)"),
        ("pipe.wav", "is a named pipe, not a sound file"),
        ("site.2024", BROKEN_LINK),
        ("siteB", BROKEN_LINK),
    ]


def test_names_that_are_no_text_are_found(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/\xff\xfe/\xe9.wav"
    path = Path(os.fsdecode(raw))
    path.parent.mkdir()
    path.touch()
    assert [os.fsencode(path) for path in sounds_below(tmp_path)] == [raw]


def test_paths_in_order_are_each_there_once(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a.wav")
    (tmp_path / "link").symlink_to(".")
    given = ["b.wav", "a.wav", "link/b.wav", "./a.wav", "gone.wav", "gone.wav"]
    found = in_order([tmp_path / name for name in given])
    assert names(tmp_path, found) == ["b.wav", "a.wav", "gone.wav"]


def test_a_missing_folder_holds_nothing(tmp_path: Path) -> None:
    assert sounds_below(tmp_path / "gone") == []


def test_class_folders_are_walked_in_the_same_way(tmp_path: Path) -> None:
    data = tmp_path / "d"
    touch(data, "dog/1.wav", "dog/2.wav", "dog/.ipynb_checkpoints/1-checkpoint.wav")
    touch(data, "$RECYCLE.BIN/x.wav", "@eaDir/1.wav", ".Trash-1000/files/x.wav")
    touch(tmp_path, "store/1.wav", "store/2.wav")
    (data / "rain").symlink_to("../store")
    (data / "dog" / "loop").symlink_to("../..")
    (data / "dog" / "up").symlink_to("..")
    manifest = read_folder(data)
    assert names(data, [clip.path for clip in manifest.clips]) == [
        *("dog/1.wav", "dog/2.wav", "rain/1.wav", "rain/2.wav"),
    ]
    assert manifest.heads[0].classes == ("dog", "rain")


def test_class_folders_name_what_cannot_be_read(tmp_path: Path) -> None:
    touch(tmp_path, "dog/1.wav", "dog/2.wav", "rain/1.wav", "rain/2.wav")
    (tmp_path / "dog" / "3.wav").symlink_to("gone.wav")
    (tmp_path / "wind").symlink_to("/nowhere/wind")
    (tmp_path / "hound").symlink_to("dog")
    assert faults_of(lambda: read_folder(tmp_path), tmp_path) == [
        f"dog/3.wav: {BROKEN_LINK}",
        "hound: the same folder as dog",
        f"wind: {BROKEN_LINK}",
    ]
