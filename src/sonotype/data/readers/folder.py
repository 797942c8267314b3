"""Class folders: ``category/*.wav``, ``category/event/*.wav``, or more levels.

Folders named train, val or test are subsets, not classes. They are above the class folders
(``train/category/*.wav``) or below them (``category/train/*.wav``), and become folds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.core.text import counted, listed
from sonotype.data.dataset_info import read_dataset_info
from sonotype.data.manifest import SUBSETS, Manifest
from sonotype.data.readers.walk import Walk, walk
from sonotype.data.records import ClipRecord, Listing
from sonotype.data.splits.groups import assign_groups, recording_of_cut
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

Homes = Mapping[Path, str]
"""The folders of the class folders, each with its subset: the root, or the subset folders in it."""

Folders = dict[Path, tuple[tuple[str, ...], str]]
"""The folders below the homes that have sounds themselves, each with its labels and its subset."""


def read_folder(
    root: str | Path, *, group_pattern: str | None = None, rules: Rules = TRAINING
) -> Manifest:
    """Read class folders; each level of folders is a level of labels.

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
    folders = _sound_folders(homes, found)
    if not any(homes.values()):
        inner, more = _inner_subsets(folders, found)
        wrong += more
        folders |= {folder: (folders[folder][0][:-1], subset) for folder, subset in inner.items()}
    records = [
        ClipRecord(path, labels, group=recording_of_cut(path), fold=NUMBERS.get(subset, ""))
        for folder, (labels, subset) in folders.items()
        for path in found.files[folder]
    ]
    assigned, unmatched = assign_groups(records, group_pattern)
    layout = wrong or _layout_issues(root, homes, folders, found)
    if not found.sounds() and any((root / name).is_file() for name in OF_A_RUN):
        layout = [DataIssue(str(root), 0, A_RUN)]
    closed = {str(path) for path, _ in found.broken}
    return Listing(
        source=root,
        name=info.name or root.resolve().name,
        records=() if wrong else assigned,
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
        folds_are_subsets=any(subset for _, subset in folders.values()),
        synthetic=info.synthetic,
        licence=info.licence,
        citation=info.citation,
    )


def _sound_folders(homes: Homes, found: Walk) -> Folders:
    return {
        folder: (folder.relative_to(home).parts, subset)
        for home, subset in homes.items()
        for folder in sorted(found.files)
        if found.files[folder] and folder != home and folder.is_relative_to(home)
    }


# Subsets


def _roles(folders: Iterable[Path]) -> dict[Path, str]:
    """The subset that each folder is named after; folders with other names are left out."""
    names = {folder: folder.name.strip().casefold() for folder in folders}
    roles = {folder: ROLES[name] for folder, name in names.items() if name in ROLES}
    if "train" not in roles.values():
        roles |= {folder: "train" for folder in roles if names[folder] in DEV}
    return roles


def _homes(root: Path, found: Walk) -> tuple[dict[Path, str], list[DataIssue]]:
    """The homes, and their issues."""
    tops = [folder for folder in found.folders[root] if found.holds_sounds(folder)]
    roles = _roles(tops)
    others = [folder for folder in tops if folder not in roles]
    flat = [folder for folder in roles if not any(map(found.holds_sounds, found.folders[folder]))]
    a_class = others and len(roles) == 1 and flat and flat[0].name.casefold() == "train"
    if not roles or a_class:  # a train is also a sound class
        return {root: ""}, []
    if others:
        subsets, classes = (listed(folder.name for folder in some) for some in (roles, others))
        cause = (
            f"folders named as subsets ({subsets}) beside others ({classes}): move all class "
            f"folders into the subsets, as in {next(iter(roles)).name}/{others[0].name}, or rename "
            "a subset that is a class"
        )
        return {}, [DataIssue(str(root), 0, cause)]
    homes = {folder: subset for folder, subset in roles.items() if folder not in flat}
    empty = _roles(folder for folder in found.folders[root] if folder not in tops)
    return homes, [
        *(DataIssue(str(folder), 0, _no_classes(folder)) for folder in flat),
        *(DataIssue(str(folder), 0, NO_SOUND) for folder in empty),
    ]


def _no_classes(subset: Path) -> str:
    return (
        f"a subset, and its sounds have no class: put them into class folders, as in "
        f"{subset.name}/dog/1.wav, or list them in a table with a category for each"
    )


def _inner_subsets(folders: Folders, found: Walk) -> tuple[dict[Path, str], list[DataIssue]]:
    """The subsets of ``category/train/*.wav``, by folder, and their issues."""
    inner: defaultdict[Path, list[Path]] = defaultdict(list)
    for folder, (labels, _) in folders.items():
        if len(labels) > 1:
            inner[folder.parent].append(folder)
        else:
            inner[folder]  # sounds right in a class folder
    roles = _roles(folder for folders in inner.values() for folder in folders)
    mixed = [
        parent
        for parent, folders in inner.items()
        if found.files[parent] or any(folder not in roles for folder in folders)
    ]
    if roles and not mixed:
        return roles, []
    issues = []
    for parent in mixed:
        named = [folder for folder in inner[parent] if folder in roles]
        if len({roles[folder] for folder in named}) > 1:
            cause = (
                f"subsets ({listed(folder.name for folder in named)}) beside other sounds or "
                "folders: move all sounds into the subsets, or rename a subset that is a class"
            )
            issues.append(DataIssue(str(parent), 0, cause))
    return {}, issues


# Layout


def _layout_issues(root: Path, homes: Homes, folders: Folders, found: Walk) -> list[DataIssue]:
    issues = [
        DataIssue(
            str(path), 0, "lies beside the category folders; move it into the one it belongs to"
        )
        for home in dict.fromkeys((root, *homes))
        for path in found.files[home]
    ]
    if not any(found.folders[home] for home in homes):
        issues.append(DataIssue(str(root), 0, "no category folders (category/*.wav) inside"))
    deepest = max((len(labels) for labels, _ in folders.values()), default=0)
    issues += [
        DataIssue(str(folder), 0, NO_SOUND)
        for home in homes
        for folder in found.folders
        if folder != home and folder.is_relative_to(home) and not found.holds_sounds(folder)
        if folder.parent == home or found.holds_sounds(folder.parent)
        if len(folder.relative_to(home).parts) <= max(2, deepest)
    ]
    return issues + _subsets_between_levels(folders) + _mixed_levels(folders, found)


def _subsets_between_levels(folders: Folders) -> list[DataIssue]:
    """Folders named after subsets above a class folder, which would become classes."""
    inner: dict[Path, None] = {}
    for folder, (labels, _) in folders.items():
        class_folder = folder if folder.name == labels[-1] else folder.parent
        inner |= dict.fromkeys(list(class_folder.parents)[: len(labels) - 1])
    roles = _roles(inner)
    if len(set(roles.values())) < 2:  # a train is also a sound class
        return []
    return [
        DataIssue(
            str(folder),
            0,
            f"a {subset} subset between two levels of class folders: move it above all of them or "
            "below them, or rename it if it is a class",
        )
        for folder, subset in roles.items()
    ]


def _mixed_levels(folders: Folders, found: Walk) -> list[DataIssue]:
    """Folders with sounds on another level than most sounds."""
    sounds: Counter[int] = Counter()
    for folder, (labels, _) in folders.items():
        sounds[len(labels)] += len(found.files[folder])
    if len(sounds) < 2:
        return []
    layout = max(sounds, key=lambda depth: (sounds[depth], depth))
    example = "/".join(next(labels for labels, _ in folders.values() if len(labels) == layout))
    return [
        DataIssue(
            str(folder),
            0,
            f"mixed levels: {counted(len(found.files[folder]), 'sound')} on level {len(labels)} of "
            f"the folders, while most sounds are on level {layout}, as in {example}; use one "
            "layout throughout",
        )
        for folder, (labels, _) in folders.items()
        if len(labels) != layout
    ]
