"""Compare what the headers of WAV, FLAC and Ogg files declare with what the files hold.

libsndfile trusts these headers: it stops at a count that is too small, refuses or mends one that is
too large, and reads the first stream of joined files only. Each function here reads the structure
of a file, decodes nothing, and says whether libsndfile can be trusted with it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

_WINDOW = 1 << 20


class FileBytes:
    """The bytes of a file by their place, read as they are asked for.

    Not a memory map: of a file on a failing card, or one that another program cuts, a map would end
    the process.

    Args:
        stream: open for reading.
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

    def find(self, what: bytes, start: int = 0) -> int:
        """The first place of some bytes from a place on; -1 where they do not occur."""
        while start < self._size:
            window = self[start : start + _WINDOW]
            if (place := window.find(what)) >= 0:
                return start + place
            start += _WINDOW - len(what) + 1
        return -1


Bytes = bytes | FileBytes
"""The bytes of a whole file."""


# WAV

_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
"""How tags begin that programs write behind the last chunk."""

_RIFF = (b"RIFF", b"RF64", b"BW64", b"RIFX")
_KNOWN_CHUNKS = tuple(
    name.encode()
    for name in (
        "LIST", "id3 ", "ID3 ", "bext", "iXML", "axml", "_PMX", "cue ", "smpl", "inst", "fact",
        "PEAK", "PAD ", "JUNK", "junk", "FLLR", "chna", "umid", "minf", "elm1", "regn", "DISP",
        "plst", "acid", "levl", "wamd", "guan", "afsp",
    )
)  # fmt: skip
"""Chunks that follow the samples, also where the last one is cut off."""

_LEAST_STALE = 4096
"""Bytes behind the declared end that are samples and not a tag: so many, or more."""

_PLAIN, _EXTENSIBLE = (1, 3, 6, 7), 0xFFFE
"""Format tags: integers, floats, A-law, mu-law; and that of a chunk with the tag further on."""

_SIZE_SLACK = 1 << 16
"""Placeholders of an unknown size lie this near to 2**31 or 2**32: the largest 32-bit number,
signed or not, or that number less the size of a header or of a block."""


@dataclass(frozen=True)
class WavPart:
    """One WAV file inside a file, with the size of its samples as they are.

    Attributes:
        start: of its samples, in bytes from the start of the file.
        size: of its samples, in bytes.
        declared: what its header says of that size.
        header: a header that declares the true size; empty where the file's own one does.
        missing: whether the header declares samples that are not there.
        plain: whether the samples are integers, floats, A-law or mu-law, which every decoder takes
            alike.
    """

    start: int
    size: int
    declared: int
    header: bytes
    missing: bool
    plain: bool


def wav_parts(file: Bytes) -> list[WavPart]:
    """The WAV files that lie in a row in a file; nothing where it is none, or has no samples.

    Sizes are taken from the file where the header declares a placeholder (0, or a number near 2**31
    or 2**32), counts the header itself, or is smaller than what follows: a size from before the end
    of the recording, or one that overflowed its 32 bits.
    """
    parts: list[WavPart] = []
    position: int | None = 0
    while position is not None:
        part, position = _wav_part(file, position)
        if part is None:
            break
        parts.append(part)
    return parts


def _wav_part(file: Bytes, begin: int) -> tuple[WavPart | None, int | None]:
    """The WAV file that begins at a byte, and where the next one begins."""
    head = file[begin : begin + 12]
    if len(head) < 12 or head[:4] not in _RIFF:
        return None, None
    if head[8:12] != b"WAVE":
        return None, None
    order = ">" if head[:4] == b"RIFX" else "<"
    position, long_size, form = begin + 12, None, b""
    while position + 8 <= len(file):
        name, size = struct.unpack(f"{order}4sI", file[position : position + 8])
        body = position + 8
        if name == b"ds64" and size >= 16:
            long_size = struct.unpack("<Q", file[body + 8 : body + 16])[0]
        elif name == b"fmt ":
            form = file[position : body + size + size % 2]
        elif name == b"data":
            declared = size
            if size == 0xFFFFFFFF and long_size is not None:
                declared = long_size
            return _wav_samples(file, begin, body, declared, form, order)
        elif not _is_chunk_name(name):
            break
        position = body + size + size % 2
    return None, None


def _wav_samples(
    file: Bytes, begin: int, start: int, declared: int, form: bytes, order: str
) -> tuple[WavPart | None, int | None]:
    if len(form) < 24:
        return None, None
    align = max(struct.unpack(f"{order}H", form[20:22])[0], 1)
    there = len(file) - start
    size, missing, following = declared, False, None
    if declared > there:
        size = there
        missing = not (_counts_header(declared - there, start - begin) or _is_placeholder(declared))
    else:
        kind, following = _behind(file, start + declared, order)
        if kind == "samples" or (declared == 0 and kind == "tag" and _may_be_sound(file, start)):
            size = there
    trusted = begin == 0 and following is None and size == declared and not missing
    size -= size % align
    header = b"" if trusted else _header(form, size, order)
    return WavPart(start, size, declared, header, missing, _is_plain(form, order)), following


def _is_plain(form: bytes, order: str) -> bool:
    """Whether a format chunk names one of the codings in ``_PLAIN``."""
    tag = struct.unpack(f"{order}H", form[8:10])[0]
    if tag == _EXTENSIBLE and len(form) >= 34:
        tag = struct.unpack(f"{order}H", form[32:34])[0]
    return tag in _PLAIN


def _may_be_sound(file: Bytes, start: int) -> bool:
    """Whether the few bytes from a place on are neither a tag nor padding."""
    return not (file[start : start + 16].startswith(_TAGS) or _all_zero(file, start))


def _counts_header(surplus: int, header: int) -> bool:
    """Whether a size is too large by the size of the header, as some programs write it.

    They take the size of the file, or what the header of 44 bytes says of it, which is 8 less; or
    they add either to the size of the samples.
    """
    return surplus <= 8 or surplus in (36, 44) or abs(surplus - header) <= 8


def _is_placeholder(size: int) -> bool:
    """Whether a size stands for one that was not known: from a pipe, or never filled in."""
    return size == 0 or any(abs(size - power) <= _SIZE_SLACK for power in (2**31, 2**32))


def _behind(file: Bytes, end: int, order: str) -> tuple[str, int | None]:
    """What follows the declared end of the samples, and where another WAV file begins there.

    Chunks follow in a well-formed file; some programs leave out the byte that pads the samples.
    What is no chunk is a tag where it is short or begins like one, padding where it is all zero,
    and otherwise samples that the header does not count.
    """
    padded = end + end % 2
    for begin in dict.fromkeys((padded, end)):
        chunks, following = _chunks(file, begin, order)
        if chunks:
            return "chunks", following
    rest = len(file) - end
    if rest <= 1:
        return "nothing", None
    if rest < _LEAST_STALE or file[end : end + 16].startswith(_TAGS):
        return "tag", None
    return ("padding" if _all_zero(file, end) else "samples"), None


def _chunks(file: Bytes, position: int, order: str) -> tuple[bool, int | None]:
    """Whether chunks begin at a byte, and where another WAV file begins behind them."""
    found = False
    while position + 8 <= len(file):
        name, size = struct.unpack(f"{order}4sI", file[position : position + 8])
        if name in _RIFF and file[position + 8 : position + 12] == b"WAVE":
            return True, position
        following = position + 8 + size
        if not _is_chunk_name(name) or (following > len(file) and name not in _KNOWN_CHUNKS):
            break
        found, position = True, following + size % 2
    return found, None


def _is_chunk_name(name: bytes) -> bool:
    return all(32 <= letter < 127 for letter in name) and name.strip() != b""


def _all_zero(file: Bytes, start: int) -> bool:
    places = range(start, len(file), _WINDOW)
    return not any(any(file[first : first + _WINDOW]) for first in places)


def _header(form: bytes, size: int, order: str) -> bytes:
    """A WAV header for samples of a size: the file's own format chunk, and nothing else."""
    if size < 0xFFFFFF00:
        riff = b"RIFX" if order == ">" else b"RIFF"
        pack = struct.Struct(f"{order}I").pack
        return riff + pack(4 + len(form) + 8 + size) + b"WAVE" + form + b"data" + pack(size)
    sizes = struct.pack("<QQQI", 4 + 36 + len(form) + 8 + size, size, 0, 0)
    unknown = b"\xff\xff\xff\xff"
    long = b"ds64" + struct.pack("<I", len(sizes)) + sizes
    return b"RF64" + unknown + b"WAVE" + long + form + b"data" + unknown


class WavPartFile(io.RawIOBase):
    """A part of a file, read as a WAV file of its own under a header with the true size.

    Args:
        file: the bytes of the whole file.
        part: with its header.
    """

    def __init__(self, file: Bytes, part: WavPart) -> None:
        self._file, self._part = file, part
        self._size = len(part.header) + part.size
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte; returns where it is."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(origin + offset, 0)
        return self._position

    def tell(self) -> int:
        """Where it is."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; returns how many bytes there were."""
        header, first = self._part.header, self._position
        end = min(first + len(buffer), self._size)
        taken = header[first:end]
        if end > len(header):
            offset = self._part.start - len(header)
            taken += self._file[max(first, len(header)) + offset : end + offset]
        buffer[: len(taken)] = taken
        self._position = first + len(taken)
        return len(taken)


# FLAC

_FLAC_SYNC = b"\xff\xf8", b"\xff\xf9"
"""How a frame begins; the last bit tells whether frames or samples are numbered."""

_LARGEST_FRAME = 1 << 16
"""Bytes at the end of a file in which the header of its last frame is looked for, at least."""


def flac_count_is_true(file: Bytes) -> bool:
    """Whether the header of a FLAC file counts the samples that are in it.

    The header of the last frame says where that frame lies. The count is not to be trusted where it
    is zero (unknown), where the last frame ends elsewhere, where a tag stands in front of the
    stream, or where another stream follows it (RFC 9639).
    """
    info = file[0:42]
    if len(info) < 42 or info[:4] != b"fLaC" or info[4] & 0x7F:
        return False
    total = int.from_bytes(info[18:26], "big") & (2**36 - 1)
    block_size = int.from_bytes(info[10:12], "big")
    if total == 0 or file.find(b"fLaC", 4) >= 0:
        return False
    largest = max(int.from_bytes(info[15:18], "big"), _LARGEST_FRAME)
    tail = file[max(len(file) - largest, 0) : len(file)]
    place = len(tail)
    while (place := max(tail.rfind(mark, 0, place) for mark in _FLAC_SYNC)) >= 0:
        end = _flac_frame_end(tail[place : place + 16], block_size)
        if end is not None:
            return end == total
    return False


def _flac_frame_end(header: bytes, block_size: int) -> int | None:
    """The sample behind the frame whose header this is; ``None`` where it is none."""
    if len(header) < 6 or header[1] & 0xFE != 0xF8:
        return None
    variable = header[1] & 1
    size_code, rate_code = header[2] >> 4, header[2] & 15
    if size_code == 0 or rate_code == 15 or header[3] >> 4 > 10 or header[3] & 1:
        return None
    number, used = _utf8_number(header[4:])
    if not used:
        return None
    place = 4 + used
    size, place = _coded(header, place, size_code)
    if rate_code > 11:
        place += 1 if rate_code == 12 else 2
    if place >= len(header) or size is None or _crc8(header[:place]) != header[place]:
        return None
    return number + size if variable else number * block_size + size


def _coded(header: bytes, place: int, code: int) -> tuple[int | None, int]:
    """Samples of a frame by their code, and the place behind what the code needs."""
    if code == 1:
        return 192, place
    if 2 <= code <= 5:
        return 576 << (code - 2), place
    if code >= 8:
        return 256 << (code - 8), place
    width = code - 5
    value = header[place : place + width]
    return (int.from_bytes(value, "big") + 1 if len(value) == width else None), place + width


def _utf8_number(content: bytes) -> tuple[int, int]:
    """A number in UTF-8's code, of up to seven bytes, and its length; 0 if it is none."""
    first = content[0]
    if first < 0x80:
        return first, 1
    length = 8 - (~first & 0xFF).bit_length()
    rest = content[1:length]
    if not 2 <= length <= 7 or len(rest) < length - 1 or any(one >> 6 != 2 for one in rest):
        return 0, 0
    number = first & (0x7F >> length)
    for one in rest:
        number = number << 6 | one & 0x3F
    return number, length


def _crc8(content: bytes) -> int:
    """The checksum of a frame header: polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
    return value


# Ogg

_PAGE = b"OggS"


@dataclass(frozen=True)
class OggPages:
    """What the pages of an Ogg file say of it (RFC 3533).

    Attributes:
        links: streams that follow each other, as in joined files.
        vorbis: whether the first stream is Vorbis.
        from_start: whether its first samples are numbered from near zero, as in a whole file; the
            part of a broadcast is not.
        ends: whether the last page is whole and marked as the end of its stream.
    """

    links: int
    vorbis: bool
    from_start: bool
    ends: bool


def ogg_pages(file: Bytes) -> OggPages:
    """Go through all pages."""
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
    """Flags, granule position, and the byte behind each page."""
    position = file.find(_PAGE, 0)
    while position >= 0:
        header = file[position : position + 27]
        if len(header) < 27:
            yield 0, 0, len(file) + 1
            return
        segments = file[position + 27 : position + 27 + header[26]]
        end = position + 27 + header[26] + sum(segments)
        yield header[5], int.from_bytes(header[6:14], "little"), end
        # Bytes that belong to no page may follow, or what is left of a damaged one.
        position = file.find(_PAGE, min(end, len(file)))


# Containers whose last element says how long it is


def boxes_are_whole(file: Bytes) -> bool:
    """Whether the boxes of an MP4, MOV or 3GP file end with the file (ISO/IEC 14496-12)."""
    position = 0
    seen: set[bytes] = set()
    while position + 8 <= len(file):
        head = file[position : position + 8]
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if {b"moov", b"mdat"} <= seen and (
            not _is_chunk_name(name) or file[position : position + 16].startswith(_TAGS)
        ):
            return True  # a tag behind the last box
        if size == 1:
            size = int.from_bytes(file[position + 8 : position + 16], "big")
        if size < 8:  # 0: the last box reaches to the end; others are none
            return True
        seen.add(name)
        position += size
    return position <= len(file)


def riff_is_whole(file: Bytes) -> bool:
    """Whether a RIFF file, such as AVI, is as long as its header says."""
    size = int.from_bytes(file[4:8], "little")
    return _is_placeholder(size) or 8 + size <= len(file)


def segment_is_whole(file: Bytes) -> bool:
    """Whether a Matroska or WebM file is as long as its segment says (RFC 8794).

    A file that was written while it was recorded has a segment of unknown size.
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
    """A size and how many bytes it takes; ``None`` where it is unknown."""
    width = 9 - content[0].bit_length()
    if width > 8:
        return None, 1
    value = int.from_bytes(content[:width], "big") & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), width


# Versions are 3 for MPEG-1, 2 for MPEG-2, 0 for MPEG-2.5; layers are 3, 2, 1 for I, II, III.
_MPEG_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_MPEG_KBITS = {
    (3, 3): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 3): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}

_AC3_KBITS = (
    32,
    40,
    48,
    56,
    64,
    80,
    96,
    112,
    128,
    160,
    192,
    224,
    256,
    320,
    384,
    448,
    512,
    576,
    640,
)
_AC3_RATES = (48_000, 44_100, 32_000)


def frame_is_whole(codec: str, frame: bytes) -> bool:
    """Whether a frame is as long as its header says.

    Args:
        codec: MPEG audio (``mp1``, ``mp2``, ``mp3``), ``aac`` in ADTS, ``ac3`` or ``eac3``.
        frame: as it lies in the file. Bytes that are no frame of the codec, such as a tag behind
            the last one, count as whole.
    """
    length = _LENGTHS[codec](frame)
    return length is None or len(frame) >= length


def mp3_has_its_bytes(file: Bytes, frames: int) -> bool:
    """Whether an MP3 has as much as the Xing or Info frame at its start declares.

    Such a frame often counts wrongly, where a stream was cut out of another or written to a pipe.
    So a file counts as cut off only where both are missing, frames and bytes.

    Args:
        file: the whole file.
        frames: how many frames there are, with or without the one that declares their number.
    """
    begin = 0
    if file[0:3] == b"ID3":
        size = file[6:10].ljust(4, b"\0")
        begin = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    head = file[begin : begin + 60]
    place = max(head.find(b"Xing"), head.find(b"Info"))
    fields = head[place + 4 : place + 16]
    if place < 0 or len(fields) < 12 or fields[3] & 3 != 3:
        return True
    counted, size_declared = struct.unpack(">II", fields[4:12])
    return bool(begin + size_declared <= len(file) or counted <= frames)


def _mpeg_length(frame: bytes) -> int | None:
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    version, layer, code, rate = (
        frame[1] >> 3 & 3, frame[1] >> 1 & 3, frame[2] >> 4, frame[2] >> 2 & 3
    )  # fmt: skip
    if version == 1 or layer == 0 or code in (0, 15) or rate == 3:
        return None
    bits = 1000 * _MPEG_KBITS[3 if version == 3 else 2, layer][code - 1]
    hertz, padding = _MPEG_RATES[version][rate], frame[2] >> 1 & 1
    if layer == 3:
        return (12 * bits // hertz + padding) * 4
    return (72 if layer == 1 and version != 3 else 144) * bits // hertz + padding


def _adts_length(frame: bytes) -> int | None:
    if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        return None
    return (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5


def _ac3_length(frame: bytes) -> int | None:
    if len(frame) < 6 or frame[:2] != b"\x0b\x77":
        return None
    if frame[5] >> 3 > 10:  # E-AC-3
        return 2 * (((frame[2] & 7) << 8 | frame[3]) + 1)
    rate, code = frame[4] >> 6, frame[4] & 63
    if rate == 3 or code >= 2 * len(_AC3_KBITS):
        return None
    words = _AC3_KBITS[code // 2] * 1000 * 1536 // _AC3_RATES[rate] // 16
    return 2 * (words + (code & 1 if rate == 1 else 0))


_LENGTHS = {
    "mp1": _mpeg_length,
    "mp2": _mpeg_length,
    "mp3": _mpeg_length,
    "aac": _adts_length,
    "ac3": _ac3_length,
    "eac3": _ac3_length,
}
FRAMED = tuple(_LENGTHS)
"""Codecs whose frames say how long they are."""
