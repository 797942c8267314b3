"""Sound files as other programs write them, with headers that are wrong or missing."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import soundfile

RATE = 44_100

_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def noise(seconds: float, seed: int = 0, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    samples = np.random.default_rng(seed).uniform(-1, 1, round(seconds * rate))
    return (level * samples).astype(np.float32)


def tone(seconds: float, hz: float = 440, rate: int = RATE, level: float = 0.1) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def encoded(samples: npt.ArrayLike, rate: int = RATE, **options: object) -> bytes:
    """Encode with libsndfile, in blocks of one second: it crashes with longer blocks of Vorbis."""
    samples = np.asarray(samples)
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate, channels, **options) as file:  # type: ignore[arg-type]
        for first in range(0, len(samples), rate):
            file.write(samples[first : first + rate])
    return buffer.getvalue()


def wav(samples: np.ndarray, declared: int | None = None, *, riff: int | None = None) -> bytes:
    """A WAV file of 16 bits whose header may declare another size."""
    data = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    size = len(data) if declared is None else declared
    whole = 36 + size if riff is None else riff
    format_chunk = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    head = b"RIFF" + struct.pack("<I", whole & 0xFFFFFFFF) + b"WAVEfmt " + format_chunk
    return head + b"data" + struct.pack("<I", size & 0xFFFFFFFF) + data


def mp3_frame(content: bytes, place: int) -> int:
    """Length of the MP3 frame (layer III) at a place."""
    version, code = content[place + 1] >> 3 & 3, content[place + 2] >> 4
    rate, padding = content[place + 2] >> 2 & 3, content[place + 2] >> 1 & 1
    kbits = (_KBITS_1 if version == 3 else _KBITS_2)[code]
    return (144 if version == 3 else 72) * kbits * 1000 // _RATES[version][rate] + padding


def mp3_without_count(
    samples: np.ndarray, rate: int = RATE, **options: object
) -> tuple[bytes, int]:
    """An MP3 file without the frame that declares its length, and how many samples it has."""
    content = encoded(samples, rate, format="MP3", **options)
    begin = mp3_frame(content, 0)
    assert {b"Xing", b"Info"} & {content[place : place + 4] for place in range(begin)}
    frames, place = 0, begin
    while place + 4 <= len(content) and content[place] == 0xFF:
        place += mp3_frame(content, place)
        frames += 1
    return content[begin:], frames * (1152 if rate >= 32_000 else 576)


def flac_count(content: bytes, total: int) -> bytes:
    """A FLAC file whose header declares another number of samples; 0 for an unknown one."""
    fields = int.from_bytes(content[18:26], "big") >> 36 << 36 | total
    return content[:18] + fields.to_bytes(8, "big") + content[26:]
