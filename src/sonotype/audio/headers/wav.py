"""WAV: where the samples of a file are, compared with what its headers declare."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal, NamedTuple

from sonotype.audio.headers.file_bytes import WINDOW, Bytes

Order = Literal["big", "little"]

TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""First bytes of the tags that programs append to a file."""

_RIFF = (b"RIFF", b"RF64", b"BW64", b"RIFX")
KNOWN_CHUNKS = (
    b"LIST", b"id3 ", b"ID3 ", b"bext", b"iXML", b"axml", b"_PMX", b"cue ", b"smpl", b"inst",
    b"fact", b"PEAK", b"PAD ", b"JUNK", b"junk", b"FLLR", b"chna", b"umid", b"minf", b"elm1",
    b"regn", b"DISP", b"plst", b"acid", b"levl", b"wamd", b"guan", b"afsp",
)  # fmt: skip
"""Chunks that may follow the samples; recognised even when the last one is truncated."""

_MIN_UNCOUNTED = 4096
"""At least this many bytes after the declared end are samples; fewer are a tag."""

_MOST_FORMAT, _FORMAT = 65_536, 40
"""Bytes of the largest format chunk, since known ones have at most a few hundred; and bytes that
are read of a larger one, those of an extensible format chunk."""

_PLAIN, _EXTENSIBLE = (1, 3, 6, 7), 0xFFFE
"""Format tags of integers, floats, A-law and mu-law; and the tag of an extensible format chunk."""

_PLACEHOLDER_MARGIN = 1 << 16
"""Placeholders for an unknown size are this close to 2**31 or 2**32: the largest 32-bit number,
signed or unsigned, or that number minus the size of a header or of a block."""


class WavInfo(NamedTuple):
    """One WAV file inside a file, with the true size of its samples.

    Attributes:
        start: offset of its samples in the file, in bytes.
        size: true size of its samples, in bytes.
        header: a header that replaces the file's own; empty if that declares the true size.
        damage: how many of the declared bytes are missing; empty if none are.
        plain: whether the samples are integers, floats, A-law or mu-law, which all decoders decode
            to the same values.
        following: offset of the next WAV file, if another one follows.
        format_chunk: the format chunk with its name and size.
        order: of the bytes of numbers.
    """

    start: int
    size: int
    header: bytes
    damage: str
    plain: bool
    following: int | None
    format_chunk: bytes = b""
    order: Order = "little"

    @property
    def sample_rate(self) -> int:
        """In Hz."""
        return int.from_bytes(self.format_chunk[12:16], self.order)

    @property
    def block(self) -> int:
        """Bytes of one sample of all channels."""
        return max(int.from_bytes(self.format_chunk[20:22], self.order), 1)

    def with_samples(self, content: bytes) -> bytes:
        """A WAV file of some of the samples."""
        return wav_header(self.format_chunk, len(content), self.order) + content


def find_wavs(file: Bytes) -> list[WavInfo]:
    """The WAV files that are concatenated in a file; empty if it is not WAV or has no samples.

    The size comes from the file if the header declares a placeholder (0, or a number near 2**31 or
    2**32), includes the header itself, or declares fewer bytes than follow: a size written before
    the recording ended, or one that overflowed 32 bits.
    """
    found: list[WavInfo] = []
    info = _wav_at(file, 0)
    while info is not None:
        found.append(info)
        info = None if info.following is None else _wav_at(file, info.following)
    return found


def _wav_at(file: Bytes, begin: int) -> WavInfo | None:
    """The WAV file that begins at ``begin``."""
    if file[begin : begin + 4] not in _RIFF or file[begin + 8 : begin + 12] != b"WAVE":
        return None
    order: Order = "big" if file[begin : begin + 4] == b"RIFX" else "little"
    long_size, format_chunk = None, b""
    for name, body, size in _chunks(file, begin + 12, order):
        if name == b"ds64" and size >= 16:
            long_size = int.from_bytes(file[body + 8 : body + 16], "little")
        elif name == b"fmt ":
            kept = size if size <= _MOST_FORMAT else _FORMAT
            format_chunk = name + kept.to_bytes(4, order) + file[body : body + kept + kept % 2]
        elif name == b"data":
            if len(format_chunk) < 24:
                return None
            declared = long_size if size == 0xFFFFFFFF and long_size is not None else size
            return _measure(file, begin, body, declared, format_chunk, order)
    return None


def _measure(
    file: Bytes, begin: int, start: int, declared: int, format_chunk: bytes, order: Order
) -> WavInfo:
    """Find the true size of the samples at ``start`` of the WAV file that begins at ``begin``."""

    def number(position: int) -> int:
        return int.from_bytes(format_chunk[position : position + 2], order)

    size, following, missing = declared, None, declared - (len(file) - start)
    if missing > 0:
        size -= missing
    else:
        least = _MIN_UNCOUNTED if declared else 2
        more, following = _after_samples(file, start + declared, order, least)
        size -= missing if more else 0
    trusted = begin == 0 and following is None and size == declared
    size -= size % max(number(20), 1)
    header, damage = b"", ""
    if not trusted:
        known = size if size < 0xFFFFFF00 else 0  # 0 in place of more: decoders read to the end
        header = wav_header(format_chunk, known, order)
    if missing > 0 and not (is_header_size(missing, start - begin) or is_placeholder(declared)):
        damage = f"is truncated ({size} of {declared} bytes are there)"
    tag = number(8)
    if tag == _EXTENSIBLE and len(format_chunk) >= 34:
        tag = number(32)
    return WavInfo(start, size, header, damage, tag in _PLAIN, following, format_chunk, order)


def wav_header(format_chunk: bytes, size: int, order: Order) -> bytes:
    """A header for this number of bytes of samples; 0 if it is not known."""
    riff_size = 12 + len(format_chunk) + size if size else 8
    header = b"RIFX" if order == "big" else b"RIFF"
    header += riff_size.to_bytes(4, order) + b"WAVE" + format_chunk
    return header + b"data" + size.to_bytes(4, order)


def is_header_size(surplus: int, header: int) -> bool:
    """Whether a size is too large by the size of the header, an error of some programs.

    They write the size of the file, or the RIFF size, which is 8 less; or they add either to the
    size of the samples. Some assume a header of 44 bytes.
    """
    return surplus <= 8 or surplus in (36, 44) or abs(surplus - header) <= 8


def is_placeholder(size: int) -> bool:
    """Whether a size stands for an unknown size, as in a file that was written to a pipe."""
    return size == 0 or any(abs(size - power) <= _PLACEHOLDER_MARGIN for power in (2**31, 2**32))


def _after_samples(file: Bytes, end: int, order: Order, least: int) -> tuple[bool, int | None]:
    """Whether more samples follow the declared end, and where another WAV file begins there.

    In a well-formed file chunks follow; some programs omit the byte that pads the samples. Data
    that is not a chunk is a tag if it is shorter than ``least`` bytes or begins like one, padding
    if it is all zero, and otherwise samples that the header does not count.
    """
    for begin in dict.fromkeys((end + end % 2, end)):
        found = False
        for name, body, size in _chunks(file, begin, order):
            if name in _RIFF and file[body : body + 4] == b"WAVE":
                return False, body - 8
            if body + size > len(file) and name not in KNOWN_CHUNKS:
                break
            found = True
        if found:
            return False, None
    is_tag = len(file) - end < least or file[end : end + 16].startswith(TAGS)
    windows = range(end, len(file), WINDOW)
    return not is_tag and any(any(file[at : at + WINDOW]) for at in windows), None


def _chunks(file: Bytes, position: int, order: Order) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of each chunk from ``position`` on, up to an invalid name."""
    while position + 8 <= len(file):
        head = file[position : position + 8]
        name, size = head[:4], int.from_bytes(head[4:], order)
        if not is_chunk_name(name):
            return
        position += 8
        yield name, position, size
        position += size + size % 2


def is_chunk_name(name: bytes) -> bool:
    """Whether bytes are printable ASCII, as the names of chunks and boxes are."""
    return all(32 <= letter < 127 for letter in name) and name.strip() != b""


class WavSlice:
    """One WAV file inside a file, as a file object: its new header and its samples."""

    def __init__(self, file: Bytes, info: WavInfo) -> None:
        self._file, self._header, self._size = file, info.header, len(info.header) + info.size
        self._offset = info.start - len(info.header)
        self._position = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte; return the new position."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, count: int) -> bytes:
        """Return the next bytes, at most ``count``."""
        first, end = self._position, min(self._position + count, self._size)
        content = self._header[first:end]
        if (begin := max(first, len(self._header))) < end:
            content += self._file[begin + self._offset : end + self._offset]
        self._position += len(content)
        return content
