"""CSV tables with a header; every row knows its line in the file."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sonotype.audio.special import special_kind
from sonotype.core.errors import DataIssue

DELIMITERS = ",;\t"
"""Semicolons are what spreadsheets write in countries with a decimal comma."""

SEPARATOR = re.compile(
    r"""\s*"?sep=([^\w\s"']|\t|\\t)"?[;,\t|]*[ ]*(?:\r\n|\r|\n|$)""", re.IGNORECASE
)
"""A first line for spreadsheets, which names the separator."""

UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SAVE_AS = "save the table as CSV in UTF-8"


@dataclass(frozen=True)
class TableRow:
    """A row: its cells by column, and the line (1-based) on which it begins.

    ``file`` is the file of the row if the table has several.
    """

    line: int
    cells: Mapping[str, str]
    file: Path | None = None


@dataclass(frozen=True)
class Table:
    """A table: its columns, its rows, and its issues.

    ``line`` is that of the header (1-based).
    """

    header: tuple[str, ...]
    records: tuple[TableRow, ...]
    issues: tuple[DataIssue, ...] = ()
    line: int = 1


def read_csv(path: Path) -> Table:
    """Read a CSV file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Every cell stays text: ``028.wav``, ``NA`` and ``00E5`` mean themselves. Fields are separated by
    whichever of comma, semicolon and tab the header has most of, or by what a first line such as
    ``sep=;`` names. Blank lines are passed over. Errors of the table (not UTF-8, open quotes,
    records of another length than the header) come back in ``Table.issues``.
    """
    text = read_text(path)
    if isinstance(text, DataIssue):
        return Table((), (), (text,))
    lines = _lines(path, text)
    head = next(lines, None)
    if isinstance(head, DataIssue):
        return Table((), (), (head,))
    if head is None:
        return _broken(path, 0, "an empty table; its first line has to name the columns")
    header = tuple(name.strip() for name in head[1])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        return _broken(path, head[0], f"columns that occur twice: {', '.join(map(repr, twice))}")
    records: list[TableRow] = []
    issues: list[DataIssue] = []
    for item in lines:
        if isinstance(item, DataIssue):
            issues.append(item)
            continue
        line, cells = item
        if len(cells) != len(header):
            issues.append(DataIssue(str(path), line, _wrong_length(len(cells), len(header))))
            continue
        records.append(TableRow(line, dict(zip(header, cells, strict=True))))
    return Table(header, tuple(records), tuple(issues), head[0])


def read_text(path: Path, advice: str = SAVE_AS) -> str | DataIssue:
    """The text of a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    For other files the issue, which ends with ``advice``.
    """
    if kind := special_kind(path):
        return DataIssue(str(path), 0, f"{kind}, not a table; name a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        return DataIssue(str(path), 0, f"cannot be read: {error.strerror or error}")
    if cause := _another_kind(content):
        return DataIssue(str(path), 0, f"{cause}; {advice}")
    try:
        return content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return DataIssue(str(path), line, f"not {_named(content)} text; {advice}")


def _another_kind(content: bytes) -> str:
    """The kind of a file that is not text of a known encoding; empty for others."""
    if content.startswith(b"PK\x03\x04"):
        return "a spreadsheet, or another zip archive, and no CSV"
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "UTF-32 text"
    if not content.startswith(UTF_16) and 0 in content[:2]:
        return "UTF-16 text without a byte order mark, or no text"
    return ""


def _encoding(content: bytes) -> str:
    """UTF-16 if the file has its byte order mark, as Unicode text of spreadsheets; else UTF-8."""
    return "utf-16" if content.startswith(UTF_16) else "utf-8-sig"


def _named(content: bytes) -> str:
    return "UTF-16" if content.startswith(UTF_16) else "UTF-8"


def _lines(path: Path, text: str) -> Iterator[tuple[int, list[str]] | DataIssue]:
    """The rows that are not blank, each with its first line."""
    first = text.lstrip().partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    before = 0
    if named := SEPARATOR.match(text):
        delimiter = "\t" if named[1] == "\\t" else named[1]
        before = len(named[0].splitlines())
        text = text[named.end() :]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    width = 0
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield DataIssue(str(path), line, f"not a CSV record ({error})")
            return
        width = width or len(cells)
        while len(cells) > width and not cells[-1].strip():  # spreadsheets pad with delimiters
            cells.pop()
        if any(cell.strip() for cell in cells):
            yield line, cells


def _wrong_length(found: int, wanted: int) -> str:
    noun = "field" if found == 1 else "fields"
    return f"{found} {noun} where the header has {wanted}; quote fields that contain the separator"


def _broken(path: Path, line: int, cause: str) -> Table:
    return Table((), (), (DataIssue(str(path), line, cause),))
