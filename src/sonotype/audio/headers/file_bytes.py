"""The bytes of a file by position, in memory or on disk."""

from __future__ import annotations

import io
from typing import BinaryIO

WINDOW = 1 << 20
"""Bytes that are searched at once."""


class FileBytes:
    """The bytes of an open file by position, read on demand.

    Not a memory map: with a failing disk, or when another program truncates the file, a map would
    end the process.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._size = stream.seek(0, io.SEEK_END)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, key: slice) -> bytes:
        first, end, _ = key.indices(self._size)
        self._stream.seek(first)
        return self._stream.read(max(end - first, 0))

    def find(self, pattern: bytes, start: int = 0) -> int:
        """First position of some bytes at or after ``start``; -1 if they do not occur."""
        while start < self._size:
            if (position := self[start : start + WINDOW].find(pattern)) >= 0:
                return start + position
            start += WINDOW - len(pattern) + 1
        return -1


Bytes = bytes | FileBytes
"""The bytes of a whole file."""
