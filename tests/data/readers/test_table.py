from __future__ import annotations

import builtins
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from heads import labels_of
from soundsets import faults_of, four_clips, touch, write_table

from sonotype.core.errors import DataError, MissingExtraError, OptionsError
from sonotype.data.annotations.label_file import recognise_labels
from sonotype.data.readers.datasets import has_sounds
from sonotype.data.readers.table import read_table
from sonotype.data.validate import Rules

SOUNDS = ("a.wav", "b.wav", "c.wav", "d.wav")


def test_all_columns(tmp_path: Path) -> None:
    touch(tmp_path, *(f"x/{name}" for name in SOUNDS))
    table = write_table(
        tmp_path,
        """path,category,event,group,fold
        x/d.wav, nature ,rain,r2,2
        x/c.wav,nature,rain,r1,1.0
        x/b.wav,urban,,r1,1
        x/a.wav,urban,,r3,2""",
    )
    manifest = read_table(table, rules=Rules("evaluation"))
    rows = [(c.path, *labels_of(c), c.group, c.fold) for c in manifest.clips]
    assert rows == [
        (tmp_path / "x/a.wav", "urban", None, "r3", 2),
        (tmp_path / "x/b.wav", "urban", None, "r1", 1),
        (tmp_path / "x/c.wav", "nature", "rain", "r1", 1),
        (tmp_path / "x/d.wav", "nature", "rain", "r2", 2),
    ]
    assert (manifest.name, manifest.grouped, manifest.folds) == ("labels", True, (1, 2))


def test_three_levels(tmp_path: Path) -> None:
    rows = ["a,x,p,i", "b,x,p,i", "c,x,q,j", "d,x,q,j", "e,y,r,", "f,y,r,"]
    touch(tmp_path, *(f"{row[0]}.wav" for row in rows), "g.wav", "h.wav")
    lines = "".join(f"\n{row[0]}.wav{row[1:]}" for row in rows)
    table = write_table(tmp_path, f"path,category,event,breed{lines}")
    with pytest.raises(DataError, match="unknown column 'breed'"):
        read_table(table)
    manifest = read_table(table, columns={"level_3": "breed"})
    assert [labels_of(clip) for clip in manifest.clips[1::2]] == [
        ("x", "p", "i"),
        ("x", "q", "j"),
        ("y", "r"),
    ]
    third = manifest.heads[2]
    assert (third.name, third.classes, third.parent) == ("level_3", ("i", "j"), "event")
    assert (third.parent_index, third.unlabelled) == ((0, 1), (0, 0, 1))
    write_table(tmp_path, f"path,label,event,LEVEL_3{lines}\ng.wav,y,,i\nh.wav,,r,i", table.name)
    for rules in (Rules("evaluation"), Rules("evaluation", "unlabel")):
        assert faults_of(partial(read_table, table, rules=rules), tmp_path) == [
            "labels.csv:8: g.wav: empty event",
            "labels.csv:9: h.wav: empty category",
            (
                "labels.csv:9: h.wav: level_3 'i' is under 2 events: p (line 2); r (line 9); "
                "rename it, or pass --qualify-events to call them p/i and r/i"
            ),
        ]


@pytest.mark.parametrize("path", ["path", "file_name", "filename", "file", "audio", "Path"])
@pytest.mark.parametrize("category", ["category", "label", "class", "LABEL"])
def test_other_names_of_columns(tmp_path: Path, path: str, category: str) -> None:
    table = four_clips(tmp_path)
    table.write_text(table.read_text().replace("path,category", f"{path},{category}"))
    assert read_table(table).heads[0].classes == ("cat", "dog")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_dialects(tmp_path: Path, separator: str, mark: str, end: str) -> None:
    table = four_clips(tmp_path)
    text = mark + table.read_text().replace(",", separator).replace("\n", end)
    table.write_bytes(text.encode())
    assert [clip.label("category") for clip in read_table(table).clips] == [
        "dog",
        "dog",
        "cat",
        "cat",
    ]


def test_codes_stay_text(tmp_path: Path) -> None:
    touch(tmp_path, "028.wav", "00E5.wav", "1.wav", "2.wav")
    table = write_table(
        tmp_path, "path,category,group\n028.wav,NA,00E5\n00E5.wav,NA,1\n1.wav,null,2\n2.wav,null,2"
    )
    clips = read_table(table).clips
    assert [(clip.path.name, clip.label("category"), clip.group) for clip in clips] == [
        ("00E5.wav", "NA", "1"),
        ("028.wav", "NA", "00E5"),
        ("1.wav", "null", "2"),
        ("2.wav", "null", "2"),
    ]


def test_audiofolder(tmp_path: Path) -> None:
    root = tmp_path / "birds"
    touch(root, *(f"data/{name}" for name in SOUNDS))
    write_table(
        root,
        """file_name,label,transcription
        data/a.wav,owl,hoo
        data/b.wav,owl,"hoo, hoo"
        data/c.wav,tit,
        data/d.wav,tit,""",
        "metadata.csv",
    )
    manifest = read_table(root, ignore_columns=True)
    assert (manifest.name, len(manifest.clips)) == ("birds", 4)
    assert faults_of(lambda: read_table(root), root) == [
        (
            "metadata.csv:1: unknown column 'transcription'; ignore it with --ignore-columns, "
            "or assign it, as in --column group=transcription"
        )
    ]


def test_columns_by_name(tmp_path: Path) -> None:
    touch(tmp_path, *SOUNDS)
    table = write_table(
        tmp_path,
        "path,species,site\na.wav,owl,1\nb.wav,owl,1\nc.wav,tit,2\nd.wav,tit,3",
    )
    manifest = read_table(table, columns={"category": "species", "group": "site"})
    assert manifest.heads[0].classes == ("owl", "tit")
    assert [clip.group for clip in manifest.clips] == ["1", "1", "2", "3"]


def test_header_faults_come_with_those_of_the_rows(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav")
    table = write_table(tmp_path, "path,file,species\na.wav,,owl\n", "t.csv")
    assert faults_of(lambda: read_table(table), tmp_path) == [
        (
            "t.csv:1: columns 'path' and 'file' could both be the path; choose one with "
            "--column path=path"
        ),
        (
            "t.csv:1: no column for the category (category, label, class); the table has path, "
            "file, species; name it with --column category=NAME"
        ),
        (
            "t.csv:1: unknown column 'species'; ignore it with --ignore-columns, or assign it, "
            "as in --column group=species"
        ),
    ]
    write_table(tmp_path, "path,label2\nx.wav,owl\n", "t.csv")
    options = {"columns": {"category": "kind"}, "ignore_columns": True}
    assert faults_of(lambda: read_table(table, **options), tmp_path) == [
        "t.csv:1: no column 'kind' for the category; the table has path, label2",
        "t.csv:2: x.wav: no such file",
    ]


def test_all_faults_of_the_rows_with_their_lines(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav", "c.wav", "folder/x.wav", "y.wav")
    table = write_table(
        tmp_path,
        """path,category,event,group,fold
        a.wav,nature,rain,g,1
        ./folder/../a.wav,nature,"heavy
        rain",g,1

        b.wav,,,g,1
        gone.wav,nature,heavy rain,g,1
        c.wav,urban,rain,,one
        folder,urban,,g,
        ,urban,,g,1
        y.wav,urban""",
        "t.csv",
    )
    assert faults_of(lambda: read_table(table), tmp_path) == [
        "t.csv:3: ./folder/../a.wav: the same file as line 2",
        (
            "t.csv:3: ./folder/../a.wav: event 'heavy\\nrain' has this one clip only; training and "
            "test need at least two (--rare-events unlabel keeps such clips for their category)"
        ),
        "t.csv:6: b.wav: empty category",
        "t.csv:7: gone.wav: no such file",
        (
            "t.csv:7: gone.wav: event 'heavy rain' has this one clip only; training and test need "
            "at least two (--rare-events unlabel keeps such clips for their category)"
        ),
        "t.csv:8: c.wav: the fold has to be a whole number, not 'one'",
        "t.csv:8: c.wav: no group, while other clips have one",
        (
            "t.csv:8: c.wav: event 'rain' is under 2 categories: nature (line 2); "
            "urban (line 8); rename it, or pass --qualify-events to call them "
            "nature/rain and urban/rain"
        ),
        "t.csv:9: folder: a folder, not a file",
        "t.csv:9: folder: no fold, while other clips have one",
        "t.csv:10: empty path",
        "t.csv:11: 2 fields where the header has 5; quote fields that contain the separator",
    ]


def test_lines_after_a_quoted_line_break_are_counted_in_the_file(tmp_path: Path) -> None:
    touch(tmp_path, *SOUNDS)
    table = write_table(
        tmp_path, 'path,category\na.wav,"x\ny"\nb.wav,"x\ny"\nc.wav,z\nd.wav,z\ngone.wav,z'
    )
    assert faults_of(lambda: read_table(table), tmp_path) == [
        "labels.csv:8: gone.wav: no such file"
    ]


@pytest.mark.parametrize(
    ("content", "issue"),
    [
        (b"", "t.csv: an empty table; its first line has to name the columns"),
        (b"\n  \n", "t.csv: an empty table; its first line has to name the columns"),
        (b"path,category\n", "t.csv: no clips"),
        (
            b"path,category\na.wav,K\xe4fer\n",
            "t.csv:2: not UTF-8 text; save the table as CSV in UTF-8",
        ),
        (b"path,a,a\n", "t.csv:1: columns that occur twice: 'a'"),
        (b'path,category\na.wav,"x\n', "t.csv:2: not a CSV record (unexpected end of data)"),
        (b"sep=;\n", "t.csv: an empty table; its first line has to name the columns"),
        (
            "path,category\n".encode("utf-16-le"),
            (
                "t.csv: UTF-16 text without a byte order mark, or no text; save the table as "
                "CSV in UTF-8"
            ),
        ),
        ("path".encode("utf-32"), "t.csv: UTF-32 text; save the table as CSV in UTF-8"),
        (
            b"PK\x03\x04\x14\x00",
            (
                "t.csv: a spreadsheet, or another zip archive, and no CSV; save the table as "
                "CSV in UTF-8"
            ),
        ),
        (
            "path".encode("utf-16") + b"x",
            "t.csv:1: not UTF-16 text; save the table as CSV in UTF-8",
        ),
    ],
)
def test_tables_that_are_none(tmp_path: Path, content: bytes, issue: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    assert faults_of(lambda: read_table(tmp_path / "t.csv"), tmp_path) == [issue]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;", "sep=;;", "\nsep=;"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_first_line_for_spreadsheets_names_the_separator(
    tmp_path: Path, first: str, end: str
) -> None:
    touch(tmp_path, "a, b, c, d.wav", "b.wav")
    rows = f"{first}\nfile, clip;label\na, b, c, d.wav;dog\nb.wav;dog\ngone.wav;cat\n"
    table = tmp_path / "t.csv"
    table.write_bytes(rows.replace("\n", end).encode())
    options = {"columns": {"path": "file, clip"}, "rules": Rules("evaluation")}
    line = 2 + first.count("\n") + 3
    assert faults_of(lambda: read_table(table, **options), tmp_path) == [
        f"t.csv:{line}: gone.wav: no such file"
    ]
    assert faults_of(lambda: read_table(table), tmp_path)[0].startswith(f"t.csv:{line - 3}: ")


@pytest.mark.parametrize("separator", ["|", "\t", ":", ","])
def test_any_separator_may_be_named(tmp_path: Path, separator: str) -> None:
    table = four_clips(tmp_path)
    text = f"sep={separator}\n" + table.read_text().replace(",", separator)
    table.write_text(text)
    assert [clip.label("category") for clip in read_table(table).clips] == [
        "dog",
        "dog",
        "cat",
        "cat",
    ]


@pytest.mark.parametrize("order", ["utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_text_of_spreadsheets(tmp_path: Path, order: str) -> None:
    table = four_clips(tmp_path)
    mark = "" if order == "utf-16" else "\ufeff"
    text = mark + table.read_text().replace(",", "\t").replace("dog", "Möwe").replace("\n", "\r\n")
    table.write_bytes(text.encode(order))
    assert read_table(table).heads[0].classes == ("Möwe", "cat")


def test_missing_table(tmp_path: Path) -> None:
    assert faults_of(lambda: read_table(tmp_path / "t.csv"), tmp_path) == [
        "t.csv: cannot be read: No such file or directory"
    ]


def test_padding_of_spreadsheets_is_passed_over(tmp_path: Path) -> None:
    table = four_clips(tmp_path)
    table.write_text(table.read_text().replace("b.wav,dog", "b.wav,dog,,,") + ",\n,,\n")
    assert len(read_table(table).clips) == 4


def test_paths_written_on_windows(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.wav", "x/b.wav", "x/c.wav", "x/d.wav")
    table = write_table(tmp_path, "path,label\nx\\a.wav,p\nx\\b.wav,p\nx\\c.wav,q\nx\\d.wav,q")
    assert next(clip.group for clip in read_table(table).clips) == "x/a.wav"


def test_wrong_column_option(tmp_path: Path) -> None:
    with pytest.raises(OptionsError) as caught:
        read_table(four_clips(tmp_path), columns={"species": "category"})
    assert str(caught.value) == (
        "--column species=category: no column 'species' is known; "
        "there are path, category, event, level_3, level_4, level_5, level_6, group, fold"
    )


def test_pattern_beside_a_column_of_groups(tmp_path: Path) -> None:
    touch(tmp_path, *SOUNDS)
    table = write_table(tmp_path, "path,label,group\na.wav,x,1")
    with pytest.raises(OptionsError, match=r"^--group-pattern: .* groups already, 'group'$"):
        read_table(table, group_pattern="(.)")


def test_parquet(tmp_path: Path) -> None:
    touch(tmp_path, *SOUNDS)
    pd.DataFrame(
        {
            "file_name": SOUNDS,
            "label": [7, 7, 8, 8],
            "event": ["x", None, "y", "y"],
            "fold": [1.0, 2.0, 1.0, 2.0],
        }
    ).to_parquet(tmp_path / "t.parquet")
    manifest = read_table(tmp_path / "t.parquet", rules=Rules("evaluation", "unlabel"))
    rows = [(c.path.name, *labels_of(c), c.fold) for c in manifest.clips]
    assert rows == [
        ("a.wav", "7", None, 1),
        ("b.wav", "7", None, 2),
        ("c.wav", "8", "y", 1),
        ("d.wav", "8", "y", 2),
    ]


def test_parquet_equals_csv(tmp_path: Path) -> None:
    table = four_clips(tmp_path)
    pd.read_csv(table).to_parquet(tmp_path / "metadata.parquet")
    assert read_table(tmp_path).clips == read_table(table).clips


def test_faults_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 no")
    (issue,) = faults_of(lambda: read_table(path), tmp_path)
    assert issue.startswith("t.parquet: not a Parquet file (")
    pd.DataFrame({"audio": [{"bytes": b"x"}], "label": ["y"]}).to_parquet(path)
    assert faults_of(lambda: read_table(path), tmp_path) == [
        "t.parquet:1: column 'audio' holds structures, not text; export paths to files"
    ]
    pd.DataFrame({"path": ["gone.wav", "too.wav"], "label": ["y", "y"]}).to_parquet(path)
    assert faults_of(lambda: read_table(path), tmp_path)[1:] == [
        "t.parquet:1: gone.wav: no such file",
        "t.parquet:2: too.wav: no such file",
    ]


def test_parquet_with_text_that_is_not_utf_8(tmp_path: Path) -> None:
    touch(tmp_path, *SOUNDS)
    path, sound = tmp_path / "t.parquet", "a_file.wav"
    pd.DataFrame({"path": [sound] * 2, "label": ["y", "z"]}).to_parquet(path, compression=None)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"a_file", b"a_\xff\xfe\xfd\xfc"))
    [issue] = faults_of(lambda: read_table(path), tmp_path)
    assert issue.startswith("t.parquet: not a Parquet file (")
    assert "UTF8" in issue
    path.write_bytes(content.replace(b"label", b"\xff\xfe\xfd\xfc\xfb"))
    assert recognise_labels(path) == "unknown"
    assert not has_sounds(path)
    [issue] = faults_of(lambda: read_table(path), tmp_path)
    assert issue.startswith("t.parquet: not a Parquet file (")


def test_parquet_with_a_date_that_python_does_not_have(tmp_path: Path) -> None:
    dates = pyarrow.array([2**40], pyarrow.timestamp("s"))
    table = pyarrow.table({"path": ["a.wav"], "label": ["y"], "date": dates})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    [issue] = faults_of(lambda: read_table(tmp_path / "t.parquet"), tmp_path)
    assert issue.startswith("t.parquet: holds unreadable values (")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return original(name, *rest)  # type: ignore[arg-type]

    touch(tmp_path, "t.parquet")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError) as caught:
        read_table(tmp_path / "t.parquet")
    assert str(caught.value) == (
        "reading a Parquet manifest needs an optional part: pip install 'sonotype[parquet]'"
    )


def test_a_table_of_numbers_without_paths(tmp_path: Path) -> None:
    touch(tmp_path, "0.wav", "1.wav")
    table = tmp_path / "data.csv"
    table.write_text("x y,dog,cat\n0.wav,0,1\n1.wav,1,0\n")
    assert any("path" in issue for issue in faults_of(lambda: read_table(table), tmp_path))
