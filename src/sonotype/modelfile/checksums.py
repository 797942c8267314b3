"""``SHA256SUMS``: digests of the files of a repository, in the format of ``sha256sum``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from sonotype.core.errors import ModelFileError

NAME = "SHA256SUMS"
MAX_BYTES = 1_000_000

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def checksums_text(digests: Mapping[str, str]) -> str:
    """The text of the file for hex digests by file name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def read_checksums(path: Path, shown: str) -> dict[str, str]:
    """Hex digests by file name.

    Args:
        path: the file.
        shown: its name in messages.

    Raises:
        ModelFileError: a line is not a digest and a name, or a name is a path out of the folder.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
        text = content.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{shown}: cannot be read ({error})") from None
    if len(content) > MAX_BYTES:
        raise ModelFileError(f"{shown}: is larger than {MAX_BYTES:,} bytes, not a list of digests")
    digests: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ModelFileError(f"{shown}:{number}: is not a SHA-256 digest and a file name")
        name = match[2]
        parts = name.replace("\\", "/").split("/")
        if ".." in parts or not all(parts) or ":" in parts[0] or not name.isprintable():
            raise ModelFileError(
                f"{shown}:{number}: {name!r} is not a path inside the repository; do not use it"
            )
        if digests.setdefault(name, match[1]) != match[1]:
            raise ModelFileError(f"{shown}:{number}: another digest of {name!r}")
    return digests
