from __future__ import annotations

import re
from pathlib import Path

import pytest

from sonotype.core.errors import OptionsError
from sonotype.core.io import replacing


def test_a_finished_block_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.txt"
    for text in ("first", "second"):
        with replacing(path) as part:
            part.write_text(text)
        assert path.read_text() == text
    assert [entry.name for entry in path.parent.iterdir()] == ["scores.txt"]


def test_a_failing_block_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), replacing(path) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.txt"]


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    path = tmp_path / "taken" / "scores.txt"
    cause = re.escape(str(path)) + r" cannot be written \(.+\): choose another place"
    with pytest.raises(OptionsError, match=cause), replacing(path) as part:
        part.write_text("never")


def test_a_folder_of_that_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.txt").mkdir()
    with (
        pytest.raises(OptionsError, match=r"scores\.txt cannot be written \(.+\): choose another"),
        replacing(tmp_path / "scores.txt") as part,
    ):
        part.write_text("new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.txt"]
