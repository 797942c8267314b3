"""Names of output files: any recording and any label gets a name that every file system accepts."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sonotype.core.errors import OptionsError
from sonotype.core.io import is_folder, is_link
from sonotype.data.readers.folder import ROLES
from sonotype.data.readers.walk import passed_over

MOST_BYTES = 120
"""Of a name without its suffix; file systems limit names to 255 bytes."""
MOST_BYTES_OF_RECORDING = 200
"""Of the name of a recording, to which suffixes are added."""

_FORBIDDEN = frozenset('<>:"/\\|?*')
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}
)
"""Names that Windows reserves, with any suffix."""


@dataclass(frozen=True)
class Recording:
    """A recording of a job.

    Attributes:
        path: as the user named it.
        name: in the trees of label files and pictures, relative, with ``/``.
        clip_name: of its clips; unique among the recordings of the job.
        cause: why it is known to be unreadable; empty if that is not known.
    """

    path: Path
    name: str
    clip_name: str
    cause: str = ""


def name_recordings(causes: Mapping[Path, str], inputs: Sequence[Path]) -> list[Recording]:
    """Names of recordings, relative to the folder that all inputs have in common.

    A single folder is that folder itself; of a file it is the folder of the file.

    Args:
        causes: the recordings, and why they are known to be unreadable; in order.
        inputs: the files and folders that the user named.
    """
    folders = [_absolute(path if is_folder(path) else path.parent) for path in inputs]
    try:
        root = os.path.commonpath(folders)
    except ValueError:  # several drives of Windows
        root = ""
    names = [_relative(_absolute(path), root) for path in causes]
    flat = [safe_name("_".join(Path(name).with_suffix("").parts)) for name in names]
    number = Counter(map(_folded, flat))
    return [
        Recording(
            path,
            "/".join(_fitting(part) for part in name.split("/")),
            clip if number[_folded(clip)] == 1 else _marked(clip, name),
            cause,
        )
        for (path, cause), name, clip in zip(causes.items(), names, flat, strict=True)
    ]


def outside(causes: Mapping[Path, str], out: Path, inputs: Iterable[Path]) -> dict[Path, str]:
    """The recordings that do not lie in the output folder, where clips may be.

    Raises:
        OptionsError: an input is the output folder, or lies in it.
    """
    folder = Path(os.path.realpath(out))
    for path in inputs:
        if Path(os.path.realpath(path)).is_relative_to(folder):
            raise OptionsError(f"--out {out}: holds the input {path}; name another folder")
    real = cache(os.path.realpath)
    return {
        path: cause
        for path, cause in causes.items()
        if not Path(real(path.parent)).is_relative_to(folder)
        and not (is_link(path) and Path(os.path.realpath(path)).is_relative_to(folder))
    }


def label_folders(labels: Iterable[str]) -> dict[str, str]:
    """A folder name for each label, also where the file system ignores case."""
    labels = list(dict.fromkeys(labels))
    names = {label: safe_name(label) for label in labels}
    number = Counter(map(_folded, names.values()))
    return {
        label: name if number[_folded(name)] == 1 else _marked(name, label)
        for label, name in names.items()
    }


def safe_name(text: str) -> str:
    """A name of a file or folder for any text; another text never gets the same name.

    Names that are no class folders of training data (hidden and system folders, ``test``) are
    changed, too. A changed name ends with a digest of the text.
    """
    name = "".join("_" if char in _FORBIDDEN or not char.isprintable() else char for char in text)
    name = _cut(name, MOST_BYTES)
    if name.startswith("."):
        name = f"_{name[1:]}"
    name = name.rstrip(". ").lstrip(" ")
    folded = name.casefold()
    usual = name and not passed_over(name) and folded not in ROLES
    if name == text and usual and folded.partition(".")[0] not in _DEVICES:
        return name
    return _marked(name, text)


def _marked(name: str, text: str) -> str:
    """The name with a digest of a text at its end."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name}~{digest[:8]}"


def _fitting(part: str) -> str:
    """A part of a path as valid text that is short enough for the suffixes of label files."""
    name = part.encode("utf-8", "replace").decode("utf-8")
    if name == part and len(name.encode()) <= MOST_BYTES_OF_RECORDING:
        return part
    return _marked(_cut(name.replace("?", "_"), MOST_BYTES), part)


def _cut(text: str, size: int) -> str:
    """The beginning of a text, in at most so many bytes of UTF-8."""
    return text.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 (keeps links)


def _relative(path: str, root: str) -> str:
    """A path relative to a folder above it; without a folder its parts, with the drive's letter."""
    relative = Path(os.path.relpath(path, root)) if root else Path(path.replace(":", "", 1))
    return "/".join(part for part in relative.parts if part not in ("..", os.sep))
