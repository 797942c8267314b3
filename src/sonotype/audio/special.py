"""Special files: pipes, sockets and devices, which exist but are neither files nor folders."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device (a whole disk or a part of one)"),
)


def special_kind(path: str | Path) -> str:
    """The kind of a special file, such as ``"a named pipe"``; empty for all other paths.

    Nothing is opened, since opening a pipe waits for a writer, possibly forever.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (Path.stat makes a Path first)
    except (OSError, ValueError):
        return ""
    return next((name for test, name in _KINDS if test(mode)), "")
