"""Tables of Kaleidoscope, and those that BirdNET-Analyzer writes in its format.

The recording is in three columns: INDIR, FOLDER (below it) and IN FILE. OFFSET is the start of an
event and DURATION its length, both in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sonotype.data.annotations.birdnet import has_birdnet_results
from sonotype.data.annotations.columns import ALIASES, Columns, choose_label, match_columns, simple
from sonotype.data.annotations.entries import LabelFile, Row, label_file, seconds
from sonotype.data.readers.csv_table import read_csv

LABELS = (
    "manual_id", "auto_id", "top1match", "common_name", "scientific_name", "label", "species",
)  # fmt: skip
"""Names of a column of labels; the first one with any label is used."""

_ALIASES = {
    "start": ("offset",),
    "duration": ("duration",),
    "folder": ("folder",),
    "indir": ("indir",),
    "file": ("in_file",),
    "group": ALIASES["group"],
    "fold": ALIASES["fold"],
}


def is_kaleidoscope(header: Sequence[str]) -> bool:
    """Whether a header is that of a table of Kaleidoscope."""
    return {"in_file", "offset", "duration"} <= {simple(name) for name in header}


def read_kaleidoscope(path: Path, label_column: str | None = None) -> LabelFile:
    """Read a table of Kaleidoscope."""
    table = read_csv(path)
    columns = match_columns(table.header, _ALIASES, required=("file", "start", "duration"))
    used = [
        name
        for name in table.header
        if not table.records or any(record.cells[name].strip() for record in table.records)
    ]
    labels = [name for name in LABELS if name in map(simple, used)] or LABELS
    columns = choose_label(columns, table.header, label_column, labels)
    issues = columns.issues(path, table)
    if not {"file", "start", "duration", "label"} <= set(columns.names):
        return LabelFile(path, issues=tuple(issues))
    rows = [_row(record.line, record.cells, columns) for record in table.records]
    file = label_file(path, rows, issues, by_column=True)
    return replace(file, padded=has_birdnet_results(table.header))


def _row(line: int, cells: Mapping[str, str], columns: Columns) -> Row:
    text = {ours: columns.cell(cells, ours) for ours in (*_ALIASES, "label")}
    start, duration = seconds(text["start"]), seconds(text["duration"])
    end: str | float = text["duration"]
    if start is not None and duration is not None:
        end = start + duration
    names = (text["indir"], text["folder"], text["file"])
    return Row(
        line=line,
        start=text["start"],
        end=end,
        label=text["label"],
        recording="/".join(name for name in names if name) if text["file"] else "",
        group=text["group"],
        fold=text["fold"],
    )
