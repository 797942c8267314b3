"""FLAC: does the header count the samples of the file? (RFC 9639)."""

from __future__ import annotations

from sonotype.audio.headers.file_bytes import Bytes

_SYNC = b"\xff\xf8", b"\xff\xf9"
"""First bytes of a frame; the last bit says whether frames or samples are numbered."""

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
    if len(header) < 6 or header[1] & 0xFE != 0xF8:
        return None
    variable = header[1] & 1
    size_code, rate_code = header[2] >> 4, header[2] & 15
    if size_code == 0 or rate_code == 15 or header[3] >> 4 > 10 or header[3] & 1:
        return None
    number, used = _utf8_number(header[4:])
    if not used:
        return None
    size, position = _block_size(header, 4 + used, size_code)
    if rate_code > 11:
        position += 1 if rate_code == 12 else 2
    if position >= len(header) or size is None or _crc8(header[:position]) != header[position]:
        return None
    return number + size if variable else number * block_size + size


def _block_size(header: bytes, position: int, code: int) -> tuple[int | None, int]:
    """Samples of a frame by their code, and the position after the bytes that the code uses."""
    if code == 1:
        return 192, position
    if 2 <= code <= 5:
        return 576 << (code - 2), position
    if code >= 8:
        return 256 << (code - 8), position
    end = position + code - 5
    value = header[position:end]
    return (int.from_bytes(value, "big") + 1 if len(value) == code - 5 else None), end


def _utf8_number(content: bytes) -> tuple[int, int]:
    """A number of up to seven bytes in the code of UTF-8, and its length; 0, 0 if invalid."""
    first = content[0]
    if first < 0x80:
        return first, 1
    length = 8 - (~first & 0xFF).bit_length()
    rest = content[1:length]
    if not 2 <= length <= 7 or len(rest) < length - 1 or any(byte >> 6 != 2 for byte in rest):
        return 0, 0
    number = first & (0x7F >> length)
    for byte in rest:
        number = number << 6 | byte & 0x3F
    return number, length


def _crc8(content: bytes) -> int:
    """The checksum of a frame header: polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value
