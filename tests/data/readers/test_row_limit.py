"""Tables of many equal rows, which are small as files and large in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sonotype.data.readers import datasets
from sonotype.data.readers.datasets import Part, read_part, read_parts
from sonotype.data.readers.row_limit import MOST_ROWS, parquet_rows
from sonotype.data.readers.table import read_parquet

pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("pyarrow.parquet")


def equal_rows(rows: int) -> Any:
    """A table of equal rows, which takes little space in a file."""
    columns = {"path": "a.wav", "label": "x"}
    return pyarrow.table(
        {name: pyarrow.repeat(pyarrow.scalar(text), rows) for name, text in columns.items()}
    )


def test_more_rows_than_a_data_set_has_are_not_read(tmp_path: Path) -> None:
    """A file of 100 kB could take gigabytes."""
    path = tmp_path / "train.parquet"
    rows = MOST_ROWS // 8
    with pyarrow.parquet.ParquetWriter(path, equal_rows(0).schema) as writer:
        for _ in range(9):
            writer.write_table(equal_rows(rows), row_group_size=rows)
    assert path.stat().st_size < 200_000
    wanted = "11,250,000 rows; a data set has at most 10,000,000"
    for read in (read_part, read_parquet):
        started = time.process_time()
        table = read(path)
        assert time.process_time() - started < 2
        [issue] = table.issues
        assert wanted in issue.cause
        assert issue.file == str(path)
        assert table.records == ()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_rows_of_all_tables_of_a_data_set_count(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "MOST_ROWS", 100)
    parts = []
    for number in range(2):
        path = tmp_path / f"{number}.{suffix}"
        if suffix == "parquet":
            pyarrow.parquet.write_table(equal_rows(60), path)
        else:
            with pyarrow.ipc.new_stream(path, equal_rows(0).schema) as writer:
                writer.write_table(equal_rows(60))
        parts.append(Part(path))
    table, _ = read_parts(parts[:1])
    assert len(table.records) == 60
    table, _ = read_parts(parts)
    [issue] = table.issues
    assert issue.file == str(parts[1].file)
    assert "60 rows; " in issue.cause


def test_a_number_of_rows_that_is_too_small(tmp_path: Path) -> None:
    """The rows are read by group, so the total in the file is not the number of rows."""
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(equal_rows(3000), path)
    content, number = path.read_bytes(), bytes([0xF0, 0x2E])  # 3000, as Thrift writes it
    start = content.index(number, len(content) - 8 - int.from_bytes(content[-8:-4], "little"))
    path.write_bytes(content[:start] + bytes([0xC8, 0x01]) + content[start + 2 :])
    metadata = pyarrow.parquet.read_metadata(path)
    assert metadata.num_rows == 100
    assert parquet_rows(metadata) == len(read_parquet(path).records) == 3000
