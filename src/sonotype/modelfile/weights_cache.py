"""Files of pretrained weights on this machine: in the user's folder, or in the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple

from sonotype.core.cache_folder import cache_root
from sonotype.core.download import content_issue, fetch
from sonotype.core.errors import WeightsError
from sonotype.modelfile.weights_registry import WeightsEntry, entry

FOLDER_VARIABLE = "SONOTYPE_WEIGHTS"
"""Environment variable with a folder that is searched before the cache, for offline machines."""

Status = Literal["here", "cached", "damaged", "missing"]


def cache_folder() -> Path:
    """The folder of downloaded weights; it may not exist yet."""
    return cache_root() / "weights"


def given_folder() -> Path | None:
    """The folder in ``SONOTYPE_WEIGHTS``; ``None`` if the variable is unset or empty.

    Raises:
        WeightsError: it is not a folder.
    """
    value = os.environ.get(FOLDER_VARIABLE, "")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise WeightsError(
            f"{FOLDER_VARIABLE} is {folder}, which is not a folder; set it to a folder that holds "
            "weights, or unset it"
        )
    return folder


def find(name: str) -> Path | None:
    """Find and verify the file of these weights; ``None`` if it is not on this machine.

    Every call verifies the file by its size and sha256, if they are known.

    Raises:
        WeightsError: an unknown name, a file that differs from the published one, or a value of
            ``SONOTYPE_WEIGHTS`` that is not a folder.
    """
    wanted = entry(name)
    found = _find(wanted)
    if found is not None and found.issue:
        raise _damaged(wanted, found)
    return None if found is None else found.path


def weights_path(name: str, *, progress: bool = False) -> Path:
    """Find the file of these weights, or download it into the cache; verified either way.

    A damaged file in the cache is downloaded again. A damaged file in ``SONOTYPE_WEIGHTS``, which
    belongs to the user, is an error.

    Args:
        name: a name of the registry, such as ``mn04``.
        progress: draw a bar on standard error while downloading, if it is a terminal.

    Raises:
        WeightsError: as for :func:`find`, or the download failed.
    """
    wanted = entry(name)
    found = _find(wanted)
    if found is not None and not found.issue:
        return found.path
    if found is not None and found.given:
        raise _damaged(wanted, found)
    return fetch(
        wanted.address,
        cache_folder() / wanted.file,
        size=wanted.size,
        sha256=wanted.sha256,
        progress=progress,
        advice=f", or set {FOLDER_VARIABLE} to a folder that holds {wanted.file}",
    )


def status(name: str) -> Status:
    """Where these weights are: in ``SONOTYPE_WEIGHTS`` ("here") or in the cache, damaged, missing.

    Raises:
        WeightsError: an unknown name, or a value of ``SONOTYPE_WEIGHTS`` that is not a folder.
    """
    found = _find(entry(name))
    if found is None:
        return "missing"
    if found.issue:
        return "damaged"
    return "here" if found.given else "cached"


class _Found(NamedTuple):
    """Path, whether it is in ``SONOTYPE_WEIGHTS``, how it differs from the published file."""

    path: Path
    given: bool
    issue: str | None


def _find(wanted: WeightsEntry) -> _Found | None:
    given = given_folder()
    for folder in (given, cache_folder()):
        if folder is not None and (path := folder / wanted.file).is_file():
            try:
                issue = content_issue(path, wanted.size, wanted.sha256)
            except OSError as error:
                issue = f"it cannot be read ({error.strerror or error})"
            return _Found(path, folder is given, issue)
    return None


def _damaged(wanted: WeightsEntry, found: _Found) -> WeightsError:
    where, remedy = "", f"`sonotype weights get {wanted.name}` replaces it"
    if found.given:
        where = f", in the folder {FOLDER_VARIABLE},"
        remedy = f"replace it by the file from {wanted.address}, or remove it"
    return WeightsError(f"{found.path}{where} is not the published file: {found.issue}; {remedy}")
