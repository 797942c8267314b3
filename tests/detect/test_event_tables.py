from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from detected import LABELS, NAMES, event, many, one_of_each, recording
from label_texts import events, sound

from sonotype.core.detections import DetectedRecording
from sonotype.core.errors import MissingExtraError, OptionsError
from sonotype.data.annotations.annotated import list_annotated
from sonotype.detect.writers import parquet_table
from sonotype.detect.writers.event_rows import (
    COLUMNS,
    event_rows,
    number_text,
    rounded,
    score_text,
)
from sonotype.detect.writers.event_tables import csv_header, csv_rows, json_lines
from sonotype.detect.writers.parquet_table import write_parquet

HOSTILE = ("line\nend.wav", "return\r.wav", "tab\t.wav", "caf\udce9.wav", *NAMES)


def test_number_text() -> None:
    texts = {0: "0", -1e-9: "0", 12.5: "12.5", 1e-6: "0.000001", 4e-7: "0", 100: "100"}
    assert {value: number_text(value) for value in texts} == texts
    assert number_text(43_200.123_456_789) == "43200.123457"
    assert number_text(2 / 3) == "0.666667"
    assert [score_text(score) for score in (1, 0.5, 1 / 3, 0)] == ["1", "0.5", "0.333333", "0"]
    assert math.copysign(1, rounded(-1e-9)) == 1


def test_csv_by_hand() -> None:
    assert csv_header() == "file,start,end,label,score,low_frequency,high_frequency,error\n"
    found = recording("a,b.wav", event(0.5, 1.25, 'the "owl"', 1 / 3, low=100, high=2000.5))
    assert csv_rows(found) == '"a,b.wav",0.5,1.25,"the ""owl""",0.333333,100,2000.5,\n'


def test_json_by_hand() -> None:
    found = recording("é.wav", event(0.5, 1.25, "owl", 1 / 3))
    assert json_lines(found) == (
        '{"file": "é.wav", "start": 0.5, "end": 1.25, "label": "owl", "score": 0.333333, '
        '"low_frequency": null, "high_frequency": null, "error": null}\n'
    )


def test_errors() -> None:
    """A failed recording has one row, one that was read in part has its events and one row."""
    failed = recording("a.wav", seconds=0, error="not a sound,\nor so")
    assert csv_rows(failed) == 'a.wav,,,,,,,"not a sound,\nor so"\n'
    (row,) = map(json.loads, json_lines(failed).splitlines())
    assert {name for name, value in row.items() if value is not None} == {"file", "error"}
    part = recording("b.wav", event(1, 2), error="truncated")
    assert csv_rows(part) == "b.wav,1,2,owl,0.75,,,\nb.wav,,,,,,,truncated\n"
    assert [json.loads(line)["error"] for line in json_lines(part).splitlines()] == [
        None,
        "truncated",
    ]


def test_a_recording_without_events_has_no_row() -> None:
    assert csv_rows(recording("a.wav")) == json_lines(recording("a.wav")) == ""


def test_an_event_of_no_length_has_a_row() -> None:
    assert csv_rows(recording("a.wav", event(1, 1))) == "a.wav,1,1,owl,0.75,,,\n"


def hostile() -> Iterator[DetectedRecording]:
    for name in HOSTILE:
        yield recording(name, *one_of_each(), event(9, 9.5, "tab\tline\nreturn\r"))
    yield recording("empty.wav")
    yield recording("failed.wav", error='"no",\r\n')
    yield recording("many.wav", *many(10_000), seconds=10_001)


def expected() -> list[dict[str, Any]]:
    return [dict(row) for found in hostile() for row in event_rows(found)]


def test_rows_are_the_events() -> None:
    rows = expected()
    assert len(rows) == len(HOSTILE) * (len(LABELS) + 1) + 1 + 10_000
    names = list(dict.fromkeys(row["file"] for row in rows))
    named = [name.replace("\udce9", "\\udce9") for name in HOSTILE]
    assert names == [*named, "failed.wav", "many.wav"]
    for row, one in zip(rows[-10_000:], many(10_000), strict=True):
        assert row["start"] == pytest.approx(one.start, abs=0.5e-6)
        assert row["score"] == pytest.approx(one.score, rel=5e-6)


def test_hostile_csv_by_the_csv_module() -> None:
    text = csv_header() + "".join(map(csv_rows, hostile()))
    text.encode()  # every name is valid UTF-8
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [parsed(row) for row in rows] == expected()


def parsed(row: dict[str, str]) -> dict[str, Any]:
    texts = ("file", "label", "error")
    return {
        name: None if value == "" else value if name in texts else float(value)
        for name, value in row.items()
    }


def test_hostile_csv_by_pandas(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "a.csv"
    text = csv_header() + "".join(map(csv_rows, hostile()))
    path.write_bytes(text.encode())
    table = pandas.read_csv(path, keep_default_na=False, na_values=[""])
    table = table.astype(object).where(table.notna(), None)
    assert table.to_dict("records") == expected()


def test_hostile_json_lines() -> None:
    text = "".join(map(json_lines, hostile()))
    text.encode()
    lines = text.split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == expected()


def test_hostile_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet_table, "ROWS", 3000)
    path = tmp_path / "new/a.parquet"
    write_parquet(path, hostile())
    table = parquet.read_table(path)
    assert table.to_pylist() == expected()
    assert tuple(table.column_names) == COLUMNS
    types = [str(field.type) for field in table.schema]
    assert types == ["string", *["double"] * 2, "string", *["double"] * 3, "string"]
    assert parquet.ParquetFile(path).num_row_groups == 4
    assert [file.name for file in path.parent.iterdir()] == ["a.parquet"]


def test_parquet_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most a row group is in memory: recordings are read as the rows are written."""
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet_table, "ROWS", 10)
    ahead: list[int] = []
    written = 0
    write_table = parquet.ParquetWriter.write_table

    def counted(writer: Any, table: Any, *args: Any) -> None:
        nonlocal written
        written += len(table)
        write_table(writer, table, *args)

    def recordings() -> Iterator[DetectedRecording]:
        for number in range(100):
            ahead.append(number - written)
            yield recording(f"{number}.wav", event(0, 1))

    monkeypatch.setattr(parquet.ParquetWriter, "write_table", counted)
    write_parquet(tmp_path / "a.parquet", recordings())
    assert written == 100
    assert max(ahead) <= 10


def test_empty_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(tmp_path / "a.parquet", [recording("a.wav")])
    table = parquet.read_table(tmp_path / "a.parquet")
    assert (len(table), tuple(table.column_names)) == (0, COLUMNS)


def test_an_interrupted_parquet_leaves_the_older_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    path.write_text("older")

    def recordings() -> Iterator[DetectedRecording]:
        yield recording("a.wav", event(0, 1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_parquet(path, recordings())
    assert path.read_text() == "older"
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_parquet_in_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "file").touch()
    with pytest.raises(OptionsError, match="cannot be written"):
        write_parquet(tmp_path / "file/a.parquet", [])


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    touched: list[int] = []
    recordings = (touched.append(1) or recording("a.wav") for _ in range(1))
    with pytest.raises(MissingExtraError, match=r"sonotype\[parquet\]"):
        write_parquet(tmp_path / "a.parquet", recordings)
    assert not touched
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_can_be_trained_on(tmp_path: Path, suffix: str) -> None:
    """The rows of a recording that could not be read do not say that it has no event."""
    for name in ("a.wav", "b.wav", "c.wav"):
        sound(tmp_path / name)
    found = [
        recording("a.wav", *one_of_each()),
        recording("b.wav", event(1, 2, low=5, high=6), error="truncated"),
        recording("c.wav", error="truncated"),
    ]
    path = tmp_path / f"annotations.{suffix}"
    if suffix == "csv":
        path.write_bytes((csv_header() + "".join(map(csv_rows, found))).encode())
    else:
        pytest.importorskip("pyarrow")
        write_parquet(path, found)
    listing = list_annotated(tmp_path)
    assert events(listing) == {
        "a.wav": [(rounded(one.start), rounded(one.end), one.label) for one in found[0].events],
        "b.wav": [(1, 2, "owl")],
    }
    assert listing.recordings[0].events[1].low == 100.5
    assert listing.recordings[1].spans == ((1, 2),)
