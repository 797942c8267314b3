"""Class folders: ``category/*.wav``, or ``category/event/*.wav``.

Folders named train, val or test are subsets, not classes. They are above the class folders
(``train/category/*.wav``) or below them (``category/train/*.wav``), and become folds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.data.dataset_info import read_dataset_info
from sonotype.data.manifest import SUBSETS, Manifest
from sonotype.data.readers.walk import Walk, walk
from sonotype.data.records import ClipRecord, Listing, counted, listed
from sonotype.data.splits.groups import assign_groups
from sonotype.data.validate import TRAINING, Rules, validate

NO_SOUND = "no sound inside (wav, flac, ogg, mp3, m4a and others)"


ROLES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""The subset of a folder name, in lower case. Without a folder of training clips, dev is the
training subset, as in data sets with a development and an evaluation set."""

OF_A_RUN = ("model.safetensors", "config.json")
A_RUN = "a run folder with a model, and no labelled sounds; name the folder or table of the sounds"

DEV = ("dev", "development")
NUMBERS = {name: str(number) for number, name in SUBSETS.items()}
"""The fold of a subset."""


@dataclass(frozen=True)
class _Category:
    """A category folder: its own sounds, its event folders with their sounds, and its subset."""

    folder: Path
    sounds: tuple[Path, ...]
    events: tuple[tuple[Path, tuple[Path, ...]], ...]
    subset: str = ""


def read_folder(
    root: str | Path, *, group_pattern: str | None = None, rules: Rules = TRAINING
) -> Manifest:
    """Read class folders; two levels of folders are categories and events.

    Hidden files and folders, system folders and files that are not sounds are skipped; links to
    folders are followed. Folders named train, val or test are subsets, see ``ROLES``. An optional
    ``sonotype.json`` in the root has the name, licence and citation, and whether the sounds are
    synthetic.

    Args:
        root: the folder of the category folders.
        group_pattern: regular expression over file names for clips of one recording; without it
            every clip is its own group.
        rules: how strict the checks are.

    Raises:
        DataError: with all issues.
        OptionsError: the pattern is not a regular expression.
    """
    return validate(list_folder(root, group_pattern=group_pattern), rules)


def list_folder(root: str | Path, *, group_pattern: str | None = None) -> Listing:
    """Read class folders without validation."""
    root = Path(root)
    info, issues = read_dataset_info(root)
    found = walk(root)
    homes, wrong = _homes(root, found)
    categories = [
        _category(folder, found, part) for home, part in homes for folder in found.folders[home]
    ]
    parts, more = _inner_subsets(categories)
    wrong = wrong + more
    rows, unmatched = assign_groups(
        [row for category in categories for row in _rows(category, parts)], group_pattern
    )
    layout = wrong or _layout_faults(root, [home for home, _ in homes], categories, found)
    if not found.sounds() and any((root / name).is_file() for name in OF_A_RUN):
        layout = [DataIssue(str(root), 0, A_RUN)]
    closed = {str(path) for path, _ in found.broken}
    return Listing(
        source=root,
        name=info.name or root.resolve().name,
        records=() if wrong else rows,
        issues=(
            *issues,
            *unmatched,
            *(issue for issue in layout if issue.file not in closed),
            *(DataIssue(str(path), 0, cause) for path, cause in found.broken),
            *(
                DataIssue(str(path), 0, f"the same folder as {first}")
                for path, first in found.again
            ),
        ),
        grouped=group_pattern is not None,
        folds_are_subsets=bool(parts) or any(part for _, part in homes),
        synthetic=info.synthetic,
        licence=info.licence,
        citation=info.citation,
    )


# Subsets


def _roles(folders: Iterable[Path]) -> dict[Path, str]:
    """The subset that each folder is named after; folders with other names are left out."""
    names = {folder: folder.name.strip().casefold() for folder in folders}
    roles = {folder: ROLES[name] for folder, name in names.items() if name in ROLES}
    if "train" not in roles.values():
        roles |= {folder: "train" for folder in roles if names[folder] in DEV}
    return roles


def _homes(root: Path, found: Walk) -> tuple[list[tuple[Path, str]], list[DataIssue]]:
    """The folders of the category folders, each with its subset, and their issues.

    That is the root itself, without a subset, or the subset folders in it.
    """
    tops = [folder for folder in found.folders[root] if found.holds_sounds(folder)]
    roles = _roles(tops)
    others = [folder for folder in tops if folder not in roles]
    flat = [folder for folder in roles if not any(map(found.holds_sounds, found.folders[folder]))]
    a_class = others and len(roles) == 1 and flat and flat[0].name.casefold() == "train"
    if not roles or a_class:  # a train is also a sound class
        return [(root, "")], []
    if others:
        parts, classes = (listed(folder.name for folder in some) for some in (roles, others))
        cause = (
            f"folders named as parts ({parts}) beside others ({classes}): move all class folders "
            f"into the parts, as in {next(iter(roles)).name}/{others[0].name}, or rename a part "
            "that is a class"
        )
        return [], [DataIssue(str(root), 0, cause)]
    homes = [(folder, part) for folder, part in roles.items() if folder not in flat]
    empty = _roles(folder for folder in found.folders[root] if folder not in tops)
    return homes, [
        *(DataIssue(str(folder), 0, _no_classes(folder)) for folder in flat),
        *(DataIssue(str(folder), 0, NO_SOUND) for folder in empty),
    ]


def _no_classes(part: Path) -> str:
    return (
        f"a part, and its sounds have no class: put them into class folders, as in "
        f"{part.name}/dog/1.wav, or list them in a table with a category for each"
    )


def _inner_subsets(categories: Sequence[_Category]) -> tuple[dict[Path, str], list[DataIssue]]:
    """The subsets of ``category/train/*.wav``, by folder, and their issues."""
    if any(category.subset for category in categories):
        return {}, []
    held = [category for category in categories if category.sounds or _event_folders(category)]
    roles = _roles(folder for category in held for folder in _event_folders(category))
    mixed = [
        category
        for category in held
        if category.sounds or any(event not in roles for event in _event_folders(category))
    ]
    if roles and not mixed:
        return roles, []
    return {}, [
        DataIssue(
            str(category.folder),
            0,
            f"parts ({listed(names)}) beside other sounds or folders: move all sounds into the "
            "parts, or rename a part that is a class",
        )
        for category in mixed
        if len({roles[event] for event in _event_folders(category) if event in roles}) > 1
        and (names := [event.name for event in _event_folders(category) if event in roles])
    ]


# Categories and events


def _event_folders(category: _Category) -> list[Path]:
    return [folder for folder, sounds in category.events if sounds]


def _category(folder: Path, found: Walk, part: str) -> _Category:
    events = tuple((inner, tuple(found.files[inner])) for inner in found.folders[folder])
    return _Category(folder, tuple(found.files[folder]), events, part)


def _rows(category: _Category, parts: Mapping[Path, str]) -> list[ClipRecord]:
    name, fold = category.folder.name, NUMBERS.get(category.subset, "")
    rows = [ClipRecord(path, name, fold=fold) for path in category.sounds]
    for folder, sounds in category.events:
        event, part = (folder.name, fold) if folder not in parts else ("", NUMBERS[parts[folder]])
        rows += [ClipRecord(path, name, event, fold=part) for path in sounds]
    return rows


def _layout_faults(
    root: Path, homes: Sequence[Path], categories: list[_Category], found: Walk
) -> list[DataIssue]:
    issues = [
        DataIssue(
            str(path), 0, "lies beside the category folders; move it into the one it belongs to"
        )
        for home in dict.fromkeys((root, *homes))
        for path in found.files[home]
    ]
    if not categories:
        issues.append(DataIssue(str(root), 0, "no category folders (category/*.wav) inside"))
    two_levels = any(sounds for category in categories for _, sounds in category.events)
    for category in categories:
        issues += _empty_folders(category, found)
        issues += _too_deep(category, found)
    if two_levels:
        issues += _mixed_levels(categories)
    return issues


def _empty_folders(category: _Category, found: Walk) -> list[DataIssue]:
    deep = _deep(category, found)
    if not category.sounds and not any(sounds for _, sounds in category.events):
        return [] if deep else [DataIssue(str(category.folder), 0, NO_SOUND)]
    return [
        DataIssue(str(event), 0, NO_SOUND)
        for event, sounds in category.events
        if not sounds and not any(path.is_relative_to(event) for path in deep)
    ]


def _deep(category: _Category, found: Walk) -> list[Path]:
    """Folders below the event level that hold sounds."""
    return [
        folder
        for event, _ in category.events
        for folder in found.folders[event]
        if found.holds_sounds(folder)
    ]


def _too_deep(category: _Category, found: Walk) -> list[DataIssue]:
    return [
        DataIssue(
            str(folder), 0, "sounds on a third level of folders; there are two, category/event"
        )
        for folder in _deep(category, found)
    ]


def _mixed_levels(categories: list[_Category]) -> list[DataIssue]:
    """Sounds right in a category folder while others lie in event folders."""
    deep = dict.fromkeys(category.folder.name for category in categories if category.events)
    return [
        DataIssue(
            str(category.folder),
            0,
            f"mixed levels: {counted(len(category.sounds), 'sound')} right in the category folder, "
            f"while there are event folders in {listed(deep)}; use one layout throughout",
        )
        for category in categories
        if category.sounds
    ]
