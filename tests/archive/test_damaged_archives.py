"""An archive whose files another program changed: a clear error, and nothing else is lost."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from fake_archive import archive, write_sounds

from sonotype.archive.ledger import NAME, ArchiveLedger
from sonotype.archive.parts import DamagedPartError, rewrite_part
from sonotype.archive.sources import SoundFile
from sonotype.archive.tasks import Row
from sonotype.core.errors import SonotypeError


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    return write_sounds(tmp_path / "sounds", 6)


def change(out: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(out / NAME)) as database:
        assert database.execute(statement, values).rowcount > 0
        database.commit()


@pytest.mark.parametrize(
    "name", ["../kept.parquet", "{kept}", "rows/../../kept.parquet", "", b"\xff/../x"]
)
@pytest.mark.parametrize("column", ["parts.name", "contents.part"])
def test_parts_outside_of_the_folder(
    sounds: Path, tmp_path: Path, name: str | bytes, column: str
) -> None:
    """The second start neither removes them nor writes in their place."""
    kept, out = tmp_path / "kept.parquet", tmp_path / "out"
    archive([sounds], out)
    content = next(out.rglob("*.parquet")).read_bytes()
    kept.write_bytes(content)
    table, field = column.split(".")
    value = name.format(kept=kept) if isinstance(name, str) else name
    change(out, f"UPDATE OR REPLACE {table} SET {field} = ?", value)
    for sound in sounds.rglob("*.wav"):
        sound.write_bytes(sound.read_bytes()[:-4])
    with pytest.raises(SonotypeError, match=f"{NAME}: is damaged"):
        archive([sounds], out)
    assert kept.read_bytes() == content


@pytest.mark.parametrize("partition", ["../../x", "/x", "a/../../b", b"\xff/.."])
def test_partitions_outside_of_the_folder(sounds: Path, tmp_path: Path, partition: Any) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    change(out, "UPDATE rows SET partition = ?, done = 0", partition)
    with pytest.raises(SonotypeError, match=f"{NAME}: is damaged"):
        archive([sounds], out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "sounds"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"path": 1}', "[" * 100_000, Row("x", number=-1).to_json(),
             Row("x", kind="all").to_json(), Row("x", first=0.5).to_json()],  # type: ignore[arg-type]
)  # fmt: skip
def test_damaged_rows(sounds: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    change(out, "UPDATE rows SET row = ?, done = 0", text)
    with pytest.raises(SonotypeError, match=f"{NAME}: is damaged"):
        archive([sounds], out)


def test_missing_tables_and_rows_that_are_there_already(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    change(out, "DELETE FROM files")  # the rows are still there
    with pytest.raises(SonotypeError, match=f"{NAME}: is damaged"):
        archive([sounds], out)
    with closing(sqlite3.connect(out / NAME)) as database:
        database.execute("DROP TABLE parts")
    with pytest.raises(SonotypeError, match=f"{NAME}: is damaged"):
        archive([sounds], out)


def test_paths_that_are_no_paths(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    change(out, "UPDATE files SET path = 7 WHERE path = (SELECT MIN(path) FROM files)")
    with ArchiveLedger(out / NAME) as ledger, pytest.raises(SonotypeError, match="is damaged"):
        ledger.stamps()


def test_text_of_rows_that_is_not_utf_8(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    archive([sounds], out)
    part = next(out.rglob("*.parquet"))
    table = pyarrow.parquet.read_table(part)
    texts = pyarrow.array([b"\xff"] * len(table)).view(pyarrow.string())
    pyarrow.parquet.write_table(table.set_column(0, "path", texts), part)
    with pytest.raises(DamagedPartError):
        rewrite_part(out, part.relative_to(out).as_posix(), {"x"})


@pytest.mark.parametrize("value", [10**400, 10**19, 1e400, 1e300, float("nan"), "1", True, [], -1])
@pytest.mark.parametrize(
    "entry", ["number", "size", "offset", "duration", "first", "end", "sample_rate", "samples"]
)
def test_numbers_of_rows_that_no_recording_has(tmp_path: Path, entry: str, value: Any) -> None:
    values = json.loads(Row("x").to_json())
    with ArchiveLedger(tmp_path / NAME) as ledger:
        ledger.add([(SoundFile("x", 10, "1 2"), "", [Row("x")])])
    text = json.dumps({**values, entry: value})
    change(tmp_path, "UPDATE rows SET row = ?", text)
    with (
        ArchiveLedger(tmp_path / NAME) as ledger,
        pytest.raises(SonotypeError, match=f"{NAME}: is damaged"),
    ):
        ledger.pending_size()
