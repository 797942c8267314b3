"""Unpack a zip archive into a folder: completely, or not at all."""

from __future__ import annotations

import errno
import lzma
import shutil
import zipfile
import zlib
from pathlib import Path

from sonotype.core.errors import DataError, DataIssue
from sonotype.core.scratch import scratch_folder

MOST = 8_000_000_000
"""Bytes that an archive may have when it is unpacked."""
BAD_NAMES = (
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
)
"""Errors of names that no folder can have, or that are those of a file and of a folder."""
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(RuntimeError, ValueError, LookupError),
)
"""Errors of ``zipfile`` for damaged archives; encrypted and unknown ones are a RuntimeError."""


def unpack_zip(archive: Path, folder: Path) -> Path:
    """Unpack an archive as a new folder.

    A single top folder of the archive is removed. The contents are written to a temporary folder
    beside ``folder`` and renamed when complete. ``zipfile`` strips absolute paths and ``..`` from
    member names, and writes links as plain files, so nothing is written outside ``folder``.

    Args:
        archive: the zip file.
        folder: the new folder; missing or empty.

    Raises:
        DataError: the file is damaged, or is not a zip archive.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder.parent, f".{folder.name}-") as temporary:
        unpacked = temporary / "unpacked"
        unpacked.mkdir()
        try:
            with zipfile.ZipFile(archive) as opened:
                if (size := sum(one.file_size for one in opened.infolist())) > MOST:
                    raise ValueError(f"unpacked it would have {size:,} bytes")
                opened.extractall(unpacked)
        except (*_DAMAGED, OSError) as error:
            if isinstance(error, OSError) and error.errno not in BAD_NAMES:
                raise  # of the disk
            issue = DataIssue(str(archive), 0, f"not a complete zip archive ({error}); delete it")
            raise DataError(archive, [issue]) from error
        entries = list(unpacked.iterdir())
        content = entries[0] if len(entries) == 1 and entries[0].is_dir() else unpacked
        if folder.is_dir():
            folder.rmdir()  # fails unless it is empty, so that nothing is replaced
        shutil.move(content, folder)
    return folder
