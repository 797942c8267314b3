"""Tables of events, CSV or Parquet: a row with recording, start, end and label for each event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sonotype.data.annotations.columns import (
    ALIASES,
    LABELS,
    choose_label,
    match_columns,
    read_any_table,
    simple,
)
from sonotype.data.annotations.entries import LabelFile, Row, label_file


def is_event_table(header: Sequence[str]) -> bool:
    """Whether a header has a start and an end."""
    return {"start", "end"} <= set(match_columns(header).names)


def is_span_table(header: Sequence[str]) -> bool:
    """Whether a header has a start and an end, and no column that could be a label."""
    known = {name for names in ALIASES.values() for name in names}
    return is_event_table(header) and known.issuperset(map(simple, header))


def read_event_table(
    path: Path, label_column: str | None = None, preferred: Iterable[str] = LABELS
) -> LabelFile:
    """Read a table of events; a row with a recording alone says that it has no event.

    A row with a recording and an error alone, as in a table of detected events, says that the
    recording could not be read; it is passed over.

    A table without a column of recordings belongs to the recording of its name.
    """
    table = read_any_table(path)
    columns = match_columns(table.header)
    columns = choose_label(columns, table.header, label_column, preferred)
    issues = columns.issues(path, table)
    if not {"start", "end", "label"} <= set(columns.names):
        return LabelFile(path, issues=tuple(issues))
    errors = [name for name in table.header if simple(name) == "error"]
    rows = []
    for record in table.records:
        cells = {ours: columns.cell(record.cells, ours) for ours in (*ALIASES, "label")}
        empty = not any((cells["start"], cells["end"], cells["label"]))
        if empty and any(record.cells[name].strip() for name in errors):
            continue
        rows.append(Row(line=record.line, **cells))
    return label_file(path, rows, issues, by_column="recording" in columns.names)
