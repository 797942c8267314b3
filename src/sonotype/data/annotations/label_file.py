"""Recognise a label file by its content, and read it."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sonotype.audio.special import special_kind
from sonotype.core.errors import DataIssue, MissingExtraError
from sonotype.data.annotations.audacity import is_audacity, read_audacity
from sonotype.data.annotations.birdnet import is_birdnet, read_birdnet
from sonotype.data.annotations.columns import ALIASES, simple
from sonotype.data.annotations.entries import LabelFile
from sonotype.data.annotations.event_table import (
    is_event_table,
    is_span_table,
    read_event_table,
)
from sonotype.data.annotations.kaleidoscope import is_kaleidoscope, read_kaleidoscope
from sonotype.data.annotations.raven import is_raven, read_raven
from sonotype.data.annotations.textgrid import is_textgrid, read_textgrid
from sonotype.data.readers.csv_table import DELIMITERS, SEPARATOR

Kind = Literal[
    "raven", "audacity", "birdnet", "kaleidoscope", "textgrid", "event_table",
    "spans", "empty", "unknown",
]  # fmt: skip

SUFFIXES = (".txt", ".tsv", ".tab", ".csv", ".parquet", ".textgrid")
"""Suffixes of label files, in lower case."""

FORMATS = (
    "a Raven selection table, an Audacity label track, a table of BirdNET-Analyzer or "
    "Kaleidoscope, a Praat TextGrid, or a table with the columns path, onset, offset, label"
)

_HEAD = 1 << 14
"""Bytes that are read to recognise a file."""


def recognise_labels(path: Path) -> Kind:
    """The format of a label file by its first lines, whatever its name is.

    ``"spans"`` for a table of intervals without labels; ``"empty"`` for a text without content,
    which is also a label track without labels; ``"unknown"`` for other files.
    """
    if path.suffix.lower() != ".parquet":
        head = _head(path)
        if head is None:
            return "unknown"
        if not head.strip():
            return "empty"
        if is_textgrid(head):
            return "textgrid"
        if is_audacity(_first_line(head)):
            return "audacity"
    header = _header(path)
    if is_raven(header):
        return "raven"
    if is_kaleidoscope(header):
        return "kaleidoscope"
    if is_birdnet(header):
        return "birdnet"
    if is_span_table(header):
        return "spans"
    return "event_table" if is_event_table(header) else "unknown"


def names_recordings(path: Path) -> bool:
    """Whether a table has a column of recordings; only the header is read."""
    names = {simple(name) for name in _header(path)}
    return not names.isdisjoint({*ALIASES["recording"], "begin_path", "begin_file", "in_file"})


def _header(path: Path) -> Sequence[str]:
    """The names of the columns of a table; the cells of the first line of another text."""
    if path.suffix.lower() == ".parquet":
        return _parquet_header(path)
    head = _head(path) or ""
    if named := SEPARATOR.match(head):
        head = head[named.end() :]
    line = _first_line(head)
    return next(csv.reader([line], delimiter=max(DELIMITERS, key=line.count)), [])


def _first_line(head: str) -> str:
    return next((line for line in head.splitlines() if line.strip()), "")


def _head(path: Path) -> str | None:
    """The first lines of a text; ``None`` for a file that is not a text."""
    if special_kind(path) or not os.path.isfile(path):  # noqa: PTH113 (raises nothing)
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_HEAD)
    except OSError:
        return None
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", "replace")
    return None if "\0" in text else text


def _parquet_header(path: Path) -> Sequence[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("reading a Parquet table", "parquet") from error
    try:
        return [str(name) for name in pyarrow.parquet.read_schema(path).names]
    except (pyarrow.ArrowException, OSError, ValueError):
        return ()


def read_label_file(path: Path, label_column: str | None = None) -> LabelFile:
    """Read a label file of any known format; its issues come back in ``LabelFile.issues``.

    Args:
        path: the label file.
        label_column: the column, or the tier, with the labels.

    Raises:
        MissingExtraError: a Parquet table without pyarrow.
    """
    kind = recognise_labels(path)
    if kind == "raven":
        return read_raven(path, label_column)
    if kind == "birdnet":
        return read_birdnet(path, label_column)
    if kind == "kaleidoscope":
        return read_kaleidoscope(path, label_column)
    if kind == "textgrid":
        return read_textgrid(path, label_column)
    if kind in ("event_table", "spans"):
        return read_event_table(path, label_column)
    if kind == "audacity":
        return read_audacity(path)
    if kind == "empty":
        return LabelFile(path)
    return LabelFile(path, issues=(DataIssue(str(path), 0, _unknown(path)),))


def _unknown(path: Path) -> str:
    said = "a binary file" if _head(path) is None else "not a known format"
    return f"{said}; a label file is {FORMATS}"
