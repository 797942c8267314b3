"""Names of classes and of clip files that every file system takes; Unicode and emoji stay."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from sonotype.core.text import ZERO_WIDTH_JOINER, printable
from sonotype.data.readers.folder import ROLES
from sonotype.data.readers.walk import passed_over
from sonotype.data.records import is_sound, nfc
from sonotype.data.suffixes import COMMON_SOUNDS
from sonotype.serve.problems import ProblemError

NAME_BYTES = 160
"""Of a name in UTF-8. File systems allow 255; a temporary name and `` (2)`` need room, too."""
CLASS_CHARACTERS = 60

_FORBIDDEN = frozenset('<>:"/\\|?*')
"""Characters that Windows or other systems do not allow in names."""
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{device}{number}" for device in ("com", "lpt") for number in (*"123456789", *"¹²³")}
)
"""Names of devices on Windows, with any suffix."""


def safe_file_name(name: str) -> str:
    """The last part of a file name, without what a file system may refuse or hide.

    Args:
        name: any text, such as the name that a browser sends.

    Returns:
        A name in NFC of at most ``NAME_BYTES``, with the suffix of the given one; ``sound`` in
        place of a name with nothing left.
    """
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    cleaned = _cleaned(last)
    suffix = PurePosixPath(cleaned).suffix
    if len(suffix.encode()) > 16:
        suffix = ""
    stem = cleaned.removesuffix(suffix) if suffix else cleaned
    if not stem.strip("._ "):
        stem = "sound"
    stem = _shortened(stem, NAME_BYTES - len(suffix.encode())).rstrip(" .")
    return _unreserved(stem + suffix)


def safe_class_name(name: str) -> str:
    """A name for a class folder.

    Raises:
        ProblemError: ``invalid-name``: nothing is left of the name, it is too long, or the readers
            of class folders give it another meaning.
    """
    cleaned = _unreserved(" ".join(_cleaned(name).split()))
    if not cleaned.strip("._ "):
        raise ProblemError("invalid-name", "Give the class a name with a letter or a number.")
    if len(cleaned) > CLASS_CHARACTERS or len(cleaned.encode()) > NAME_BYTES:
        raise ProblemError(
            "invalid-name", f"Use a name of at most {CLASS_CHARACTERS} characters for the class."
        )
    if cleaned.casefold() in ROLES:
        raise ProblemError(
            "invalid-name",
            f"A folder named {cleaned} stands for a part of the data, not for a class. Use another "
            "name, such as the name of the sound.",
        )
    if passed_over(cleaned):
        raise ProblemError("invalid-name", f"{cleaned} is a name of a system folder. Use another.")
    return cleaned


def same_name(first: str, second: str) -> bool:
    """Whether some file system takes two names for one: they differ by case or normal form."""
    return _key(first) == _key(second)


def free_name(name: str, taken: Collection[str]) -> str:
    """The name itself, or the name with `` (2)``, `` (3)`` and so on before its suffix.

    Args:
        name: of a file.
        taken: names in its folder.
    """
    keys = {_key(one) for one in taken}
    if _key(name) not in keys:
        return name
    suffix = PurePosixPath(name).suffix
    stem = name.removesuffix(suffix) if suffix else name
    number = 2
    while _key(f"{stem} ({number}){suffix}") in keys:
        number += 1
    return f"{stem} ({number}){suffix}"


def _key(name: str) -> str:
    return nfc(nfc(name).casefold())


def _cleaned(name: str) -> str:
    """Without control, invisible and forbidden characters, and without dots and blanks outside."""
    text = name.encode("utf-8", "replace").decode("utf-8")
    visible = (
        char for char in text if char == ZERO_WIDTH_JOINER or unicodedata.category(char) != "Cf"
    )
    text = printable(nfc("".join(visible)))
    text = "".join("_" if char in _FORBIDDEN else char for char in text)
    return text.strip().lstrip(".").strip().rstrip(" .")


def _unreserved(name: str) -> str:
    stem = name.partition(".")[0].strip().casefold()
    return f"_{name}" if stem in _RESERVED else name


def _shortened(text: str, size: int) -> str:
    """The beginning of a text in at most ``size`` bytes, without a broken character."""
    short = text.encode()[:size].decode("utf-8", "ignore")
    return short.rstrip(ZERO_WIDTH_JOINER) if short != text else text


def check_suffix(name: str) -> None:
    """Refuse a file that the readers of class folders pass over.

    Raises:
        ProblemError: ``unsupported-media-type``.
    """
    if not is_sound(Path(f"sound{Path(name).suffix}")):
        common = ", ".join(suffix.upper() for suffix in COMMON_SOUNDS)
        raise ProblemError(
            "unsupported-media-type",
            f"{printable(name)} has no suffix of a sound. Add {common} files, or videos.",
        )
