"""Codecs whose frames declare their length: MPEG audio, ADTS, AC-3."""

from __future__ import annotations

import struct

from sonotype.audio.headers.file_bytes import Bytes

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
    32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640,
)  # fmt: skip
_AC3_RATES = (48_000, 44_100, 32_000)


def frame_is_complete(codec: str, frame: bytes) -> bool:
    """Whether a frame is as long as its header declares.

    Args:
        codec: MPEG audio (``mp1``, ``mp2``, ``mp3``), ``aac`` in ADTS, ``ac3`` or ``eac3``.
        frame: its bytes in the file. Bytes that are not a frame of the codec, such as a tag after
            the last frame, count as complete.
    """
    length = _LENGTHS[codec](frame)
    return length is None or len(frame) >= length


def mp3_is_complete(file: Bytes, frames: int) -> bool:
    """Whether an MP3 has the size that the Xing or Info frame at its start declares.

    Such a frame often declares wrong numbers if the stream is an excerpt of another one or was
    written to a pipe. So a file counts as truncated only if both frames and bytes are missing.

    Args:
        file: the whole file.
        frames: number of frames, with or without the Xing or Info frame.
    """
    begin = 0
    if file[0:3] == b"ID3":
        size = file[6:10].ljust(4, b"\0")
        begin = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    head = file[begin : begin + 60]
    position = max(head.find(b"Xing"), head.find(b"Info"))
    fields = head[position + 4 : position + 16]
    if position < 0 or len(fields) < 12 or fields[3] & 3 != 3:
        return True
    declared_frames, declared_size = struct.unpack(">II", fields[4:12])
    return bool(begin + declared_size <= len(file) or declared_frames <= frames)


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


_LENGTHS = dict.fromkeys(("mp1", "mp2", "mp3"), _mpeg_length) | {
    "aac": _adts_length,
    "ac3": _ac3_length,
    "eac3": _ac3_length,
}
FRAMED = tuple(_LENGTHS)
"""Codecs whose frames declare their length."""
