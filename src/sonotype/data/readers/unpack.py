"""Unpack a zip archive into a folder: whole, or not at all, and never beside it."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sonotype.core.errors import DataError, DataIssue


def unpack_zip(archive: Path, folder: Path) -> Path:
    """Unpack an archive as a new folder.

    The one folder in which archives usually wrap everything is taken off. The contents are written
    to a temporary folder beside ``folder`` and renamed when complete.

    Args:
        archive: the zip file.
        folder: where its contents go; missing or empty.

    Raises:
        DataError: the archive is damaged, is no zip file, or has members that would lie outside
            the folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        inside = Path(name, "unpacked")
        inside.mkdir()
        try:
            with zipfile.ZipFile(archive) as packed:
                issues = [
                    DataIssue(
                        str(archive), 0, f"member {member.filename!r} {cause}; nothing unpacked"
                    )
                    for member in packed.infolist()
                    if (cause := _unsafe(member))
                ]
                if issues:
                    raise DataError(archive, issues)
                packed.extractall(inside)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            issue = DataIssue(str(archive), 0, f"not a whole zip archive ({error}); delete it")
            raise DataError(archive, [issue]) from error
        entries = list(inside.iterdir())
        content = entries[0] if len(entries) == 1 and entries[0].is_dir() else inside
        if folder.is_dir():
            folder.rmdir()  # fails unless it is empty, so that nothing is ever replaced
        shutil.move(content, folder)
    return folder


def _unsafe(member: zipfile.ZipInfo) -> str:
    """Why a member must not be unpacked; empty where it may."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        return "leads out of the folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link"
    return ""
