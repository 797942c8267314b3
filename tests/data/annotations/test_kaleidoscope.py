from __future__ import annotations

from pathlib import Path

from label_texts import events, issues, read, sound, write

from sonotype.data.annotations.annotated import is_annotated, list_annotated
from sonotype.data.annotations.kaleidoscope import read_kaleidoscope

HEADER = (
    "INDIR,FOLDER,IN FILE,CHANNEL,OFFSET,DURATION,Fmin,Fmean,Fmax,DATE,TIME,HOUR,"
    "TOP1MATCH*,TOP1DIST,AUTO ID*,MANUAL ID"
)


def row(file: str, offset: str, duration: str, top: str, auto: str, manual: str) -> str:
    place = f"D:\\rec,night1,{file},0,{offset},{duration}"
    return f"{place},1000,2000,3000,2024-07-01,21:30:00,21,{top},0.3,{auto},{manual}"


def test_cluster_table(tmp_path: Path) -> None:
    for name in ("S4U_1.wav", "S4U_2.wav"):
        sound(tmp_path / "rec/night1" / name)
    table = write(
        tmp_path / "rec/cluster.csv",
        HEADER,
        row("S4U_1.wav", "1.5", "0.25", "robin", "robin", "wren"),
        row("S4U_2.wav", "2", "1", "robin", "robin", "Noise"),
        end="\r\n",
    )
    assert is_annotated(table)
    assert is_annotated(tmp_path)
    listing = list_annotated(tmp_path)
    assert events(listing) == {"S4U_1.wav": [(1.5, 1.75, "wren")], "S4U_2.wav": []}
    assert [recording.spans for recording in listing.recordings] == [((1.5, 1.75),), ((2, 3),)]
    assert events(list_annotated(table, label_column="AUTO ID"))["S4U_2.wav"] == [(2, 3, "robin")]


def test_the_first_column_with_labels_is_used(tmp_path: Path) -> None:
    table = write(tmp_path / "id.csv", HEADER, row("a.wav", "0", "5", "robin", "PIPPIP", ""))
    assert read(read_kaleidoscope(table)) == [(0, 5, "PIPPIP")]
    write(table, HEADER, row("a.wav", "0", "5", "robin", "", ""))
    assert read(read_kaleidoscope(table)) == [(0, 5, "robin")]


def test_all_faults_at_once(tmp_path: Path) -> None:
    sound(tmp_path / "a.wav", 10)
    table = write(
        tmp_path / "id.csv",
        HEADER,
        row("a.wav", "0", "5", "", "", "x"),
        row("a.wav", "1", "", "", "", "x"),
        row("a.wav", "1", "0", "", "", "x"),
        row("a.wav", "one", "1", "", "", "x"),
        row("a.wav", "9", "5", "", "", ""),
        row("a.wav", "9", "5", "", "", "y"),
        row("b.wav", "9", "5", "", "", "y"),
        row("", "9", "5", "", "", "y"),
    )
    found = issues(list_annotated(table), tmp_path)
    causes = (
        (3, "end is empty"),
        (4, "a point at 1 s"),
        (5, "'one'"),
        (6, "empty label"),
        (7, "ends at 14 s"),
        (8, "b.wav: no such recording"),
        (9, "empty name"),
    )
    assert len(found) == len(causes)
    for text, (line, cause) in zip(found, causes, strict=True):
        assert text.startswith(f"id.csv:{line}: ")
        assert cause in text
