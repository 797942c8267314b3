"""Limits of a data set in Parquet or Arrow, where equal values take no space in the file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

MOST_ROWS = 10_000_000
"""Rows of one data set. A file of 20 million equal rows can have 130 kB."""
MOST_VALUES = 50_000_000
"""Cells of one data set, and elements of lists in them; in memory one takes about 100 bytes."""
MOST_TEXT = 10**9
"""Bytes of texts in one data set, each text counted as often as it occurs. Sounds do not count:
they are written to files one after the other."""
ALWAYS_READ, HIGHEST_RATIO = 256 * 2**20, 100
"""Bytes of a Parquet file, unpacked, that are read, however small it is; and their highest ratio to
those of a larger file. Zstandard can reach 10,000."""
BATCH, NESTED_BATCH, BATCH_BYTES = 16_384, 64, 256 * 2**20
"""Rows of a Parquet file that are read at once, without and with nested columns, and about how many
bytes they have at most."""


TEXTS = ("string", "large_string", "binary", "large_binary")
LISTS = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
"""Names of types in pyarrow."""


class LimitError(ValueError):
    """A data set is larger than its limits, or has values that cannot be counted."""


class Room:
    """What may still be read of a data set.

    Attributes:
        rows: how many rows.
        values: how many cells, and elements of lists.
        text: how many bytes of texts.
    """

    def __init__(self) -> None:
        self.rows, self.values, self.text = MOST_ROWS, MOST_VALUES, MOST_TEXT

    def check_metadata(self, metadata: Any, size: int) -> None:
        """Check the numbers of rows and values that the metadata of a Parquet file claims.

        The metadata of columns is not looked at: if it is damaged, pyarrow ends the process.

        Args:
            metadata: of the file.
            size: bytes of the file.

        Raises:
            LimitError: there are too many, or they have too many bytes for the file.
        """
        rows = parquet_rows(metadata)
        _require("rows", rows, self.rows, MOST_ROWS)
        _require("values", rows * int(metadata.num_columns), self.values, MOST_VALUES)
        unpacked = sum(_unpacked(metadata))
        if unpacked > max(ALWAYS_READ, HIGHEST_RATIO * size):
            raise LimitError(f"{size:,} bytes that unpack to {unpacked:,}; not a data set")

    def take(self, batch: Any, sounds: Collection[str] = ()) -> None:
        """Count a batch of rows, before it is converted to objects of Python.

        Args:
            batch: a ``RecordBatch``, which is valid.
            sounds: columns whose content is not kept.

        Raises:
            LimitError: there are too many rows or values, too much text, or values of a type that
                is not read.
        """
        _require("rows", batch.num_rows, self.rows, MOST_ROWS)
        self.rows -= batch.num_rows
        values = sum(map(_values, batch.columns))
        _require("values", values, self.values, MOST_VALUES)
        self.values -= values
        columns = zip(batch.schema.names, batch.columns, strict=True)  # names can be equal
        text = sum(_text_bytes(column) for name, column in columns if name not in sounds)
        _require("bytes of text", text, self.text, MOST_TEXT)
        self.text -= text


def without_dictionaries(batch: Any) -> Any:
    """A counted batch whose columns are no dictionaries; they are converted far faster."""
    import pyarrow
    from pyarrow import types

    if not any(types.is_dictionary(field.type) for field in batch.schema):
        return batch
    columns = [
        column.dictionary_decode() if types.is_dictionary(column.type) else column
        for column in batch.columns
    ]
    return pyarrow.RecordBatch.from_arrays(columns, names=batch.schema.names)


def parquet_rows(metadata: Any) -> int:
    """The number of rows of a Parquet file by its metadata.

    The groups of rows count as well as the total: rows are read by group, and the total of a
    damaged file can be smaller.
    """
    groups = (metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
    return max(int(metadata.num_rows), sum(max(0, int(rows)) for rows in groups))


def open_parquet(path: Path) -> Any:
    """A ``ParquetFile`` whose texts are dictionaries: a text that rows share is once in memory."""
    from pyarrow.parquet import ParquetFile, read_schema

    names = [field.name for field in read_schema(path) if _has_type(field.type, *TEXTS)]
    return ParquetFile(path, read_dictionary=names)


def batch_rows(file: Any) -> int:
    """How many rows of a ``ParquetFile`` of :func:`open_parquet` to read at once.

    In nested columns a value that all rows share is once in the file, and once for each row in
    memory: no value is larger than its group of rows.
    """
    from pyarrow import types

    sizes = _unpacked(file.metadata)
    if any(types.is_nested(field.type) for field in file.schema_arrow):
        return max(1, min(NESTED_BATCH, BATCH_BYTES // max([1, *sizes])))
    mean = sum(sizes) // max(1, parquet_rows(file.metadata))
    return max(1, min(BATCH, BATCH_BYTES // max(1, mean)))


def _unpacked(metadata: Any) -> list[int]:
    """Bytes of each group of rows, unpacked."""
    groups = (metadata.row_group(index) for index in range(metadata.num_row_groups))
    return [max(0, int(group.total_byte_size)) for group in groups]


def _require(kind: str, number: int, left: int, most: int) -> None:
    """Raise a ``LimitError`` if there is more of something than a data set may still have."""
    if number > left:
        raise LimitError(
            f"{most - left + number:,} {kind}; a data set has at most {most:,}: write what is "
            "needed into another file"
        )


def _inner(array: Any) -> list[Any]:
    """The arrays in a nested one: the elements of lists, the fields of structures.

    Raises:
        LimitError: values of this type cannot be counted, so they are not read.
    """
    from pyarrow import types

    kind = array.type
    if types.is_struct(kind):
        return list(array.flatten())
    if types.is_map(kind):
        return [array.keys, array.items]
    if hasattr(kind, "storage_type"):  # a type of an extension, which names another one
        return [array.storage]
    if _has_type(kind, *LISTS):
        return [array.flatten()]
    if types.is_nested(kind) or "run_end_encoded" in str(kind):
        raise LimitError(f"values of the type {kind} are not read")
    return []


def _values(array: Any) -> int:
    return len(array) + sum(map(_values, _inner(array)))


def _text_bytes(array: Any) -> int:
    import pyarrow.compute
    from pyarrow import types

    if types.is_dictionary(array.type):
        lengths = _lengths(array.dictionary)
        lengths = lengths if lengths is None else lengths.take(array.indices)
    else:
        lengths = _lengths(array)
    if lengths is None:
        return sum(map(_text_bytes, _inner(array)))
    return int(pyarrow.compute.sum(lengths, min_count=0).as_py())


def _lengths(array: Any) -> Any:
    """The length of each text in bytes; ``None`` of other values."""
    import pyarrow
    import pyarrow.compute

    if _has_type(array.type, "string_view", "binary_view"):
        array = array.cast(pyarrow.large_binary())
    return pyarrow.compute.binary_length(array) if _has_type(array.type, *TEXTS) else None


def _has_type(kind: Any, *names: str) -> bool:
    """Whether a type has one of these names; a version of pyarrow may lack some of them."""
    from pyarrow import types

    return any(getattr(types, f"is_{name}")(kind) for name in names if hasattr(types, f"is_{name}"))
