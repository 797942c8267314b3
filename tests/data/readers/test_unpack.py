from __future__ import annotations

import stat
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from soundsets import faults_of

from sonotype.core.errors import DataError
from sonotype.data.readers import unpack
from sonotype.data.readers.unpack import unpack_zip


def pack(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def contents(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in sorted(files)}


def test_one_wrapping_folder_is_taken_off(tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", {"top/a.txt": "1", "top/b/c.txt": "2"})
    unpack_zip(archive, tmp_path / "out" / "set")
    assert contents(tmp_path / "out") == {"set/a.txt": "1", "set/b/c.txt": "2"}


def test_several_entries_stay_as_they_are(tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", {"a.txt": "1", "b/c.txt": "2"})
    (tmp_path / "set").mkdir()
    assert contents(unpack_zip(archive, tmp_path / "set")) == {"a.txt": "1", "b/c.txt": "2"}


@pytest.mark.parametrize("name", ["../x.txt", "a/../../x.txt", "/x.txt"])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    unpack_zip(pack(inside / "x.zip", {"a.txt": "1", name: "2"}), inside / "set")
    assert sorted(contents(inside / "set").values()) == ["1", "2"]
    assert [path.name for path in tmp_path.iterdir()] == ["inside"]
    assert {path.name for path in inside.iterdir()} == {"x.zip", "set"}


def test_links_are_written_as_files(tmp_path: Path) -> None:
    member = zipfile.ZipInfo("link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    unpack_zip(tmp_path / "x.zip", tmp_path / "set")
    assert not (tmp_path / "set/link").is_symlink()
    assert (tmp_path / "set/link").read_text() == "/etc/passwd"


def test_damaged_archives_leave_nothing(tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", {"a.txt": "hello", "b.txt": "world"})
    content = archive.read_bytes()
    for damaged in (content[:40], content.replace(b"world", b"w0rld", 1), b""):
        archive.write_bytes(damaged)
        (issue,) = faults_of(lambda: unpack_zip(archive, tmp_path / "set"), tmp_path)
        assert issue.startswith("x.zip: not a complete zip archive (")
        assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_nothing_is_replaced(tmp_path: Path) -> None:
    archive = pack(tmp_path / "x.zip", {"a.txt": "1"})
    (tmp_path / "set").mkdir()
    (tmp_path / "set/mine.txt").write_text("mine")
    with pytest.raises(OSError, match="not empty"):
        unpack_zip(archive, tmp_path / "set")
    assert contents(tmp_path / "set") == {"mine.txt": "mine"}


@pytest.mark.parametrize(("offset", "value"), [(6, 1), (8, 99)], ids=["encrypted", "compression"])
def test_archives_that_cannot_be_read_leave_nothing(
    tmp_path: Path, offset: int, value: int
) -> None:
    archive = pack(tmp_path / "x.zip", {"a.txt": "hello"})
    content = bytearray(archive.read_bytes())
    content[offset] = content[content.index(b"PK\1\2") + offset + 2] = value
    archive.write_bytes(content)
    (issue,) = faults_of(lambda: unpack_zip(archive, tmp_path / "set"), tmp_path)
    assert issue.startswith("x.zip: not a complete zip archive (")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_an_archive_with_a_nameless_entry_leaves_nothing(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo(""), "hello")
    with pytest.raises(DataError):
        unpack_zip(tmp_path / "x.zip", tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.parametrize("names", [["a", "a/b"], ["x" * 300], ["a/..", "b"]])
def test_names_that_no_folder_can_have(tmp_path: Path, names: list[str]) -> None:
    archive = pack(tmp_path / "x.zip", dict.fromkeys(names, "1"))
    with suppress(DataError):
        unpack_zip(archive, tmp_path / "set")
    assert {path.name for path in tmp_path.iterdir()} <= {"x.zip", "set"}


def test_an_archive_that_would_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "x.zip", {"a": "1" * 1000, "b": "2" * 1001})
    monkeypatch.setattr(unpack, "MOST", 2000)
    with pytest.raises(DataError, match="unpacked it would have 2,001 bytes"):
        unpack_zip(archive, tmp_path / "set")
    assert not (tmp_path / "set").exists()
