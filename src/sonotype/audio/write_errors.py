"""Errors of libsndfile on writing as those of other files."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import soundfile

PROBE = 1 << 18
"""Bytes to write to find the cause of an error, more than libsndfile writes at once."""


@contextmanager
def writing_sound(file: Path) -> Iterator[None]:
    """Turn an error of libsndfile, such as a full disk, into the error of the disk.

    Args:
        file: that is written, for the message.

    Raises:
        OSError: with the number and the text of the cause, such as ``ENOSPC``.
    """
    try:
        yield
    except soundfile.LibsndfileError as error:
        # libsndfile says "System error" only; its codes are no error numbers of the system.
        found = _cause_of_disk(file.parent)
        number, text = found or (errno.EIO, error.error_string.rstrip("."))
        raise OSError(number, text, str(file)) from error


def _cause_of_disk(folder: Path) -> tuple[int, str] | None:
    """Why files cannot be written into a folder; ``None`` if they can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(bytes(PROBE))
    except OSError as error:
        return error.errno or errno.EIO, error.strerror or str(error)
    return None
