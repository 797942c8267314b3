"""Class folders: ``category/*.wav``, or ``category/event/*.wav``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sonotype.data.check import TRAINING, Rules, settle
from sonotype.data.groups import assign_groups
from sonotype.data.manifest import Manifest
from sonotype.data.marker import read_marker
from sonotype.data.rows import SOUND_SUFFIXES, Listing, Row, counted, is_sound, listed
from sonotype.errors import Fault

NO_SOUND = f"no sound inside ({', '.join(suffix[1:] for suffix in sorted(SOUND_SUFFIXES))})"


@dataclass(frozen=True)
class _Category:
    """One category folder: its own sounds, and its event folders with theirs."""

    folder: Path
    sounds: tuple[Path, ...]
    events: tuple[tuple[Path, tuple[Path, ...]], ...]


def read_folder(
    root: str | Path, *, group_pattern: str | None = None, rules: Rules = TRAINING
) -> Manifest:
    """Read class folders; two levels of folders give categories and events by themselves.

    Hidden files and files that are no sounds are passed over. ``sonotype.json`` in the root, where
    there is one, tells name, licence and citation, and whether the sounds are synthetic.

    Args:
        root: the folder that holds the category folders.
        group_pattern: regular expression over file names for clips of one recording; without it
            every clip is a group of its own.
        rules: how strict the checks are.

    Raises:
        DataError: with all faults.
        OptionsError: the pattern is no regular expression.
    """
    return settle(list_folder(root, group_pattern=group_pattern), rules)


def list_folder(root: str | Path, *, group_pattern: str | None = None) -> Listing:
    """What the class folders say, not yet checked."""
    root = Path(root)
    marker, faults = read_marker(root)
    categories = [_category(folder) for folder in _folders(root)]
    rows, unmatched = assign_groups(
        [row for category in categories for row in _rows(category)], group_pattern
    )
    return Listing(
        source=root,
        name=marker.name or root.resolve().name,
        rows=rows,
        faults=(*faults, *unmatched, *_layout_faults(root, categories)),
        grouped=group_pattern is not None,
        synthetic=marker.synthetic,
        licence=marker.licence,
        citation=marker.citation,
    )


def _folders(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir())
    return [
        entry
        for entry in entries
        if entry.is_dir() and not entry.name.startswith(".") and entry.name != "__MACOSX"
    ]


def _sounds(folder: Path) -> tuple[Path, ...]:
    return tuple(entry for entry in sorted(folder.iterdir()) if entry.is_file() and is_sound(entry))


def _category(folder: Path) -> _Category:
    events = tuple((inner, _sounds(inner)) for inner in _folders(folder))
    return _Category(folder, _sounds(folder), events)


def _rows(category: _Category) -> list[Row]:
    name = category.folder.name
    rows = [Row(path, name) for path in category.sounds]
    rows += [Row(path, name, event.name) for event, sounds in category.events for path in sounds]
    return rows


def _layout_faults(root: Path, categories: list[_Category]) -> list[Fault]:
    faults = [
        Fault(str(path), 0, "lies beside the category folders; move it into the one it belongs to")
        for path in _sounds(root)
    ]
    if not categories:
        faults.append(Fault(str(root), 0, "no category folders (category/*.wav) inside"))
    two_levels = any(sounds for category in categories for _, sounds in category.events)
    for category in categories:
        faults += _empty_folders(category)
        faults += _too_deep(category)
    if two_levels:
        faults += _mixed_levels(categories)
    return faults


def _empty_folders(category: _Category) -> list[Fault]:
    if not category.sounds and not any(sounds for _, sounds in category.events):
        return [] if _deep(category) else [Fault(str(category.folder), 0, NO_SOUND)]
    deep = _deep(category)
    return [
        Fault(str(event), 0, NO_SOUND)
        for event, sounds in category.events
        if not sounds and not any(path.is_relative_to(event) for path in deep)
    ]


def _deep(category: _Category) -> list[Path]:
    """Folders below the event level that hold sounds."""
    return [
        folder
        for event, _ in category.events
        for folder in _folders(event)
        if any(is_sound(path) for path in folder.rglob("*"))
    ]


def _too_deep(category: _Category) -> list[Fault]:
    return [
        Fault(str(folder), 0, "sounds on a third level of folders; there are two, category/event")
        for folder in _deep(category)
    ]


def _mixed_levels(categories: list[_Category]) -> list[Fault]:
    """Sounds right in a category folder while others lie in event folders."""
    deep = [str(category.folder.name) for category in categories if category.events]
    return [
        Fault(
            str(category.folder),
            0,
            f"mixed levels: {counted(len(category.sounds), 'sound')} right in the category folder, "
            f"while there are event folders in {listed(deep)}; use one layout throughout",
        )
        for category in categories
        if category.sounds
    ]
