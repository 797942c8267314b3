"""What a browser plays of a sound: its own bytes, or a WAV file of it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile

from sonotype.app.sound_files import open_track
from sonotype.audio.decode import value_issue
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.stream import stream
from sonotype.audio.write_errors import writing_sound
from sonotype.core.errors import AudioError
from sonotype.core.io import atomic

WAV = "audio/wav"
WAV_SUBTYPES = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT")
"""Of libsndfile, that every browser plays."""
HIGHEST_RATE = 48_000
"""Hz of a file that is written for a browser."""
LARGEST = 4_000_000_000
"""Bytes of such a file: a WAV file has less than 2**32."""
CODECS = ("aac", "mp3", "opus", "vorbis", "flac")
"""Of MP4 and WebM files."""


def media_type(path: Path) -> str:
    """The media type of a file that every usual browser plays as it is; empty for other files.

    Videos are not: a browser may lack the codec of their pictures.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return WAV if _plays_wav(path) else ""
    if head[:4] == b"fLaC":
        return "audio/flac"
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2):
        return "audio/mpeg"
    if head[:4] == b"OggS":
        return "audio/ogg" if b"OpusHead" in head or b"vorbis" in head else ""
    if head[4:8] == b"ftyp" or (head[:4] == b"\x1aE\xdf\xa3" and b"webm" in head):
        return _type_of_container(path, "audio/mp4" if head[4:8] == b"ftyp" else "audio/webm")
    return ""


def write_playable(path: Path, target: Path) -> None:
    """Write a sound as mono WAV of 16 bits at its rate, or at 48 kHz if that is lower.

    A sound of more than 12 hours gets a lower rate; of a damaged file, what is there is written.

    Args:
        path: the sound.
        target: is replaced, when it is complete.

    Raises:
        AudioError: the sound cannot be read.
        OSError: the target cannot be written.
    """
    with open_sound(path, path.name) as sound:
        rate, seconds = min(sound.rate, HIGHEST_RATE), sound.total() / sound.rate
    while seconds * rate * 2 > LARGEST:
        rate //= 2
    written = 0
    with atomic(target) as part, writing_sound(target):
        name = str(part) if os.name == "nt" else os.fsencode(part)
        with soundfile.SoundFile(name, "w", rate, 1, subtype="PCM_16", format="WAV") as file:
            try:
                for block in stream(path, sample_rate=rate):
                    file.write(np.clip(block, -1, 1))
                    written += len(block)
            except AudioError:
                if not written:
                    raise


def _plays_wav(path: Path) -> bool:
    try:
        info = soundfile.info(str(path) if os.name == "nt" else os.fsencode(path))
        with open_sound(path, path.name) as sound:
            same = (info.samplerate, info.frames) == (sound.rate, sound.total())
            valid = info.subtype != "FLOAT" or not value_issue(sound.read(sound.rate))
    except (soundfile.LibsndfileError, AudioError):
        return False
    return same and valid and info.subtype in WAV_SUBTYPES and info.channels <= 2


def _type_of_container(path: Path, kind: str) -> str:
    with ExitStack() as stack:
        found = open_track(path, stack)
        if found is None or found[0].streams.video:
            return ""
        return kind if found[1].codec_context.codec.canonical_name in CODECS else ""
