"""Files that are whole or not there at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sonotype.atomic import atomic
from sonotype.errors import OptionsError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends well.

    Missing folders are made. A block that fails leaves an older file of that name as it was.

    Raises:
        OptionsError: the file cannot be written there.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            yield part
    except OSError as error:
        raise OptionsError(
            f"{path} cannot be written ({error.strerror or error}): choose another place"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
