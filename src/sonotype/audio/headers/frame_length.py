"""Codecs whose frames declare their length: MPEG audio, ADTS, AC-3."""

from __future__ import annotations

import re

from sonotype.audio.headers.file_bytes import Bytes

FRAMED = ("mp1", "mp2", "mp3", "aac", "ac3", "eac3")
"""Codecs whose frames declare their length; ``aac`` does in ADTS."""

_LARGEST_MPEG_FRAME = 4096
_AC3_KBITS = (
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
)  # fmt: skip
_AC3_RATES = (48_000, 44_100, 32_000)


def frame_is_complete(codec: str, frame: bytes) -> bool:
    """Whether a frame is as long as its header declares.

    Args:
        codec: one of :data:`FRAMED`.
        frame: its bytes in the file. Bytes that are not a frame of the codec, such as a tag after
            the last frame, count as complete.
    """
    if codec == "aac":
        length = _adts_length(frame)
    elif codec in ("ac3", "eac3"):
        length = _ac3_length(frame)
    else:
        length = _mpeg_length(codec, frame)
    return len(frame) >= length


def mp3_is_complete(file: Bytes, frames: int) -> bool:
    """Whether an MP3 has the size that the Xing or Info frame at its start declares.

    Such a frame often declares wrong numbers if the stream is an excerpt of another one or was
    written to a pipe. So a file counts as truncated only if both frames and bytes are missing.

    Args:
        file: the whole file.
        frames: number of frames, with or without the Xing or Info frame.
    """
    begin = _end_of_tag(file)
    info = re.search(rb"(?:Xing|Info)...(.)(.{4})(.{4})", file[begin : begin + 60], re.DOTALL)
    if info is None or info[1][0] & 3 != 3:
        return True
    declared_frames, declared_size = (int.from_bytes(field, "big") for field in info.groups()[1:])
    return begin + declared_size <= len(file) or declared_frames <= frames


def mpeg_header(file: Bytes) -> bytes:
    """The header of the first frame of MPEG audio, 4 bytes; empty if there is none."""
    begin = _end_of_tag(file)
    header = file[begin : begin + 4]
    return header if len(header) == 4 and _is_mpeg(header) else b""


def has_free_bit_rate(header: bytes) -> bool:
    """Whether the header of a frame of MPEG audio declares no bit rate."""
    return header[2] >> 4 == 0


def _end_of_tag(file: Bytes) -> int:
    """The position after an ID3 tag at the start."""
    if file[0:3] != b"ID3":
        return 0
    size = file[6:10].ljust(4, b"\0")
    return 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])


def _is_mpeg(frame: bytes) -> bool:
    return frame[0] == 0xFF and frame[1] & 0xE0 == 0xE0


def _mpeg_length(codec: str, frame: bytes) -> int:
    """Length of a frame of MPEG audio by FFmpeg's parser; 0 if it is not a frame."""
    import av

    if len(frame) < 4 or not _is_mpeg(frame):
        return 0
    parser = av.CodecContext.create(codec, "r")
    packets = parser.parse(frame + bytes(_LARGEST_MPEG_FRAME))
    return packets[0].size if packets else 0


def _adts_length(frame: bytes) -> int:
    if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        return 0
    return (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5


def _ac3_length(frame: bytes) -> int:
    if len(frame) < 6 or frame[:2] != b"\x0b\x77":
        return 0
    if frame[5] >> 3 > 10:  # E-AC-3
        return 2 * (((frame[2] & 7) << 8 | frame[3]) + 1)
    rate, code = frame[4] >> 6, frame[4] & 63
    if rate == 3 or code >= 2 * len(_AC3_KBITS):
        return 0
    words = _AC3_KBITS[code // 2] * 1000 * 1536 // _AC3_RATES[rate] // 16
    return 2 * (words + (code & 1 if rate == 1 else 0))
