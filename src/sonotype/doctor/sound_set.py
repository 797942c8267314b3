"""Open a data source leniently: its sounds with their labels, and everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sonotype.core.errors import DataError, DataIssue
from sonotype.core.types import level_name
from sonotype.data.annotations.annotated import list_annotated
from sonotype.data.readers.label_sets import with_label_sets
from sonotype.data.readers.source import find_source, list_source
from sonotype.data.readers.walk import walk
from sonotype.data.records import ClipRecord, Listing, is_negative, is_sound, normalise_label
from sonotype.data.source_options import SourceOptions
from sonotype.data.suffixes import TABLE_SUFFIXES
from sonotype.data.validate import validate

COMPANIONS = frozenset(
    {*TABLE_SUFFIXES, ".db", ".htm", ".html", ".ini", ".jpeg", ".jpg", ".license", ".log", ".md"}
    | {".pdf", ".png", ".rst", ".svg", ".textgrid", ".toml", ".xml", ".yaml", ".yml"}
)
"""Suffixes of files that are expected beside sounds."""


@dataclass(frozen=True)
class Item:
    """One sound of a set.

    Attributes:
        path: the file.
        labels: by level; of an annotated recording, the labels of its events.
        group: the recording that it comes from; empty if not known.
        fold: the official fold or subset as text; empty if there is none.
    """

    path: Path
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    group: str = ""
    fold: str = ""

    @property
    def negative(self) -> bool:
        """Whether all labels say that the sound belongs to no class."""
        names = [name for found in self.labels.values() for name in found]
        return bool(names) and all(map(is_negative, names))


@dataclass(frozen=True)
class SoundSet:
    """A data source with all its issues.

    Attributes:
        source: the folder or table.
        root: the folder that places in reports are relative to.
        kind: as :func:`sonotype.data.readers.source.recognise` says.
        items: the sounds that are there, each file once.
        issues: all issues of the listing, such as missing files.
        passed_over: files in class folders that have no suffix of a sound.
        grouped: whether groups are known.
        several: whether a sound can have several labels of a level.
        uncertain: whether it is not known of some classes if they are present.
    """

    source: Path
    root: Path
    kind: str
    items: tuple[Item, ...]
    issues: tuple[DataIssue, ...] = ()
    passed_over: tuple[Path, ...] = ()
    grouped: bool = False
    several: bool = False
    uncertain: bool = False

    def name(self, path: str | Path) -> str:
        """A path relative to the root, for reports."""
        path = Path(path)
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path)


def open_leniently(spec: str | Path, options: SourceOptions) -> SoundSet:
    """Read a source without raising its issues.

    Raises:
        DataError: there is no such path, or it is no data source at all.
        OptionsError: an option that does not fit the source.
    """
    path, kind, _ = find_source(spec, options)
    if kind == "annotated":
        return _annotated(path, options)
    listing = list_source(path, options)
    root = path if path.is_dir() else path.parent
    return SoundSet(
        path,
        root,
        kind,
        _once(_item(record, listing.several) for record in listing.records),
        _issues(listing, options),
        tuple(_passed_over(path)) if kind == "folder" else (),
        listing.grouped,
        listing.several,
        any(record.uncertain for record in listing.records),
    )


def _issues(listing: Listing, options: SourceOptions) -> tuple[DataIssue, ...]:
    try:
        validate(listing, options.rules("crossfit"))
    except DataError as error:
        return error.issues
    return ()


def _item(record: ClipRecord, several: bool) -> Item:
    if several:
        labels = dict(with_label_sets(record).label_sets)
    else:
        labels = {
            level_name(depth): (normalise_label(label),)
            for depth, label in enumerate(record.labels)
            if label.strip()
        }
    return Item(record.path, labels, record.group, record.fold)


def _once(items: Iterable[Item]) -> tuple[Item, ...]:
    """The items whose files are there, each real file once."""
    found: dict[Path, Item] = {}
    for item in items:
        if "\0" not in str(item.path) and os.path.isfile(item.path):  # noqa: PTH113
            found.setdefault(item.path.resolve(), item)
    return tuple(found.values())


def _annotated(path: Path, options: SourceOptions) -> SoundSet:
    listing = list_annotated(
        path,
        label_column=options.label_column,
        annotated=options.annotated,
        group_pattern=options.group_pattern,
    )
    items = [
        Item(
            one.path,
            {level_name(0): tuple(dict.fromkeys(event.label for event in one.events))},
            one.group,
            "" if one.fold is None else str(one.fold),
        )
        for one in listing.recordings
    ]
    root = path if path.is_dir() else path.parent
    return SoundSet(
        path, root, "annotated", _once(items), listing.issues, (), listing.grouped, True
    )


def _passed_over(root: Path) -> list[Path]:
    """Files in folders below the root that are neither sounds nor usual companions of sounds."""
    found = walk(root)
    closed = {path for path, _ in found.broken}
    return [
        path
        for folder in sorted(found.folders)
        if folder != root and folder not in closed
        for path in _entries(folder)
        if path.is_file() and not path.name.startswith(".") and not is_sound(path)
        if path.suffix.lower() not in COMPANIONS
    ]


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing if it was removed meanwhile."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
