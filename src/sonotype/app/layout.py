"""What is in the folder of a project, as the page and the readers of class folders see it."""

from __future__ import annotations

import os
from pathlib import Path

from sonotype.core.io import is_folder, is_link
from sonotype.data.readers.walk import passed_over
from sonotype.data.records import is_sound


def names_in(folder: Path) -> list[str]:
    """Names in a folder, without those that are no Unicode; none if it cannot be read."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 (names are wanted)
    except OSError:
        return []
    return [name for name in names if not any("\ud800" <= char <= "\udfff" for char in name)]


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is no link out of a project.

    Args:
        path: whose parents are no links out.
        folder: of the project.
    """
    if not is_link(path):
        return True
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links
        return False


def is_class(name: str, folder: Path) -> bool:
    """Whether a name is that of a class folder of a project."""
    path = folder / name
    return bool(name) and not passed_over(name) and is_folder(path) and is_inside(path, folder)


def class_names(folder: Path) -> list[str]:
    """Names of the class folders of a project, sorted."""
    return sorted(name for name in names_in(folder) if is_class(name, folder))


def links_out(folder: Path) -> list[str]:
    """Class folders and sounds, relative to a project, that are links to a place outside of it."""
    tops = [name for name in names_in(folder) if not passed_over(name)]
    out = [name for name in tops if not is_inside(folder / name, folder)]
    for label in class_names(folder):
        files = [name for name in names_in(folder / label) if not name.startswith(".")]
        out += [f"{label}/{file}" for file in files if not is_inside(folder / label / file, folder)]
    return sorted(out)


def nested_classes(folder: Path) -> list[str]:
    """Classes that have folders of their own; the page shows one level of classes."""
    return [
        label
        for label in class_names(folder)
        if any(
            not passed_over(name) and is_folder(folder / label / name)
            for name in names_in(folder / label)
        )
    ]


def loose_sounds(folder: Path) -> list[str]:
    """Sounds beside the class folders."""
    return sorted(
        name
        for name in names_in(folder)
        if is_sound(folder / name) and os.path.isfile(folder / name)  # noqa: PTH113
    )
