"""Tables with a header, read so that every record knows its line in the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sonotype.errors import Fault

DELIMITERS = ",;\t"
"""Semicolons are what spreadsheets write in countries with a decimal comma."""


@dataclass(frozen=True)
class Record:
    """One record: its cells by column and the line (1-based) on which it begins."""

    line: int
    cells: Mapping[str, str]


@dataclass(frozen=True)
class Sheet:
    """A table: the columns it has, its records, and what is wrong with it as a table."""

    header: tuple[str, ...]
    records: tuple[Record, ...]
    faults: tuple[Fault, ...] = ()


def read_csv(path: Path) -> Sheet:
    """Read a CSV file in UTF-8, with or without a byte order mark.

    Every cell stays text: ``028.wav``, ``NA`` and ``00E5`` mean themselves. Fields are separated by
    whichever of comma, semicolon and tab the header has most of. Blank lines are passed over.
    Faults of the table (not UTF-8, open quotes, records of another length than the header) come
    back in ``Sheet.faults``.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        return _broken(path, 0, f"cannot be read: {error.strerror or error}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return _broken(path, line, "not UTF-8 text; save the table as CSV in UTF-8")
    lines = _lines(path, text)
    head = next(lines, None)
    if isinstance(head, Fault):
        return Sheet((), (), (head,))
    if head is None:
        return _broken(path, 0, "an empty table; its first line has to name the columns")
    header = tuple(name.strip() for name in head[1])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        return _broken(path, head[0], f"columns that occur twice: {', '.join(map(repr, twice))}")
    records: list[Record] = []
    faults: list[Fault] = []
    for item in lines:
        if isinstance(item, Fault):
            faults.append(item)
            continue
        line, cells = item
        if len(cells) != len(header):
            faults.append(Fault(str(path), line, _wrong_length(len(cells), len(header))))
            continue
        records.append(Record(line, dict(zip(header, cells, strict=True))))
    return Sheet(header, tuple(records), tuple(faults))


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]] | Fault]:
    """The records that are not blank, each with the line on which it begins."""
    first = text.lstrip().partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Fault(str(path), line, f"not a CSV record ({error})")
            return
        width = width or len(cells)
        while len(cells) > width and not cells[-1].strip():  # spreadsheets pad with delimiters
            cells.pop()
        if any(cell.strip() for cell in cells):
            yield line, cells


def _wrong_length(found: int, wanted: int) -> str:
    noun = "field" if found == 1 else "fields"
    return f"{found} {noun} where the header has {wanted}; quote fields that contain the separator"


def _broken(path: Path, line: int, cause: str) -> Sheet:
    return Sheet((), (), (Fault(str(path), line, cause),))
