from __future__ import annotations

from pathlib import Path

import pytest
from label_texts import events, issues, sound, write

from sonotype.core.errors import OptionsError
from sonotype.data.annotations.annotated import list_annotated
from sonotype.data.annotations.spans import merged, within


def test_merged() -> None:
    assert merged([(5, 6), (0, 1), (1, 2), (1.5, 1.7), (3, 4)]) == ((0, 2), (3, 4), (5, 6))
    assert merged([]) == ()


def test_within() -> None:
    spans = ((0.0, 2.0), (3.0, 4.0))
    assert within(0.5, 1, spans) == (0.5, 1)
    assert within(2.98, 4.04, spans) == (3, 4)
    for start, end in ((1, 3.5), (2.1, 2.9), (0, 2.1), (2.01, 2.02)):
        assert within(start, end, spans) is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three recordings of 10 s: with labels, with an empty label file, without labels."""
    for name in ("a.wav", "b.wav", "c.wav"):
        sound(tmp_path / name)
    write(tmp_path / "a.txt", "1.0\t2.0\tnoise", "4.0\t5.0\tx", "8.0\t8.5\t_background_")
    (tmp_path / "b.txt").touch()
    return tmp_path


def test_from_the_first_to_the_last_label(folder: Path) -> None:
    """Labels of no class count as listened to."""
    listing = list_annotated(folder)
    assert events(listing) == {"a.wav": [(4, 5, "x")], "b.wav": []}
    assert [one.spans for one in listing.recordings] == [((1, 8.5),), ((0, 10),)]
    assert listing.unlabelled == (folder / "c.wav",)


def test_whole(folder: Path) -> None:
    listing = list_annotated(folder, annotated="whole")
    assert [one.spans for one in listing.recordings] == [((0, 10),), ((0, 10),)]


def test_a_table(folder: Path) -> None:
    """The table is no label file, wherever it lies."""
    table = write(
        folder / "b.spans.csv",
        "path,start,end",
        "a.wav,3.99,6",
        "a.wav,0,2",
        "a.wav,5.5,7",
        "a.wav,7.5,10.03",
        "b.wav,5,6",
    )
    listing = list_annotated(folder, annotated=str(table))
    assert events(listing) == {"a.wav": [(4, 5, "x")], "b.wav": []}
    assert [one.spans for one in listing.recordings] == [
        ((0, 2), (3.99, 7), (7.5, 10)),
        ((5, 6),),
    ]


def test_all_faults_of_a_table(folder: Path) -> None:
    table = write(
        folder / "spans.csv",
        "path,start,end",
        "a.wav,0,4.5",
        "a.wav,9,8",
        "a.wav,-1,1",
        "a.wav,x,1",
        "a.wav,7,11",
        "c.wav,0,1",
        "d.wav,0,1",
        ",0,1",
    )
    found = issues(list_annotated(folder, annotated=str(table)), folder)
    expected = (
        ("a.txt:2", "'x' is from 4 to 5 s, outside of the spans in spans.csv"),
        ("spans.csv", "b.wav: has labels, but no row"),
        ("spans.csv:3", "ends at 8 s, not after its start, 9 s"),
        ("spans.csv:4", "start is -1 s"),
        ("spans.csv:5", "start is 'x'"),
        ("spans.csv:6", "ends at 11 s, but the recording has 10.000 s"),
        ("spans.csv:7", "c.wav: has no label file"),
        ("spans.csv:8", "d.wav: no such recording"),
        ("spans.csv:9", "empty name"),
    )
    assert len(found) == len(expected)
    for text, (place, cause) in zip(found, expected, strict=True):
        assert text.startswith(f"{place}: ")
        assert cause in text


def test_a_table_without_its_columns(folder: Path) -> None:
    table = write(folder / "spans.csv", "path,from,to", "a.wav,0,1")
    found = issues(list_annotated(folder, annotated=str(table)), folder)
    assert [text for text in found if "spans.csv:1: " in text] == [
        "spans.csv:1: no column for the start; the table has path, from, to",
        "spans.csv:1: no column for the end; the table has path, from, to",
    ]


def test_neither_a_mode_nor_a_table(folder: Path) -> None:
    with pytest.raises(OptionsError, match=r"annotated is 'label'.*'labels' or 'whole'"):
        list_annotated(folder, annotated="label")
