"""Ogg: what the pages of a file say about its streams (RFC 3533)."""

from __future__ import annotations

from typing import NamedTuple

from sonotype.audio.headers.file_bytes import Bytes

_PAGE = b"OggS"


class OggPages(NamedTuple):
    """Facts from the pages of an Ogg file.

    Attributes:
        one_vorbis: whether the file is one Vorbis stream whose first samples are numbered from near
            zero. Concatenated files have several streams; an excerpt of a broadcast starts later.
        ends: whether the last page is complete and marked as the end of its stream.
    """

    one_vorbis: bool
    ends: bool


def ogg_pages(file: Bytes) -> OggPages:
    """Read the headers of all pages."""
    streams, begun, first_granule, ends = 0, False, -1, False
    position = file.find(_PAGE)
    while position >= 0:
        header = file[position : position + 27].ljust(27, b"\0")
        flags, granule = header[5], int.from_bytes(header[6:14], "little")
        segments = file[position + 27 : position + 27 + header[26]]
        end = position + 27 + header[26] + sum(segments)
        if flags & 2:
            streams += not begun
            begun = True
        elif granule not in (0, 2**64 - 1):
            begun = False
            first_granule = granule if first_granule < 0 else first_granule
        elif flags & 4:
            begun = False
        ends = bool(flags & 4) and end <= len(file)
        # Bytes that belong to no page may follow, or the rest of a damaged page.
        position = file.find(_PAGE, min(end, len(file)))
    from_start = first_granule < 10 * 192_000
    return OggPages(streams == 1 and file[29:35] == b"vorbis" and from_start, ends)
