"""Where the files of weights lie: a folder of the user's choice first, then the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from sonotype.core.cache_folder import cache_root
from sonotype.core.download import content_fault, fetch
from sonotype.core.errors import WeightsError
from sonotype.modelfile.weights_registry import WeightsEntry, entry

FOLDER_VARIABLE = "SONOTYPE_WEIGHTS"
"""Environment variable that names a folder to look in first, so that offline machines work."""

Status = Literal["here", "cached", "damaged", "missing"]


def cache_folder() -> Path:
    """Name the folder that downloads land in; it may not exist yet."""
    return cache_root() / "weights"


def given_folder() -> Path | None:
    """Read the folder that ``SONOTYPE_WEIGHTS`` names; ``None`` where it is unset or empty.

    Raises:
        WeightsError: it names something that is no folder.

    """
    value = os.environ.get(FOLDER_VARIABLE, "")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise WeightsError(
            f"{FOLDER_VARIABLE} names {folder}, which is not a folder; "
            "name a folder that holds the weights, or unset it"
        )
    return folder


def find(name: str) -> Path | None:
    """Find and verify the file of these weights; ``None`` where it is neither given nor cached.

    The file is checked each time, by its sha256 or as much of it as is known.

    Raises:
        WeightsError: the name is not known, the file is not the published one, or
            ``SONOTYPE_WEIGHTS`` names no folder.

    """
    wanted = entry(name)
    given = _given_file(wanted)
    if given is not None:
        return given
    cached = cache_folder() / wanted.file
    if not cached.is_file():
        return None
    fault = _fault(wanted, cached)
    if fault is not None:
        raise WeightsError(
            f"{cached} is not the published file, {fault}; "
            f"`sonotype weights get {name}` replaces it"
        )
    return cached


def weights_path(name: str, *, progress: bool = False) -> Path:
    """Find the file of these weights, or download it into the cache; verified either way.

    A damaged file in the cache is downloaded anew; one in ``SONOTYPE_WEIGHTS``, which belongs to
    the user, is an error.

    Args:
        name: a name of the registry, such as ``mn04``.
        progress: draw a bar on standard error while downloading, if that is a terminal.

    Raises:
        WeightsError: as `find` does, or the download failed.

    """
    wanted = entry(name)
    given = _given_file(wanted)
    if given is not None:
        return given
    cached = cache_folder() / wanted.file
    if cached.is_file() and _fault(wanted, cached) is None:
        return cached
    return fetch(
        wanted.address,
        cached,
        size=wanted.size,
        sha256=wanted.sha256,
        sha256_prefix=wanted.sha256_prefix,
        progress=progress,
        advice=f", or set {FOLDER_VARIABLE} to a folder that holds {wanted.file}",
        error=WeightsError,
    )


def status(name: str) -> Status:
    """Say where these weights are: in ``SONOTYPE_WEIGHTS``, in the cache, there but wrong, or not.

    Raises:
        WeightsError: the name is not known, or ``SONOTYPE_WEIGHTS`` names no folder.

    """
    wanted = entry(name)
    given = given_folder()
    if given is not None and (given / wanted.file).is_file():
        return "here" if _fault(wanted, given / wanted.file) is None else "damaged"
    cached = cache_folder() / wanted.file
    if cached.is_file():
        return "cached" if _fault(wanted, cached) is None else "damaged"
    return "missing"


def _given_file(wanted: WeightsEntry) -> Path | None:
    folder = given_folder()
    if folder is None or not (folder / wanted.file).is_file():
        return None
    fault = _fault(wanted, folder / wanted.file)
    if fault is not None:
        raise WeightsError(
            f"{folder / wanted.file}, found by {FOLDER_VARIABLE}, is not the published file, "
            f"{fault}; replace it by the file from {wanted.address}, or remove it"
        )
    return folder / wanted.file


def _fault(wanted: WeightsEntry, path: Path) -> str | None:
    try:
        return content_fault(
            path, size=wanted.size, sha256=wanted.sha256, sha256_prefix=wanted.sha256_prefix
        )
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
