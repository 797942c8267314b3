"""Links in folders that someone else made, and what they lead to."""

from __future__ import annotations

from pathlib import Path

LINK = "is a link to another place"


def make_victim(folder: Path) -> Path:
    """A folder with files of the user."""
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    (folder / "x.wav").write_bytes(b"a sound")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of each file in a folder, by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
