"""FLAC: does the header count the samples of the file? (RFC 9639)."""

from __future__ import annotations

from sonotype.audio.headers.file_bytes import Bytes

_SYNC = b"\xff\xf8", b"\xff\xf9"
"""First bytes of a frame whose header gives the number of the frame, or of its first sample."""

_TAIL = 1 << 16
"""The header of the last frame is searched in at least this many bytes at the end of a file."""


def flac_count_is_correct(file: Bytes) -> bool:
    """Whether the header of a FLAC file declares the number of samples in the file.

    The header of the last frame gives the position of that frame. The count is wrong or unsure if
    it is 0 (unknown), if the last frame ends elsewhere, if a tag precedes the stream, or if another
    stream follows.
    """
    info = file[0:42]
    if len(info) < 42 or info[:4] != b"fLaC" or info[4] & 0x7F:
        return False
    total = int.from_bytes(info[18:26], "big") & (2**36 - 1)
    block_size = int.from_bytes(info[10:12], "big")
    if total == 0 or file.find(b"fLaC", 4) >= 0:
        return False
    largest = max(int.from_bytes(info[15:18], "big"), _TAIL)
    tail = file[max(len(file) - largest, 0) : len(file)]
    position = len(tail)
    while (position := max(tail.rfind(sync, 0, position) for sync in _SYNC)) >= 0:
        end = _frame_end(tail[position : position + 16], block_size)
        if end is not None:
            return end == total
    return False


def _frame_end(header: bytes, block_size: int) -> int | None:
    """The sample after the frame with this header; ``None`` if it is not a frame header."""
    if len(header) < 6:
        return None
    size_code, rate_code = header[2] >> 4, header[2] & 15
    ones = 8 - (header[4] ^ 0xFF).bit_length()  # leading one bits: length of the number, as UTF-8
    number_end = 4 + (ones or 1)
    size_end = number_end + (size_code - 5 if size_code in (6, 7) else 0)
    end = size_end + min(max(rate_code - 11, 0), 2)
    rest = header[5:number_end]
    if (
        size_code == 0
        or rate_code == 15
        or header[3] >> 4 > 10
        or header[3] & 1
        or ones in (1, 8)
        or any(byte >> 6 != 2 for byte in rest)
        or header[end : end + 1] != bytes([_crc8(header[:end])])
    ):
        return None
    number = header[4] & 0x7F >> ones
    for byte in rest:
        number = number << 6 | byte & 0x3F
    if size_code in (6, 7):
        size = int.from_bytes(header[number_end:size_end], "big") + 1
    elif size_code == 1:
        size = 192
    else:
        size = 144 << size_code if size_code < 6 else 256 << size_code - 8
    return number + size if header[1] & 1 else number * block_size + size


def _crc8(content: bytes) -> int:
    """The checksum of a frame header: polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value
