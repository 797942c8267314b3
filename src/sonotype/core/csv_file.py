"""CSV tables that the program wrote earlier, and that may be damaged."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sonotype.core.errors import OptionsError, UnreadableError
from sonotype.core.io import read_saved


def saved_rows(path: Path, kind: str, optional: Collection[str] = ()) -> list[dict[str, str]]:
    """The rows of a table with a header.

    Args:
        path: of the table.
        kind: what it is, for the error, such as ``the split of a run``.
        optional: columns whose cells a row may lack at its end; they are then empty.

    Raises:
        OptionsError: it is no CSV table, or a row has more or fewer cells than the header.
        UnreadableError: it cannot be read, or is no regular file.
        FileNotFoundError: there is no such file.
    """
    try:
        text = _text(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read ({error.strerror or error})") from None
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        found = [*rows]
    except csv.Error as error:
        raise OptionsError(f"{path} is not {kind}: {error} (line {rows.reader.line_num})") from None
    if not all(_is_whole(row, optional) for row in found):
        raise OptionsError(f"{path} is not {kind}: a row has more or fewer cells than the header")
    return [{name: row[name] or "" for name in row} for row in found]


def readable_rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table that can be read, and have as many cells as the header.

    Raises:
        OSError: the table cannot be read, or is no regular file.
    """
    rows = csv.DictReader(io.StringIO(_text(path), newline=""))
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error:
            continue
        if _is_whole(row):
            yield row


def _text(path: Path) -> str:
    # File names that are not UTF-8 are written as their bytes.
    return read_saved(path).decode("utf-8", "surrogateescape")


def _is_whole(row: Mapping[str, str | None], optional: Collection[str] = ()) -> bool:
    """Whether a row has a cell for each column; ``DictReader`` fills up with ``None``."""
    return None not in row and all(row[name] is not None or name in optional for name in row)
