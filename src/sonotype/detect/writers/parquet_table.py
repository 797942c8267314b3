"""A Parquet table of the events of many recordings."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

from sonotype.core.detections import DetectedRecording
from sonotype.core.errors import MissingExtraError
from sonotype.core.io import replacing
from sonotype.detect.writers.event_rows import COLUMNS, event_rows

ROWS = 50_000
"""Rows of a row group: at most so many are in memory."""

_TEXTS = ("file", "label", "error")


def write_parquet(path: Path, recordings: Iterable[DetectedRecording]) -> None:
    """Write the rows of the CSV table as Parquet; the other columns than the texts are float64.

    The file gets its name when all recordings are written. If they fail, there is no file, since
    a part of a Parquet file cannot be read.

    Args:
        path: the file; it is replaced.
        recordings: may be a generator that detects while it is read.

    Raises:
        MissingExtraError: pyarrow is not installed; before the first recording is read.
        OptionsError: the file cannot be written there.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("writing a Parquet table", "parquet") from error
    types = (pyarrow.string() if name in _TEXTS else pyarrow.float64() for name in COLUMNS)
    schema = pyarrow.schema(list(zip(COLUMNS, types, strict=True)))
    rows = chain.from_iterable(map(event_rows, recordings))
    with replacing(path) as part, pyarrow.parquet.ParquetWriter(part, schema) as writer:
        while group := list(islice(rows, ROWS)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
