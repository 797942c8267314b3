"""Containers whose last element declares its length: MP4, RIFF, Matroska."""

from __future__ import annotations

from sonotype.audio.headers.file_bytes import Bytes
from sonotype.audio.headers.wav import TAGS, is_chunk_name, is_placeholder


def boxes_are_complete(file: Bytes) -> bool:
    """Whether the boxes of an MP4, MOV or 3GP file end with the file (ISO/IEC 14496-12)."""
    position = 0
    seen: set[bytes] = set()
    while position + 8 <= len(file):
        head = file[position : position + 8]
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if {b"moov", b"mdat"} <= seen and (
            not is_chunk_name(name) or file[position : position + 16].startswith(TAGS)
        ):
            return True  # a tag after the last box
        if size == 1:
            size = int.from_bytes(file[position + 8 : position + 16], "big")
        if size < 8:  # 0: the last box reaches to the end; other values are invalid
            return True
        seen.add(name)
        position += size
    return position <= len(file)


def riff_is_complete(file: Bytes) -> bool:
    """Whether a RIFF file, such as AVI, is as long as its header declares."""
    size = int.from_bytes(file[4:8], "little")
    return is_placeholder(size) or 8 + size <= len(file)


def segment_is_complete(file: Bytes) -> bool:
    """Whether a Matroska or WebM file is as long as its segment declares (RFC 8794).

    A file that was written during the recording has a segment of unknown size: complete.
    """
    position = 0
    while position + 12 <= len(file):
        name = file[position : position + 4]
        size, width = _ebml_size(file[position + 4 : position + 12])
        position += 4 + width
        if name == b"\x18\x53\x80\x67":
            return size is None or position + size <= len(file)
        if size is None:
            return True
        position += size
    return True


def _ebml_size(content: bytes) -> tuple[int | None, int]:
    """A size and its number of bytes; ``None`` for an unknown size."""
    width = 9 - content[0].bit_length()
    if width > 8:
        return None, 1
    value = int.from_bytes(content[:width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), width
