"""Manifests in a table: CSV, Parquet, and the ``metadata.csv`` of Hugging Face's AudioFolder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sonotype.audio.special import special_kind
from sonotype.core.errors import DataIssue, MissingExtraError, OptionsError
from sonotype.core.types import level_name
from sonotype.data.dataset_info import read_dataset_info
from sonotype.data.file_names import Names
from sonotype.data.manifest import Manifest
from sonotype.data.readers.csv_table import Table, TableRow, read_csv
from sonotype.data.readers.datasets import Part, read_parts
from sonotype.data.readers.label_sets import (
    class_columns,
    has_several_labels,
    merge_rows,
    nearly_class_columns,
    with_class_columns,
)
from sonotype.data.readers.row_limit import (
    LimitError,
    Room,
    batch_rows,
    open_parquet,
    without_dictionaries,
)
from sonotype.data.records import ClipRecord, Listing
from sonotype.data.splits.groups import assign_groups
from sonotype.data.validate import TRAINING, Rules, validate

METADATA = ("metadata.csv", "metadata.parquet")
"""Names of the table in a folder of AudioFolder."""

TABLE_LEVELS = tuple(level_name(depth) for depth in range(6))
"""Columns of labels, from coarse to fine."""

ALIASES: dict[str, tuple[str, ...]] = {
    "path": ("path", "file_name", "filename", "file", "audio"),
    "category": ("category", "label", "class"),
    **{level: (level,) for level in TABLE_LEVELS[1:]},
    "group": ("group",),
    "fold": ("fold",),
}
"""The columns, and the names by which they are recognised."""

REQUIRED = ("path", "category")


def read_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    ignore_columns: bool = False,
    group_pattern: str | None = None,
    rules: Rules = TRAINING,
) -> Manifest:
    """Read a manifest from a table with one clip a row, or with several labels of a clip.

    Several labels are ``a;b`` in a cell, several rows, or a column of 0 and 1 for each class; an
    empty cell in such a column is a class that is not known to be present or not.

    Columns: ``path`` (relative to the table's folder, or absolute), ``category``, and optionally
    ``event``, finer levels (``level_3`` to ``level_6``), ``group`` and ``fold``; see ``ALIASES``
    for their other names.

    Args:
        path: a ``.csv`` or ``.parquet`` file, or a folder with ``metadata.csv`` in it.
        columns: the table's name for some of our columns, such as ``{"category": "species"}``.
        ignore_columns: ignore unknown columns, instead of reporting them.
        group_pattern: regular expression over file names for clips of one recording, where the
            table has no column for it.
        rules: how strict the checks are.

    Raises:
        DataError: with all issues. Lines count from the header, which is line 1; in Parquet they
            are row numbers from 1.
        MissingExtraError: a Parquet table without pyarrow.
        OptionsError: an unknown key of ``columns``; an invalid pattern; a pattern for a table with
            a column of groups.
    """
    listing = list_table(
        path, columns=columns, ignore_columns=ignore_columns, group_pattern=group_pattern
    )
    return validate(listing, rules)


def list_table(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    ignore_columns: bool = False,
    group_pattern: str | None = None,
    problem: str = "auto",
    parts: Sequence[Part] = (),
) -> Listing:
    """Read a table without validation.

    Args:
        path: as for :func:`read_table`, like the next three.
        columns: see there.
        ignore_columns: see there.
        group_pattern: see there.
        problem: ``"auto"`` and ``"multi"`` accept several labels of a clip.
        parts: the tables of a data set of Hugging Face, in place of one table.
    """
    folder, path = Path(path), Path(path) if parts else find_metadata(Path(path))
    name = folder.resolve().name if folder != path else path.stem
    info, issues = read_dataset_info(path if path.is_dir() else path.parent)
    subsets = False
    if parts:
        content, subsets = read_parts(parts, (columns or {}).get("path"))
    else:
        content = read_parquet(path) if path.suffix.lower() == ".parquet" else read_csv(path)
    names: dict[str, str] = {}
    causes: list[str] = []
    classes: tuple[str, ...] = ()
    if content.header:
        names, causes = match_columns(content.header, columns or {}, ignore_columns)
        if "category" not in names and problem != "single":
            classes = class_columns(content, names.values())
        if classes:
            rest = tuple(name for name in content.header if name not in classes)
            names, causes = match_columns(rest, columns or {}, ignore_columns, required=("path",))
            if not ignore_columns:
                causes += nearly_class_columns(content, (*names.values(), *classes))
    found = Names()
    rows = [_row(record, names, path, found) for record in content.records if "path" in names]
    if classes and rows:
        rows = [
            with_class_columns(row, record.cells, classes)
            for row, record in zip(rows, content.records, strict=True)
        ]
    several = bool(classes) or problem == "multi"
    several |= problem == "auto" and has_several_labels(rows)
    merged: list[DataIssue] = []
    if several and not classes:
        rows, merged = merge_rows(rows)
    grouped = any(row.group for row in rows)
    if grouped and group_pattern is not None:
        raise OptionsError(
            f"--group-pattern: {path} has a column of groups already, {names['group']!r}"
        )
    assigned, unmatched = assign_groups(rows, group_pattern)
    header = [DataIssue(str(path), content.line, cause) for cause in causes]
    return Listing(
        source=path,
        name=info.name or name,
        records=assigned,
        issues=(*issues, *content.issues, *header, *merged, *unmatched),
        grouped=grouped or group_pattern is not None,
        labelled="category" in names or bool(classes),
        synthetic=info.synthetic,
        licence=info.licence,
        citation=info.citation,
        several=several,
        folds_are_subsets=subsets,
    )


def find_metadata(path: Path) -> Path:
    """The table itself where the path is a folder that holds one."""
    found = [path / name for name in METADATA if (path / name).is_file()]
    return found[0] if found else path


def match_columns(
    header: Sequence[str],
    columns: Mapping[str, str],
    ignore: bool = False,
    required: Sequence[str] = REQUIRED,
) -> tuple[dict[str, str], list[str]]:
    """Find the table's name for each of our columns.

    Names are compared without regard to case. Returns the names by our column, and what is wrong
    with the header.
    """
    unknown = [ours for ours in columns if ours not in ALIASES]
    if unknown:
        raise OptionsError(
            f"--column {unknown[0]}={columns[unknown[0]]}: no column {unknown[0]!r} is known; "
            f"there are {', '.join(ALIASES)}"
        )
    names: dict[str, str] = {}
    causes: list[str] = []
    used = set(columns.values())
    there = f"the table has {', '.join(header)}"
    for ours, aliases in ALIASES.items():
        if ours in columns:
            found = [name for name in header if name == columns[ours]]
            if not found:
                causes.append(f"no column {columns[ours]!r} for the {ours}; {there}")
        else:
            found = [name for name in header if name.lower() in aliases and name not in used]
            if len(found) > 1:
                causes.append(
                    f"columns {' and '.join(map(repr, found))} could both be the {ours}; "
                    f"choose one with --column {ours}={found[0]}"
                )
            elif not found and ours in required:
                causes.append(
                    f"no column for the {ours} ({', '.join(aliases)}); {there}; "
                    f"name it with --column {ours}=NAME"
                )
        if found:
            names[ours] = found[0]
            used.update(found)
    if not ignore:
        causes += [
            f"unknown column {name!r}; ignore it with --ignore-columns, "
            f"or assign it, as in --column group={name}"
            for name in header
            if name not in used
        ]
    return names, causes


def _row(record: TableRow, names: Mapping[str, str], table: Path, found: Names) -> ClipRecord:
    table = record.file or table
    cells = {ours: record.cells[name].strip() for ours, name in names.items()}
    text = cells["path"]
    path = found.find(table.parent / text)
    if "\\" in text and not os.path.lexists(path):  # a table written on Windows
        path = found.find(table.parent / text.replace("\\", "/"))
    return ClipRecord(
        path=path,
        labels=tuple(cells.get(level, "") for level in TABLE_LEVELS),
        group=cells.get("group", ""),
        fold=cells.get("fold", ""),
        file=str(table),
        line=record.line,
        text=text,
    )


def read_parquet(path: Path) -> Table:
    """Read a Parquet file with every cell as text; the line of a record is its row, from 1."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("reading a Parquet manifest", "parquet") from error
    if kind := special_kind(path):
        return Table((), (), (DataIssue(str(path), 0, f"{kind}, not a table; name a file"),))
    try:
        with open_parquet(path) as file:
            return _parquet_table(path, file)
    except LimitError as error:
        return Table((), (), (DataIssue(str(path), 0, str(error)),))
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        return Table((), (), (DataIssue(str(path), 0, f"not a Parquet file ({cause})"),))


def _parquet_table(path: Path, file: Any) -> Table:
    """The rows of an open Parquet file.

    Raises:
        ValueError: it is too large, or damaged; so are the errors of pyarrow.
    """
    from pyarrow import types

    schema, room = file.schema_arrow, Room()
    issues = [
        DataIssue(
            str(path), 1, f"column {field.name!r} holds structures, not text; export paths to files"
        )
        for field in schema
        if types.is_nested(field.type)  # as in exports that carry the sound itself in the table
    ]
    if issues:
        return Table((), (), tuple(issues))
    room.check_metadata(file.metadata, path.stat().st_size)
    header, records = tuple(schema.names), list[TableRow]()
    for batch in file.iter_batches(batch_size=batch_rows(file)):
        batch.validate(full=True)
        room.take(batch)
        try:
            batch = without_dictionaries(batch)
            columns = [list(map(_text, column.to_pylist())) for column in batch.columns]
        except (ValueError, OverflowError) as error:  # a date that Python does not have
            return Table((), (), (DataIssue(str(path), 0, f"holds unreadable values ({error})"),))
        records += [
            TableRow(number, dict(zip(header, row, strict=True)))
            for number, row in enumerate(zip(*columns, strict=True), len(records) + 1)
        ]
    return Table(header, tuple(records))


def _text(value: object) -> str:
    if value is None or value != value:  # a missing value, or a NaN that stands for one
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
