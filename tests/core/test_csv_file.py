"""CSV tables of the program that are damaged, or of another kind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sonotype.core.csv_file import readable_rows, saved_rows
from sonotype.core.errors import OptionsError

LONG = "x" * 200_000
"""More than Python's ``csv`` takes in a cell."""


def test_rows_have_the_cells_of_the_header(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'a,b\n1,"x\n\xff,"\n\n2,\n')
    assert saved_rows(path, "a table") == [{"a": "1", "b": "x\n\udcff,"}, {"a": "2", "b": ""}]
    assert [*readable_rows(path)] == saved_rows(path, "a table")
    path.write_text("")
    assert saved_rows(path, "a table") == [*readable_rows(path)] == []


def test_cells_that_a_row_may_lack(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1\n")
    assert saved_rows(path, "a table", optional=("b",)) == [{"a": "1", "b": ""}]
    with pytest.raises(OptionsError, match="more or fewer cells"):
        saved_rows(path, "a table", optional=("a",))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (f"a,b\n1,2\n3,{LONG}\n4,5\n", r"field larger than field limit \(131072\) \(line 3\)"),
        (f"a,{LONG}\n1,2\n", "field larger than field limit"),
        ("a,b\n1,2\n3\n", "a row has more or fewer cells"),
        ("a,b\n1,2,3\n", "a row has more or fewer cells"),
    ],
)
def test_damaged_tables_are_named(tmp_path: Path, content: str, cause: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(OptionsError, match=rf"t\.csv is not the list of x: {cause}"):
        saved_rows(path, "the list of x")


def test_rows_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,b\n1,2\n3,{LONG}\n4\n5,6,7\n8,9\n")
    assert [*readable_rows(path)] == [{"a": "1", "b": "2"}, {"a": "8", "b": "9"}]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.timeout(60)
def test_a_named_pipe_in_place_of_a_table(tmp_path: Path) -> None:
    """Reading it would wait for a writer forever."""
    path = tmp_path / "t.csv"
    with pytest.raises(FileNotFoundError):
        saved_rows(path, "a table")
    os.mkfifo(path)
    with pytest.raises(OptionsError, match=r"t\.csv cannot be read \(is no regular file\)"):
        saved_rows(path, "a table")
    with pytest.raises(OSError, match="is no regular file"):
        next(readable_rows(path))
