from __future__ import annotations

from pathlib import Path

import pytest

from sonotype.core.errors import OptionsError
from sonotype.data.records import ClipRecord
from sonotype.data.splits.groups import assign_groups, compile_pattern, group_of, stand_alone


@pytest.mark.parametrize(
    ("name", "pattern", "group"),
    [
        ("1-100032-A-0.ogg", r"^\d-(\d+)-", "100032"),
        ("site3_0001.wav", r"site\d+", "site3"),
        ("a_b.wav", r"(\w)_(\w)", "a"),
        ("plain.wav", r"site\d+", None),
        ("b.wav", r"(a)?b", None),
        ("b.wav", r"(a*)b", None),
    ],
)
def test_group_of(name: str, pattern: str, group: str | None) -> None:
    assert group_of(name, compile_pattern(pattern)) == group


def test_bad_pattern() -> None:
    with pytest.raises(OptionsError) as caught:
        compile_pattern("a)")
    assert str(caught.value) == (
        "--group-pattern 'a)' is not a regular expression: unbalanced parenthesis at position 1"
    )


def test_only_the_file_name_is_looked_at() -> None:
    rows = [ClipRecord(Path("rec9/rec1.wav"), ("dog",))]
    assigned, issues = assign_groups(rows, r"rec\d")
    assert ([row.group for row in assigned], issues) == (["rec1"], ())


def test_faults_stand_where_the_source_lists_the_clip() -> None:
    rows = [
        ClipRecord(Path("x.wav"), ("dog",)),
        ClipRecord(Path("y.wav"), ("dog",), file="t.csv", line=3, text="y.wav"),
    ]
    _, issues = assign_groups(rows, "rec")
    assert [str(issue) for issue in issues] == [
        "x.wav: the name does not match --group-pattern 'rec'",
        "t.csv:3: y.wav: the name does not match --group-pattern 'rec'",
    ]


def test_stand_alone() -> None:
    assert stand_alone(Path("/data/dog/1.wav"), Path("/data")) == "dog/1.wav"
    assert stand_alone(Path("/else/1.wav"), Path("/data")) == "/else/1.wav"
