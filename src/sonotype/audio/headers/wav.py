"""WAV: where the samples of a file are, compared with what its headers declare."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sonotype.audio.headers.file_bytes import WINDOW, Bytes

TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""First bytes of the tags that programs append to a file."""

_RIFF = (b"RIFF", b"RF64", b"BW64", b"RIFX")
_KNOWN_CHUNKS = tuple(
    name.encode()
    for name in (
        "LIST", "id3 ", "ID3 ", "bext", "iXML", "axml", "_PMX", "cue ", "smpl", "inst", "fact",
        "PEAK", "PAD ", "JUNK", "junk", "FLLR", "chna", "umid", "minf", "elm1", "regn", "DISP",
        "plst", "acid", "levl", "wamd", "guan", "afsp",
    )
)  # fmt: skip
"""Chunks that may follow the samples; recognised even when the last one is truncated."""

_MIN_UNCOUNTED = 4096
"""At least this many bytes after the declared end are samples; fewer are a tag."""

_PLAIN, _EXTENSIBLE = (1, 3, 6, 7), 0xFFFE
"""Format tags of integers, floats, A-law and mu-law; and the tag of an extensible format chunk."""

_PLACEHOLDER_MARGIN = 1 << 16
"""Placeholders for an unknown size are this close to 2**31 or 2**32: the largest 32-bit number,
signed or unsigned, or that number minus the size of a header or of a block."""


@dataclass(frozen=True)
class WavInfo:
    """One WAV file inside a file, with the true size of its samples.

    Attributes:
        start: offset of its samples in the file, in bytes.
        size: true size of its samples, in bytes.
        declared: size of its samples according to its header.
        header: a header that declares the true size; empty if the file's own header does.
        missing: whether the header declares samples that are missing.
        plain: whether the samples are integers, floats, A-law or mu-law, which all decoders decode
            to the same values.
    """

    start: int
    size: int
    declared: int
    header: bytes
    missing: bool
    plain: bool


def find_wavs(file: Bytes) -> list[WavInfo]:
    """The WAV files that are concatenated in a file; empty if it is not WAV or has no samples.

    The size comes from the file if the header declares a placeholder (0, or a number near 2**31 or
    2**32), includes the header itself, or declares fewer bytes than follow: a size written before
    the recording ended, or one that overflowed 32 bits.
    """
    found: list[WavInfo] = []
    position: int | None = 0
    while position is not None:
        info, position = _wav_at(file, position)
        if info is None:
            break
        found.append(info)
    return found


def _wav_at(file: Bytes, begin: int) -> tuple[WavInfo | None, int | None]:
    """The WAV file that begins at ``begin``, and where the next one begins."""
    head = file[begin : begin + 12]
    if len(head) < 12 or head[:4] not in _RIFF or head[8:12] != b"WAVE":
        return None, None
    order = ">" if head[:4] == b"RIFX" else "<"
    position, long_size, format_chunk = begin + 12, None, b""
    while position + 8 <= len(file):
        name, size = struct.unpack(f"{order}4sI", file[position : position + 8])
        body = position + 8
        if name == b"ds64" and size >= 16:
            long_size = struct.unpack("<Q", file[body + 8 : body + 16])[0]
        elif name == b"fmt ":
            format_chunk = file[position : body + size + size % 2]
        elif name == b"data":
            declared = size
            if size == 0xFFFFFFFF and long_size is not None:
                declared = long_size
            return _measure(file, begin, body, declared, format_chunk, order)
        elif not is_chunk_name(name):
            break
        position = body + size + size % 2
    return None, None


def _measure(
    file: Bytes, begin: int, start: int, declared: int, format_chunk: bytes, order: str
) -> tuple[WavInfo | None, int | None]:
    """Find the true size of the samples at ``start`` of the WAV file that begins at ``begin``."""
    if len(format_chunk) < 24:
        return None, None
    align = max(struct.unpack(f"{order}H", format_chunk[20:22])[0], 1)
    present = len(file) - start
    size, missing, following = declared, False, None
    if declared > present:
        size = present
        missing = not (
            _includes_header(declared - present, start - begin) or is_placeholder(declared)
        )
    else:
        kind, following = _after_samples(file, start + declared, order)
        if kind == "samples" or (declared == 0 and kind == "tag" and _may_be_sound(file, start)):
            size = present
    trusted = begin == 0 and following is None and size == declared and not missing
    size -= size % align
    header = b"" if trusted else _header(format_chunk, size, order)
    plain = _is_plain(format_chunk, order)
    return WavInfo(start, size, declared, header, missing, plain), following


def _is_plain(format_chunk: bytes, order: str) -> bool:
    tag = struct.unpack(f"{order}H", format_chunk[8:10])[0]
    if tag == _EXTENSIBLE and len(format_chunk) >= 34:
        tag = struct.unpack(f"{order}H", format_chunk[32:34])[0]
    return tag in _PLAIN


def _may_be_sound(file: Bytes, start: int) -> bool:
    """Whether the few bytes from ``start`` on are neither a tag nor padding."""
    return not (file[start : start + 16].startswith(TAGS) or _all_zero(file, start))


def _includes_header(surplus: int, header: int) -> bool:
    """Whether a size is too large by the size of the header, an error of some programs.

    They write the size of the file, or the RIFF size, which is 8 less; or they add either to the
    size of the samples. Some assume a header of 44 bytes.
    """
    return surplus <= 8 or surplus in (36, 44) or abs(surplus - header) <= 8


def is_placeholder(size: int) -> bool:
    """Whether a size stands for an unknown size, as in a file that was written to a pipe."""
    return size == 0 or any(abs(size - power) <= _PLACEHOLDER_MARGIN for power in (2**31, 2**32))


def _after_samples(file: Bytes, end: int, order: str) -> tuple[str, int | None]:
    """The kind of data after the declared end, and where another WAV file begins there.

    In a well-formed file chunks follow; some programs omit the byte that pads the samples. Data
    that is not a chunk is a tag if it is short or begins like one, padding if it is all zero, and
    otherwise samples that the header does not count.
    """
    padded = end + end % 2
    for begin in dict.fromkeys((padded, end)):
        chunks, following = _chunks_at(file, begin, order)
        if chunks:
            return "chunks", following
    rest = len(file) - end
    if rest <= 1:
        return "nothing", None
    if rest < _MIN_UNCOUNTED or file[end : end + 16].startswith(TAGS):
        return "tag", None
    return ("padding" if _all_zero(file, end) else "samples"), None


def _chunks_at(file: Bytes, position: int, order: str) -> tuple[bool, int | None]:
    """Whether chunks begin at ``position``, and where another WAV file begins after them."""
    found = False
    while position + 8 <= len(file):
        name, size = struct.unpack(f"{order}4sI", file[position : position + 8])
        if name in _RIFF and file[position + 8 : position + 12] == b"WAVE":
            return True, position
        following = position + 8 + size
        if not is_chunk_name(name) or (following > len(file) and name not in _KNOWN_CHUNKS):
            break
        found, position = True, following + size % 2
    return found, None


def is_chunk_name(name: bytes) -> bool:
    """Whether bytes are printable ASCII, as the names of chunks and boxes are."""
    return all(32 <= letter < 127 for letter in name) and name.strip() != b""


def _all_zero(file: Bytes, start: int) -> bool:
    return not any(any(file[at : at + WINDOW]) for at in range(start, len(file), WINDOW))


def _header(format_chunk: bytes, size: int, order: str) -> bytes:
    """A WAV header for ``size`` bytes of samples, with the file's own format chunk."""
    if size < 0xFFFFFF00:
        riff = b"RIFX" if order == ">" else b"RIFF"
        pack = struct.Struct(f"{order}I").pack
        total = pack(4 + len(format_chunk) + 8 + size)
        return riff + total + b"WAVE" + format_chunk + b"data" + pack(size)
    sizes = struct.pack("<QQQI", 4 + 36 + len(format_chunk) + 8 + size, size, 0, 0)
    unknown = b"\xff\xff\xff\xff"
    ds64 = b"ds64" + struct.pack("<I", len(sizes)) + sizes
    return b"RF64" + unknown + b"WAVE" + ds64 + format_chunk + b"data" + unknown
