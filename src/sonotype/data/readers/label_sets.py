"""Several labels of one clip in a table: ``a;b`` in a cell, several rows, or a column a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from sonotype.core.errors import DataIssue
from sonotype.core.text import listed
from sonotype.core.types import level_name
from sonotype.data.readers.csv_table import Table
from sonotype.data.records import ClipRecord, normalise_label

SEPARATOR = ";"

PRESENT = frozenset({"1", "1.0", "true", "yes"})
ABSENT = frozenset({"0", "0.0", "false", "no"})


def split_labels(cell: str) -> tuple[str, ...]:
    """The different labels of a cell such as ``a; b``, in order."""
    labels = (normalise_label(label) for label in cell.split(SEPARATOR))
    return tuple(dict.fromkeys(filter(None, labels)))


def class_columns(table: Table, others: Iterable[str]) -> tuple[str, ...]:
    """The columns of a table in which every cell says whether a class is present.

    Args:
        table: as read.
        others: columns with another meaning.
    """
    known, allowed = set(others), PRESENT | ABSENT
    found = []
    for name in table.header:
        cells = {row.cells[name].strip().casefold() for row in table.records} - {""}
        if name not in known and cells and cells <= allowed:
            found.append(name)
    return tuple(found)


def nearly_class_columns(table: Table, others: Iterable[str]) -> Iterator[str]:
    """A sentence for each other column that says in most cells whether a class is present.

    Args:
        table: as read.
        others: columns with a meaning.
    """
    known = set(others)
    for name in table.header:
        cells = {row.line: row.cells[name].strip() for row in table.records if name not in known}
        filled = {line: cell for line, cell in cells.items() if cell}
        wrong = [line for line, cell in filled.items() if cell.casefold() not in PRESENT | ABSENT]
        if wrong and 2 * len(wrong) <= len(filled):
            places = listed([f"{filled[line]!r} (line {line})" for line in wrong], 5)
            yield f"column {name!r} has {places}; as the column of a class it needs 1, 0 or nothing"


def with_class_columns(
    record: ClipRecord, cells: Mapping[str, str], classes: Sequence[str]
) -> ClipRecord:
    """A record with the classes whose columns say so; empty cells are not known.

    The labels of finer levels are split, see :func:`with_label_sets`.
    """
    values = {name: cells[name].strip().casefold() for name in classes}
    level = level_name(0)
    known = any(values.values())
    present = tuple(normalise_label(name) for name in classes if values[name] in PRESENT)
    uncertain = tuple(normalise_label(name) for name in classes if not values[name])
    finer = with_label_sets(record).label_sets
    return replace(
        record,
        label_sets={**({level: present} if known else {}), **finer},
        uncertain={level: uncertain} if known and uncertain else {},
    )


def has_several_labels(records: Sequence[ClipRecord]) -> bool:
    """Whether a cell has several labels, or several rows give a file different labels."""
    labels: dict[object, tuple[str, ...]] = {}
    for record in records:
        if not record.text:
            continue  # an issue
        if any(len(split_labels(label)) > 1 for label in record.labels):
            return True
        if labels.setdefault(record.path, record.labels) != record.labels:
            return True
    return False


def merge_rows(records: Sequence[ClipRecord]) -> tuple[list[ClipRecord], list[DataIssue]]:
    """One record a file, with the labels of all its rows.

    Returns:
        the records; and the issues of rows that repeat an earlier row, or that give a file another
        group or fold.
    """
    merged: dict[object, ClipRecord] = {}
    issues = []
    for record in records:
        found = with_label_sets(record)
        key = record.path if record.text else record.line  # an empty path is an issue of its line
        first = merged.setdefault(key, found)
        if first is found:
            continue
        for name in ("group", "fold"):
            ours, theirs = getattr(record, name), getattr(first, name)
            if ours != theirs:
                issues.append(
                    record.issue(f"the {name} {ours!r}, but line {first.line} has {theirs!r}")
                )
        new = {
            level: tuple(dict.fromkeys((*first.label_sets.get(level, ()), *labels)))
            for level, labels in found.label_sets.items()
        }
        sets = {**first.label_sets, **new}
        if sets == dict(first.label_sets):
            issues.append(record.issue(f"the same file and labels as line {first.line}"))
        merged[key] = replace(first, label_sets=sets)
    return [*merged.values()], issues


def with_label_sets(record: ClipRecord) -> ClipRecord:
    """A record whose label of each level is split; empty levels are not known."""
    if record.label_sets:
        return record
    sets = {level_name(depth): split_labels(cell) for depth, cell in enumerate(record.labels)}
    return replace(record, label_sets={level: labels for level, labels in sets.items() if labels})


def similar_labels(places: Mapping[str, str]) -> list[str]:
    """A sentence for each set of labels that differ only by case or blanks.

    Args:
        places: for each label where it is used first.
    """
    alike: dict[str, list[str]] = {}
    for label in places:
        alike.setdefault("".join(label.casefold().split()), []).append(label)
    return [
        f"the labels {listed([f'{label!r} ({places[label]})' for label in labels])} differ only by "
        "case or blanks; give them one name"
        for labels in alike.values()
        if len(labels) > 1
    ]
