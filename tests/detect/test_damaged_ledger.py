"""A ledger whose rows were changed by another program is damaged, and says so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import SonotypeError
from sonotype.detect.ledger import Ledger
from sonotype.detect.ledger_entry import Outputs, Stamp

RECORDING = Path("/recordings/night.wav")


@pytest.mark.parametrize("column", ["events", "outputs"])
@pytest.mark.parametrize(
    "value", ["", "{", "1", "[1]", "[[]]", '[["0", "x", "owl", 1]]', "[[0, 1, 2, 1]]",
              '{"name": 1}', "[" * 100_000],
)  # fmt: skip
def test_changed_rows_are_damage(tmp_path: Path, column: str, value: str) -> None:
    path = tmp_path / "ledger"
    found = DetectedRecording(RECORDING, 10.0, (DetectedEvent(1.0, 2.0, "owl", 0.5),), 4000.0)
    with Ledger(path) as ledger:
        ledger.store(found, Stamp(1, 2, "x"), Outputs("night", "night", ("csv",)))
        assert ledger.recording(RECORDING) == found
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE recordings SET {column} = ?", (value,))
        database.commit()
    with Ledger(path) as ledger:
        if (column, value) == ("outputs", ""):  # an incomplete recording
            entry = ledger.entry(RECORDING)
            assert entry is not None
            assert entry.outputs is None
            return
        with pytest.raises(SonotypeError, match="is damaged"):
            (ledger.entry if column == "outputs" else ledger.recording)(RECORDING)


def test_text_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with Ledger(path) as ledger:
        found = DetectedRecording(RECORDING, 10.0, (), 4000.0)
        ledger.store(found, Stamp(1, 2, "x"), Outputs("night", "night", ("csv",)))
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE recordings SET events = CAST(X'FF' AS TEXT)")
        database.commit()
    with Ledger(path) as ledger, pytest.raises(SonotypeError, match="is damaged"):
        ledger.recording(RECORDING)


def test_a_schema_that_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Ledger(path).__exit__(None, None, None)
    content = path.read_bytes()
    assert b"INTEGER NOT NULL, modified" in content
    path.write_bytes(
        content.replace(b"INTEGER NOT NULL, modified", b"INTEGER NOT NULL\xff modified")
    )
    with pytest.raises(SonotypeError, match="is damaged"):
        Ledger(path)


@pytest.mark.parametrize("name", ["../kept.txt", "/kept.txt", "labels/../../kept.txt", "", "a//b"])
def test_files_outside_of_the_folder_are_damage(tmp_path: Path, name: str) -> None:
    kept, folder = tmp_path / "kept.txt", tmp_path / "out"
    kept.write_text("not of the program")
    folder.mkdir()
    if name.startswith("/"):
        name = str(kept)
    with Ledger(folder / "ledger") as ledger:
        ledger.claim(RECORDING, [name], new_result=True)
        with pytest.raises(SonotypeError, match="is damaged"):
            ledger.files(RECORDING)
    assert kept.exists()


@pytest.mark.parametrize(
    "change", [{"name": "../night"}, {"clip_name": "../../night"}, {"formats": ["exe"]},
               {"margin": "x"}, {"picture": 2}],
)  # fmt: skip
def test_outputs_outside_of_the_folder_are_damage(tmp_path: Path, change: dict[str, Any]) -> None:
    outputs = Outputs("night", "night", ("csv",), 1.0)
    found = DetectedRecording(RECORDING, 10.0, (), 4000.0)
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.store(found, Stamp(1, 2, "x"), replace(outputs, **change))
        with pytest.raises(SonotypeError, match="is damaged"):
            ledger.entry(RECORDING)


ENDLESS = (
    "CREATE TRIGGER t AFTER INSERT ON files BEGIN INSERT INTO files WITH RECURSIVE c(n) AS "
    "(SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT CAST(n AS BLOB), zeroblob(1000) FROM c; END"
)


@pytest.mark.parametrize(
    "statement",
    [ENDLESS, "CREATE VIEW v AS SELECT 1", "CREATE TABLE more (x)", "DROP INDEX files_by_path",
     "ALTER TABLE files ADD COLUMN x", "CREATE INDEX more ON files (name)"],
)  # fmt: skip
def test_a_schema_of_another_origin_is_damage(tmp_path: Path, statement: str) -> None:
    """Triggers and views would be executed by the statements of this program."""
    path = tmp_path / "ledger"
    Ledger(path).__exit__(None, None, None)
    with closing(sqlite3.connect(path)) as database:
        database.execute(statement)
        database.commit()
    with pytest.raises(SonotypeError, match="is damaged"):
        Ledger(path)


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("events", f'[[{start}, {end}, "owl", 0.5]]') for start, end in (
            (HUGE, HUGE), (0, HUGE), (0, "1e400"), (0, "1e300"), (0, "1e10"), (0, "NaN"),
            ("-Infinity", 1), (-1, 1), (2, 1), (0, "null"), (0, "true"), (0, '"1"'))),
        *(("events", f'[[0, 1, "owl", {score}]]') for score in ("NaN", HUGE, "1e400", "[]")),
        *(("events", f'[[0, 1, "owl", 0.5, {low}, 1]]') for low in ("NaN", HUGE, "-1", '"1"')),
        ("events", '[[0, 1, "zzz", 0.5]]'),
        *(("outputs", f'{{"name": {name}, "clip_name": "a", "formats": []}}') for name in (
            5, "null", "[]", f'"{"x" * 300}"')),
        *(("outputs", f'{{"name": "a", "clip_name": "a", "formats": [], "margin": {margin}}}')
          for margin in ("NaN", "Infinity", "1e400", HUGE, '"1"', "-1", "true")),
        ("seconds", 1e300), ("seconds", -1.0), ("seconds", "x"), ("highest", float("inf")),
    ],
)  # fmt: skip
def test_values_that_no_job_stored_are_damage(tmp_path: Path, column: str, value: Any) -> None:
    path = tmp_path / "ledger"
    found = DetectedRecording(RECORDING, 10.0, (DetectedEvent(1.0, 2.0, "owl", 0.5),), 4000.0)
    with Ledger(path) as ledger:
        ledger.store(found, Stamp(1, 2, "x"), Outputs("night", "night", ("csv",), 0.5))
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"UPDATE recordings SET {column} = ?", (value,))
        database.commit()
    with (
        Ledger(path, {"x": ("owl", "frog")}) as ledger,
        pytest.raises(SonotypeError, match="is damaged"),
    ):
        (ledger.entry if column == "outputs" else ledger.recording)(RECORDING)


def test_labels_of_another_detector_stay(tmp_path: Path) -> None:
    """The result of a recording that is not there now is kept, also with another model."""
    found = DetectedRecording(RECORDING, 10.0, (DetectedEvent(1.0, 2.0, "owl", 0.5),), 4000.0)
    with Ledger(tmp_path / "ledger", {"other": ("frog",)}) as ledger:
        ledger.store(found, Stamp(1, 2, "x"), Outputs("night", "night"))
        assert ledger.recording(RECORDING) == found
