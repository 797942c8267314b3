from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from label_texts import events, issues, read, sound, write

from sonotype.data.annotations.annotated import is_annotated, list_annotated
from sonotype.data.annotations.event_table import read_event_table
from sonotype.data.annotations.label_file import recognise_labels

HEADERS = (
    "path,onset,offset,label",
    "filename,onset,offset,event_label",  # DCASE
    "audio_file,start_time,end_time,annotation",  # OpenSoundscape
    "file_name,start,stop,species",
    "File,Begin Time (s),End Time (s),Class",
    "audio_filename,start_s,end_s,category",
    "notated_path,onset_s,offset_s,label",  # crowsetta
)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_other_names_of_columns(tmp_path: Path, header: str, separator: str) -> None:
    sound(tmp_path / "rec/a.wav")
    lines = [header, "rec/a.wav,1.5,2.5,robin"]
    table = write(tmp_path / "t.csv", *(line.replace(",", separator) for line in lines))
    assert is_annotated(table)
    assert is_annotated(tmp_path)
    assert events(list_annotated(table)) == {"a.wav": [(1.5, 2.5, "robin")]}
    assert events(list_annotated(tmp_path)) == {"a.wav": [(1.5, 2.5, "robin")]}


def test_all_columns(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    table = write(
        tmp_path / "annotations.csv",
        "path,onset,offset,label,low_freq,high_freq,group,fold",
        "b.wav,4,5.5,wren,100,200.5,site1,2.0",
        "a.wav,1,2,robin,,,site1,1",
        "a.wav,0,1,wren,,,site1,",
    )
    listing = list_annotated(tmp_path)
    assert listing.issues == ()
    assert listing.grouped
    assert (listing.name, listing.source) == (tmp_path.name, tmp_path)
    first, second = listing.recordings
    assert [(event.start, event.end, event.label) for event in first.events] == [
        (0, 1, "wren"),
        (1, 2, "robin"),
    ]
    assert [(event.low, event.high) for event in second.events] == [(100, 200.5)]
    assert [(one.group, one.fold) for one in listing.recordings] == [("site1", 1), ("site1", 2)]
    assert [event.line for event in first.events] == [4, 3]
    assert second.events[0].file == str(table)
    assert list_annotated(table).recordings == listing.recordings


def test_parquet(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    frame = pd.DataFrame(
        {"path": ["a.wav", "a.wav"], "onset": [1.0, 3], "offset": [2, 4.5], "label": ["x", "y"]}
    )
    frame.assign(low_freq=[100.0, None]).to_parquet(tmp_path / "annotations.parquet")
    assert is_annotated(tmp_path)
    assert is_annotated(tmp_path / "annotations.parquet")
    listing = list_annotated(tmp_path)
    assert events(listing) == {"a.wav": [(1, 2, "x"), (3, 4.5, "y")]}
    assert [(event.line, event.low) for event in listing.recordings[0].events] == [
        (1, 100),
        (2, None),
    ]


def test_a_row_without_an_event(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav", 4)
    table = write(tmp_path / "t.csv", "path,onset,offset,label", "a.wav,1,2,x", "b.wav,,,")
    listing = list_annotated(table)
    assert events(listing) == {"a.wav": [(1, 2, "x")], "b.wav": []}
    assert listing.recordings[1].spans == ((0, 4),)


def test_a_table_of_the_recording_of_its_name(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    table = write(tmp_path / "a.csv", "onset,offset,label", "1,2,x")
    assert is_annotated(table)
    assert events(list_annotated(tmp_path)) == {"a.wav": [(1, 2, "x")]}


def test_the_label_column(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "path,onset,offset,species,sex", "a.wav,1,2,robin,m")
    assert read(read_event_table(table)) == [(1, 2, "robin")]
    assert read(read_event_table(table, "sex")) == [(1, 2, "m")]
    [issue] = issues(read_event_table(table, "dialect"), tmp_path)
    assert issue.startswith("t.csv:1: no column 'dialect' of labels; the table has path, onset, ")
    assert "offset, species, sex; name it" in issue
    write(table, "path,onset,offset,sex", "a.wav,1,2,m")
    [issue] = issues(read_event_table(table), tmp_path)
    assert "no column of labels" in issue


def test_columns_that_mean_the_same(tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "path,file,onset,offset,label", "a.wav,a.wav,1,2,x")
    assert issues(read_event_table(table), tmp_path) == [
        "t.csv:1: columns 'path' and 'file' could both be the recording; rename or remove one"
    ]


def test_no_column_of_recordings(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    table = write(tmp_path / "annotations.csv", "onset,offset,label", "1,2,x")
    [issue] = issues(list_annotated(tmp_path), tmp_path)
    assert "annotations.csv:1: no column for the recording" in issue
    [issue] = issues(list_annotated(table), tmp_path)
    assert "without a recording of its name" in issue


def test_all_faults_at_once(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    write(
        tmp_path / "annotations.csv",
        "path,onset,offset,label,low_freq,high_freq,group,fold",
        "a.wav,1,2,x,,,g1,1",
        "a.wav,1,2,x,,,g1,1",
        "a.wav,1.5,3,x,,,g2,1",
        "a.wav,inf,3,x,,,g1,2",
        "a.wav,3,4,X,9,8,g1,1",
        "missing.wav,3,4,x,,,g1,1",
        "missing.wav,4,5,x,,,g1,1",
        "broken.wav,3,4,x,,,g1,one",
        "b.wav,9.5,10.2,x,,,,",
        ",9,10,x,,,g1,1",
    )
    found = issues(list_annotated(tmp_path), tmp_path)
    expected = (
        ("annotations.csv:3", "'x' is twice in the file, in lines 2 and 3"),
        ("annotations.csv:4", "overlaps the event from 1 to 2 s of annotations.csv:2"),
        ("annotations.csv:4", "group 'g2', but 'g1' at annotations.csv:2"),
        ("annotations.csv:5", "'inf'"),
        ("annotations.csv:5", "fold '2', but '1'"),
        ("annotations.csv:6", "above the highest"),
        ("annotations.csv:7", "missing.wav: no such recording"),
        ("annotations.csv:10", "ends at 10.2 s, but the recording has 10.000 s"),
        ("annotations.csv:11", "empty name of the recording"),
        ("b.wav", "no group"),
        ("b.wav", "no fold"),
        ("broken.wav", ""),
        ("broken.wav", "whole number, not 'one'"),
    )
    assert len(found) == len(expected)
    for place, cause in expected:
        assert any(text.startswith(f"{place}: ") and cause in text for text in found), place
    assert "(in 2 rows)" in found[6]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("path,onset,offset,label", "event_table"),
        ("onset,offset,confidence,label", "event_table"),
        ("path,start,end", "spans"),
        ("path,category,event,group,fold", "unknown"),
        ("path,onset,label", "unknown"),
    ],
)
def test_recognised_headers(tmp_path: Path, header: str, kind: str) -> None:
    assert recognise_labels(write(tmp_path / "t.csv", header)) == kind
    assert recognise_labels(write(tmp_path / "t.csv", "sep=,", header)) == kind


def test_a_row_with_an_error_says_nothing_about_events(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav")
    sound(tmp_path / "b.wav")
    sound(tmp_path / "c.wav")
    write(
        tmp_path / "annotations.csv",
        "file,start,end,label,error",
        "a.wav,1,2,owl,0.5",
        "b.wav,,,,cannot be read",
        "c.wav,,,,",
    )
    assert events(list_annotated(tmp_path)) == {"a.wav": [(1, 2, "owl")], "c.wav": []}
