"""What an uploaded file holds: the length, the rate and the channels of its sound."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sonotype.audio.decode import value_issue
from sonotype.audio.decoders.decoder import Decoder
from sonotype.audio.decoders.ffmpeg import AV_FORMATS
from sonotype.audio.decoders.libsndfile import open_soundfile
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.core.errors import AudioError
from sonotype.core.text import duration
from sonotype.serve.problems import ProblemError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

SILENT = 1e-5
"""Peak below which a sound counts as silent: less than a step of 16 bits."""
LISTENED = 60.0
"""Seconds at the start of a sound whose values are looked at."""
LONG = 60.0
"""Seconds above which a clip is not read to its end: it is to be cut."""
FORMATS = "WAV, FLAC, MP3, OGG, Opus, M4A, or a video with sound"
NO_TRACK = "holds no sound"
"""How the decoders begin the cause for a video without a sound track."""


@dataclass(frozen=True)
class Facts:
    """What is known of a file.

    Attributes:
        seconds: length of what can be read.
        sample_rate: in Hz.
        channels: number of channels.
        note: what the person should know, as a sentence; empty if there is nothing.
    """

    seconds: float
    sample_rate: int
    channels: int
    note: str


def examine(path: Path, name: str, *, whole: bool = True) -> Facts:
    """Open a file and read the start of its sound.

    Args:
        path: of the file.
        name: that the person knows it by.
        whole: count the samples of a long sound, and look for damage at its end; otherwise its
            length is that of :func:`length_of`.

    Raises:
        ProblemError: ``unsupported-media-type`` for a video without sound, ``gone`` if another
            program took the file away, ``unreadable-sound`` for anything else that cannot be read.
    """
    try:
        with open_sound(path, name) as file:
            samples = file.read(round(LISTENED * file.rate))
            issue = value_issue(samples)
            rate = file.rate
            seconds = file.total() / rate if whole else _length(file)
            damage = file.damage
    except AudioError as error:
        raise _refused(error.cause, name) if path.exists() else _taken(name) from None
    if issue or not seconds:
        raise _refused(issue or damage, name)
    notes = []
    if damage:
        notes.append(f"The file {damage}. The {duration(seconds)} that are there are used.")
    if seconds <= LISTENED and float(np.abs(samples).max(initial=0.0)) < SILENT:
        notes.append("The sound is silent.")
    try:
        channels = channels_of(path)
    except FileNotFoundError:
        raise _taken(name) from None
    except OSError as error:
        raise _refused(f"cannot be read: {error.strerror or error}", name) from None
    return Facts(seconds, rate, channels, " ".join(notes))


def length_of(path: Path) -> float:
    """Length of a sound in seconds, at once: of a long one in a compressed format, as it states.

    Raises:
        AudioError: the sound cannot be opened.
    """
    with open_sound(path, path.name) as file:
        return _length(file)


def _length(file: Decoder) -> float:
    if file.frames is None and file.stated_seconds > LONG:
        return float(file.stated_seconds)
    return float(file.total() / file.rate)


def channels_of(path: Path) -> int:
    """Number of channels of a sound that can be read; 1 if it is not known."""
    with ExitStack() as stack:
        if (file := open_soundfile(path, stack)) is not None:
            return int(file.channels)
        found = open_track(path, stack)
        return 1 if found is None else int(found[1].codec_context.channels)


def open_track(path: Path, stack: ExitStack) -> tuple[InputContainer, AudioStream] | None:
    """The container and the best sound track of a file that FFmpeg reads; ``None`` without."""
    import av

    file = stack.enter_context(path.open("rb"))
    options = {"format_whitelist": AV_FORMATS}  # no playlists, which name other files
    try:
        container = stack.enter_context(av.open(file, mode="r", options=options))
    except (av.FFmpegError, ValueError, OSError):
        return None
    tracks = [track for track in container.streams.audio if track.codec_context]
    best = container.streams.best("audio")
    found = next((track for track in tracks if track is best), tracks[0] if tracks else None)
    return None if found is None else (container, found)


def _refused(cause: str, name: str) -> ProblemError:
    if cause.startswith(NO_TRACK):
        return ProblemError(
            "unsupported-media-type",
            f"{name} {cause}. Choose a video with a sound track, or a sound file ({FORMATS}).",
        )
    return ProblemError(
        "unreadable-sound",
        f"{name} {cause}. Choose another file, or save the sound as WAV and add it again.",
    )


def _taken(name: str) -> ProblemError:
    detail = f"Another program took {name} away before it was read. Add the sound again."
    return ProblemError("gone", detail)
