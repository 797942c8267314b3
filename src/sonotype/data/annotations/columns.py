"""Columns of label tables: their names, the choice of the label, rows of texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.data.readers.csv_table import Table, read_csv
from sonotype.data.readers.table import read_parquet

# fmt: off
ALIASES: dict[str, tuple[str, ...]] = {
    "recording": (
        "path", "file", "filename", "file_name", "filepath", "file_path", "audio", "audio_file",
        "audio_filename", "audio_path", "recording", "notated_path", "sound", "sound_file", "wav",
        "wav_file",
    ),
    "start": (
        "onset", "start", "begin", "start_time", "begin_time", "onset_time", "start_s", "onset_s",
        "start_seconds", "start_time_s", "start_time_seconds", "onset_seconds",
    ),
    "end": (
        "offset", "end", "stop", "end_time", "stop_time", "offset_time", "end_s", "offset_s",
        "end_seconds", "end_time_s", "end_time_seconds", "offset_seconds",
    ),
    "low": (
        "low_freq", "low", "low_f", "low_frequency", "freq_low", "f_low", "min_freq",
        "min_frequency", "freq_min", "f_min", "low_hz",
    ),
    "high": (
        "high_freq", "high", "high_f", "high_frequency", "freq_high", "f_high", "max_freq",
        "max_frequency", "freq_max", "f_max", "high_hz",
    ),
    "group": ("group",),
    "fold": ("fold",),
}
"""The columns of a table of events, and the names by which they are recognised (see ``simple``)."""

LABELS = (
    "label", "labels", "species", "class", "category", "event_label", "event", "annotation",
    "annotations", "tags", "tag", "call_type", "calltype", "common_name", "scientific_name",
    "species_code", "name", "type", "sound_type",
)
"""Names of a column of labels; the first one that a table has is used."""
# fmt: on

_UNIT = re.compile(r"\s*[(\[](s|sec|seconds|hz)[)\]]")


def simple(name: str) -> str:
    """A column's name in lower case, without a unit: ``Begin Time (s)`` is ``begin_time``."""
    return re.sub(r"[\s-]+", "_", _UNIT.sub("", name.strip().casefold())).rstrip("*")


def read_any_table(path: Path) -> Table:
    """Read a CSV or a Parquet file, by its suffix."""
    return read_parquet(path) if path.suffix.lower() == ".parquet" else read_csv(path)


@dataclass(frozen=True)
class Columns:
    """The table's names by ours, and what is wrong with the header."""

    names: Mapping[str, str]
    causes: tuple[str, ...] = ()

    def cell(self, cells: Mapping[str, str], ours: str) -> str:
        """The cell of one of our columns; empty if the table has no such column."""
        return cells[self.names[ours]].strip() if ours in self.names else ""

    def issues(self, path: Path, table: Table) -> list[DataIssue]:
        """All issues of the table and its header."""
        return [*table.issues, *(DataIssue(str(path), table.line, cause) for cause in self.causes)]


def match_columns(
    header: Sequence[str],
    aliases: Mapping[str, Iterable[str]] = ALIASES,
    required: Iterable[str] = ("start", "end"),
) -> Columns:
    """Find the table's name for each of our columns."""
    names: dict[str, str] = {}
    causes: list[str] = []
    for ours, known in aliases.items():
        found = [name for name in header if simple(name) in known]
        if found:
            names[ours] = found[0]
        elif ours in required:
            causes.append(f"no column for the {ours}; the table has {', '.join(header)}")
        if len(found) > 1:
            both = " and ".join(map(repr, found))
            causes.append(f"columns {both} could both be the {ours}; rename or remove one")
    return Columns(names, tuple(causes) if header else ())


def choose_label(
    columns: Columns,
    header: Sequence[str],
    label_column: str | None,
    preferred: Iterable[str] = LABELS,
    others: Sequence[str] = (),
) -> Columns:
    """Add the column of labels to the columns of a table.

    Args:
        columns: found so far.
        header: of the table.
        label_column: the name that was asked for.
        preferred: names of a column of labels, the most usual first.
        others: columns of which a single one is the label, if there is no preferred column.
    """
    if not header:
        return columns
    if label_column is not None:
        found = [name for name in header if name == label_column]
        found = found or [name for name in header if simple(name) == simple(label_column)]
    else:
        by_name = {simple(name): name for name in reversed(header)}
        found = [by_name[name] for name in preferred if name in by_name]
        if not found and len(others) == 1:
            found = list(others)
    if found:
        return Columns({**columns.names, "label": found[0]}, columns.causes)
    wanted = "of labels" if label_column is None else f"{label_column!r} of labels"
    cause = f"no column {wanted}; the table has {', '.join(header)}; name it as the label column"
    return Columns(columns.names, (*columns.causes, cause))
