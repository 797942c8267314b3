"""Ogg: what the pages of a file say about its streams (RFC 3533)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sonotype.audio.headers.file_bytes import Bytes

_PAGE = b"OggS"


@dataclass(frozen=True)
class OggPages:
    """Facts from the pages of an Ogg file.

    Attributes:
        links: number of streams that follow each other, as in concatenated files.
        vorbis: whether the first stream is Vorbis.
        from_start: whether its first samples are numbered from near zero, as in a complete file;
            those of an excerpt of a broadcast are not.
        ends: whether the last page is complete and marked as the end of its stream.
    """

    links: int
    vorbis: bool
    from_start: bool
    ends: bool


def ogg_pages(file: Bytes) -> OggPages:
    """Read the headers of all pages."""
    links, begun, first_granule, ends = 0, False, -1, False
    for flags, granule, end in _pages(file):
        if flags & 2:
            links += not begun
            begun = True
        elif granule not in (0, 2**64 - 1):
            begun = False
            first_granule = granule if first_granule < 0 else first_granule
        elif flags & 4:
            begun = False
        ends = bool(flags & 4) and end <= len(file)
    return OggPages(links, file[29:35] == b"vorbis", first_granule < 10 * 192_000, ends)


def _pages(file: Bytes) -> Iterator[tuple[int, int, int]]:
    """Flags, granule position and end of each page."""
    position = file.find(_PAGE, 0)
    while position >= 0:
        header = file[position : position + 27]
        if len(header) < 27:
            yield 0, 0, len(file) + 1
            return
        segments = file[position + 27 : position + 27 + header[26]]
        end = position + 27 + header[26] + sum(segments)
        yield header[5], int.from_bytes(header[6:14], "little"), end
        # Bytes that belong to no page may follow, or the rest of a damaged page.
        position = file.find(_PAGE, min(end, len(file)))
