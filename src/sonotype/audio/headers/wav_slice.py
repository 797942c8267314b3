"""One WAV file inside a file, as a file object with a correct header."""

from __future__ import annotations

import io

from sonotype.audio.headers.file_bytes import Bytes
from sonotype.audio.headers.wav import WavInfo


class WavSlice(io.RawIOBase):
    """The samples of one WAV file under a header that declares their true size.

    Args:
        file: the bytes of the whole file.
        info: with a header.
    """

    def __init__(self, file: Bytes, info: WavInfo) -> None:
        self._file, self._info = file, info
        self._size = len(info.header) + info.size
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte; return the new position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; return the number of bytes."""
        header, first = self._info.header, self._position
        end = min(first + len(buffer), self._size)
        content = header[first:end]
        if end > len(header):
            offset = self._info.start - len(header)
            content += self._file[max(first, len(header)) + offset : end + offset]
        buffer[: len(content)] = content
        self._position = first + len(content)
        return len(content)
