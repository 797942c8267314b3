"""Selection tables of Raven, and those that BirdNET-Analyzer writes for Raven.

A selection that was made while several views were open has a row for each view.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sonotype.data.annotations.birdnet import has_birdnet_results
from sonotype.data.annotations.columns import ALIASES, Columns, choose_label, match_columns, simple
from sonotype.data.annotations.entries import LabelFile, Row, label_file, seconds
from sonotype.data.readers.csv_table import TableRow, read_csv

# fmt: off
LABELS = (
    "annotation", "annotations", "species", "label", "labels", "tags", "tag", "call_type",
    "common_name", "scientific_name", "species_code", "class", "category", "id", "type",
)
"""Names of a column of labels; the first one that a table has is used."""

STANDARD = frozenset({
    "selection", "view", "channel", "begin_time", "end_time", "low_freq", "high_freq", "file",
    "filename", "begin_file", "end_file", "begin_path", "end_path", "file_offset", "confidence",
    "score", "notes", "comments", "begin_date", "end_date", "begin_date_time", "end_date_time",
    "begin_clock_time", "end_clock_time", "delta_time", "delta_freq", "occupancy", "template",
    "detector", "file_count", "sound_id", "begin_hour", "inband_power", "rating", "group", "fold",
})
# fmt: on
"""Columns of Raven itself; its measurements have a unit in parentheses."""

_ALIASES = {
    "selection": ("selection",),
    "view": ("view",),
    "start": ("begin_time",),
    "end": ("end_time",),
    "low": ("low_freq",),
    "high": ("high_freq",),
    "begin_path": ("begin_path",),
    "begin_file": ("begin_file",),
    "file": ("file", "filename"),
    "file_offset": ("file_offset",),
    "group": ALIASES["group"],
    "fold": ALIASES["fold"],
}


def is_raven(header: Sequence[str]) -> bool:
    """Whether a header is that of a selection table."""
    return {"begin time (s)", "end time (s)"} <= {name.strip().casefold() for name in header}


def read_raven(path: Path, label_column: str | None = None) -> LabelFile:
    """Read a selection table.

    Where the table has the offset in the file, that is the start: the begin time of a table of many
    recordings counts from the first recording.
    """
    table = read_csv(path)
    columns = match_columns(table.header, _ALIASES)
    own = [name for name in table.header if simple(name) not in STANDARD and not name.endswith(")")]
    if table.records or label_column is not None:
        columns = choose_label(columns, table.header, label_column, LABELS, own)
    if not {"start", "end", "label"} <= set(columns.names):
        return LabelFile(path, issues=tuple(columns.issues(path, table)))
    rows = _once([(record, _row(record, columns)) for record in table.records], columns)
    file = label_file(path, rows, columns.issues(path, table))
    return replace(file, padded=has_birdnet_results(table.header))


def _row(record: TableRow, columns: Columns) -> Row:
    text = {ours: columns.cell(record.cells, ours) for ours in (*_ALIASES, "label")}
    start: str | float = text["start"]
    end: str | float = text["end"]
    begin, stop, offset = seconds(start), seconds(end), seconds(text["file_offset"])
    if text["file_offset"] and begin is not None and stop is not None:
        start = text["file_offset"] if offset is None else offset
        end = stop if offset is None else offset + (stop - begin)
    return Row(
        line=record.line,
        start=start,
        end=end,
        label=text["label"],
        low=text["low"],
        high=text["high"],
        recording=text["begin_path"] or text["begin_file"] or text["file"],
        group=text["group"],
        fold=text["fold"],
    )


def _once(rows: list[tuple[TableRow, Row]], columns: Columns) -> Iterator[Row]:
    """The rows of one view of each selection: a spectrogram, if it has one.

    Rows that occur twice in one view remain, for the checks.
    """
    selections: defaultdict[tuple[object, ...], list[tuple[str, Row]]] = defaultdict(list)
    for record, row in rows:
        number = columns.cell(record.cells, "selection") or f"line {record.line}"
        view = columns.cell(record.cells, "view")
        selections[number, row.recording, row.start, row.end].append((view, row))
    for found in selections.values():
        views = [view for view, _ in found]
        drawn = [view for view in views if view.casefold().startswith("spectrogram")]
        yield from (row for view, row in found if view == (drawn or views)[0])
