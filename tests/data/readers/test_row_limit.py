"""Tables of many equal rows, which are small as files and large in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sonotype.data.readers import row_limit
from sonotype.data.readers.datasets import Part, read_part, read_parts
from sonotype.data.readers.row_limit import MOST_ROWS, batch_rows, open_parquet, parquet_rows
from sonotype.data.readers.table import read_parquet

pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("pyarrow.parquet")


def equal_rows(rows: int) -> Any:
    """A table of equal rows, which takes little space in a file."""
    columns = {"path": "a.wav", "label": "x"}
    return pyarrow.table(
        {name: pyarrow.repeat(pyarrow.scalar(text), rows) for name, text in columns.items()}
    )


def test_more_rows_than_a_data_set_has_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of 100 kB could take gigabytes."""
    path = tmp_path / "train.parquet"
    rows = MOST_ROWS // 8
    with pyarrow.parquet.ParquetWriter(path, equal_rows(0).schema) as writer:
        for _ in range(9):
            writer.write_table(equal_rows(rows), row_group_size=rows)
    assert path.stat().st_size < 200_000
    wanted = "11,250,000 rows; a data set has at most 10,000,000"
    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "iter_batches", None)  # no row is read
    for read in (read_part, read_parquet):
        table = read(path)
        [issue] = table.issues
        assert wanted in issue.cause
        assert issue.file == str(path)
        assert table.records == ()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_rows_of_all_tables_of_a_data_set_count(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_limit, "MOST_ROWS", 100)
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
    assert "120 rows; " in issue.cause


def test_rows_with_faults_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are issues, which take memory as well."""
    monkeypatch.setattr(row_limit, "MOST_ROWS", 100)
    empty = pyarrow.array([{"bytes": None, "path": None}] * 60)
    paths = [tmp_path / f"{number}.parquet" for number in range(3)]
    for path in paths:
        pyarrow.parquet.write_table(pyarrow.table({"audio": empty}), path)
    table, _ = read_parts([Part(path) for path in paths])
    assert len([issue for issue in table.issues if "no sound" in issue.cause]) == 60
    assert len([issue for issue in table.issues if "120 rows; " in issue.cause]) == 2


def repeated_text(length: int, rows: int) -> Any:
    """Rows of one long text, which a file has once."""
    texts = pyarrow.array(["x" * length])
    indices = pyarrow.array([0] * rows, pyarrow.int32())
    return pyarrow.DictionaryArray.from_arrays(indices, texts)


LARGE: dict[str, tuple[Any, str]] = {
    "texts": (
        lambda: pyarrow.table({"path": repeated_text(200_000, 20_000)}),
        "bytes of text; a data set has at most 1,000,000,000",
    ),
    "columns": (
        lambda: pyarrow.table(
            {f"c{index}": pyarrow.repeat(pyarrow.scalar("x"), 300_000) for index in range(200)}
        ),
        "60,000,000 values; a data set has at most 50,000,000",
    ),
    "lists": (
        lambda: pyarrow.table(
            {
                "path": ["a.wav"],
                "label": pyarrow.ListArray.from_arrays(
                    pyarrow.array([0, 60_000_000], pyarrow.int32()),
                    pyarrow.repeat(pyarrow.scalar(0, pyarrow.int8()), 60_000_000),
                ),
            }
        ),
        "values; a data set has at most 50,000,000",
    ),
}


CODE = """
import re, resource, sys
from pathlib import Path
import pyarrow.compute, pyarrow.parquet
from sonotype.data.readers.datasets import read_part
from sonotype.data.readers.table import read_parquet
def kilobytes(name):
    return int(re.search(rf"{name}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
limit = kilobytes("VmSize") * 1024 + 4 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for read in (read_part, read_parquet):
    print(*(issue.cause for issue in read(Path(sys.argv[1])).issues))
print(kilobytes("VmHWM"))
"""
"""Reads a table with both readers, and prints the issues and the memory in kB."""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs the size of a process")
@pytest.mark.parametrize("kind", LARGE)
def test_small_files_of_much_content(tmp_path: Path, kind: str) -> None:
    make, wanted = LARGE[kind]
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(make(), path)
    assert path.stat().st_size < 500_000
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(path)], check=True, capture_output=True, text=True
    )
    first, second, memory = done.stdout.splitlines()
    assert int(memory) < 1.5e6
    assert wanted in first
    # The second reader takes no lists.
    assert (wanted if kind != "lists" else "'label' holds structures") in second


@pytest.mark.parametrize(
    ("columns", "wanted"),
    [
        ({"path": ["a"], "label": [["x"] * 99]}, "101 values"),
        ({"path": ["a"], "label": [{"a": [{"b": 0}] * 49}]}, "101 values"),
        ({"path": ["a" * 51, "b" * 50]}, "101 bytes of text"),
        ({"path": ["a"], "label": [["x" * 50, "y" * 50]]}, "101 bytes of text"),
        ({"path": repeated_text(51, 2)}, "102 bytes of text"),
        ({"path": [None] * 101}, "101 values"),
    ],
)
def test_what_is_counted(
    columns: dict[str, Any], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In files of Arrow, whose numbers no metadata tells."""
    monkeypatch.setattr(row_limit, "MOST_VALUES", 100)
    monkeypatch.setattr(row_limit, "MOST_TEXT", 100)
    path = tmp_path / "x.arrow"
    table = pyarrow.table(columns)
    with pyarrow.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    [issue] = read_part(path).issues
    assert f"{wanted}; a data set has at most 100: " in issue.cause


def test_content_that_little_unpacks_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    texts = [bytes([number]) * 10**8 for number in range(4)]
    pyarrow.parquet.write_table(pyarrow.table({"path": texts}), path, compression="zstd")
    assert path.stat().st_size < 1_000_000
    for read in (read_part, read_parquet):
        [issue] = read(path).issues
        assert "bytes that unpack to 400,0" in issue.cause


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        ({"path": ["x" * 100] * 9}, 16_384),
        ({"path": ["x" * 10**6] * 9}, 2415),  # once in the file, and once in memory
        ({"path": [f"{number}" * 10**7 for number in range(9)]}, 26),
        ({"audio": [{"bytes": bytes(100)}] * 9}, 64),
        ({"audio": [{"bytes": bytes(3 * 10**7)}] * 9}, 8),
        ({"audio": [{"bytes": bytes(3 * 10**8)}]}, 1),
    ],
)
def test_how_many_rows_are_read_at_once(tmp_path: Path, columns: dict[str, Any], rows: int) -> None:
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="none")
    with open_parquet(path) as file:
        assert batch_rows(file) == rows


@pytest.mark.parametrize("name", ["string_view", "large_string", "string"])
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_types_of_texts(tmp_path: Path, suffix: str, name: str) -> None:
    if not hasattr(pyarrow, name):
        pytest.skip(f"this version of pyarrow has no {name}")
    kind = getattr(pyarrow, name)()
    words = ["a.wav", None, "ä.wav"]
    table = pyarrow.table(
        {
            "path": pyarrow.array(words, kind),
            "label": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
            "tags": pyarrow.array([["u"], [], ["v", "w"]], pyarrow.list_(kind)),
        }
    )
    path = tmp_path / f"x.{suffix}"
    if suffix == "parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        with pyarrow.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    cells = [dict(row.cells) for row in read_part(path).records]
    assert cells == [
        {"path": "a.wav", "label": "x", "tags": "u"},
        {"path": "", "label": "y", "tags": "none"},
        {"path": "ä.wav", "label": "x", "tags": "v;w"},
    ]
    if suffix == "parquet":
        pyarrow.parquet.write_table(table.drop_columns(["tags"]), path)
        assert [row.cells["path"] for row in read_parquet(path).records] == ["a.wav", "", "ä.wav"]


def test_sounds_are_no_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_limit, "MOST_TEXT", 100)
    monkeypatch.setenv("SONOTYPE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "x.parquet"
    sounds = [{"bytes": bytes(1000), "path": f"{name}.wav"} for name in "ab"]
    pyarrow.parquet.write_table(pyarrow.table({"audio": sounds, "label": ["x", "y"]}), path)
    table = read_part(path)
    assert not table.issues
    assert [row.cells["label"] for row in table.records] == ["x", "y"]


def test_rows_without_columns(tmp_path: Path) -> None:
    """A damaged file of Arrow can have them."""
    parts = []
    empty = pyarrow.RecordBatch.from_struct_array(pyarrow.array([{}] * 3, pyarrow.struct([])))
    for name, batch in (("a", pyarrow.record_batch({"path": ["a.wav"]})), ("b", empty)):
        path = tmp_path / f"{name}.arrow"
        with pyarrow.ipc.new_stream(path, batch.schema) as writer:
            writer.write_batch(batch)
        parts.append(Part(path))
    table, _ = read_parts(parts)
    [issue] = table.issues
    assert (issue.file, issue.cause) == (str(parts[1].file), "other columns than in a.arrow")
    assert table.records == ()


def test_columns_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pyarrow.table([["a.wav"], ["b"]], names=["path", "path"])
    pyarrow.parquet.write_table(table, path)
    assert len(read_part(path).records) == 1


def test_maps_are_counted_and_unions_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = pyarrow.map_(pyarrow.string(), pyarrow.int8())
    numbers = pyarrow.array([1, 2])
    union = pyarrow.UnionArray.from_sparse(pyarrow.array([0, 0], pyarrow.int8()), [numbers])
    monkeypatch.setattr(row_limit, "MOST_TEXT", 100)
    for column, wanted in (
        (pyarrow.array([[("x" * 101, 1)]] * 2, kind), "202 bytes of text"),
        (union, "values of the type sparse_union"),
    ):
        path = tmp_path / "x.arrow"
        table = pyarrow.table({"label": column})
        with pyarrow.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
        [issue] = read_part(path).issues
        assert wanted in issue.cause


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
