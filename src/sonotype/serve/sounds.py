"""Decode sounds that a client sent, within limits of their length.

A small file may hold hours of sound: a day of silence as FLAC takes some megabytes. So the stated
length is compared with the limit before anything is decoded, and the decoded one while decoding.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from sonotype.audio.clip import AudioSpec, load_for_clip
from sonotype.audio.decode import Audio
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.audio.stream import stream
from sonotype.core.errors import AudioError, TruncatedError, is_memory_error
from sonotype.serve.problems import ProblemError
from sonotype.serve.settings import ServeSettings

RATIO_FREE_SECONDS = 60.0
"""A sound up to this length may have any ratio: a short silence is a few hundred bytes."""
SAMPLE_BYTES = 2
"""Of the decoded samples to which a file is compared."""

LOWEST_RATE = 1_000
"""Hz; a low rate would make few bytes hours of sound."""

CANNOT_READ = "cannot be read"

log = logging.getLogger(__name__)


class Allowed(NamedTuple):
    """The longest sound that the file of a client may hold.

    Attributes:
        seconds: length.
        name: of the problem if it is longer.
        detail: what is allowed, for the client.
    """

    seconds: float
    name: str
    detail: str

    def check(self, seconds: float) -> None:
        """Raise a ``ProblemError`` if a sound is longer."""
        if seconds > self.seconds:
            raise ProblemError(self.name, self.detail)


def allowed_length(content: bytes, settings: ServeSettings) -> Allowed:
    """The longest length of a sound with these bytes; compared with what its header states.

    Raises:
        AudioError: it cannot be opened, or its rate is below :data:`LOWEST_RATE`.
        ProblemError: it states a larger length.
    """
    with open_sound(content, "sound") as file:
        if file.rate < LOWEST_RATE:
            cause = f"has a rate of {file.rate} Hz; the lowest one is {LOWEST_RATE} Hz"
            raise AudioError("sound", cause)
        most = settings.max_ratio * len(content) / (file.rate * SAMPLE_BYTES)
        by_ratio = max(most, RATIO_FREE_SECONDS)
        if by_ratio < settings.max_seconds:
            allowed = Allowed(
                by_ratio, "sound-expands-too-much",
                f"a file of {len(content)} bytes may hold {by_ratio:.0f} s of sound at most, the "
                f"larger of {RATIO_FREE_SECONDS:g} s and {settings.max_ratio:g} times its size",
            )  # fmt: skip
        else:
            detail = f"a sound may last {settings.max_seconds:g} s at most"
            allowed = Allowed(settings.max_seconds, "sound-too-long", detail)
        allowed.check(file.stated_seconds)
    return allowed


def load_checked(content: bytes, spec: AudioSpec, settings: ServeSettings) -> Audio:
    """The samples of a sound that a clip needs, as :func:`load_for_clip` gives them.

    Raises:
        AudioError: it cannot be read.
        ProblemError: it is too long.
    """
    allowed = allowed_length(content, settings)
    if spec.trim or spec.crop != "front":  # all of it is decoded, so its length is counted before
        _count(content, allowed)
    audio = load_for_clip(content, spec, partial=True)
    allowed.check(audio.file_seconds)
    return audio


def _count(content: bytes, allowed: Allowed) -> None:
    with open_sound(content, "sound") as file:
        rate, total = file.rate, 0
    try:
        for block in stream(content):
            total += len(block)
            allowed.check(total / rate)
    except TruncatedError:  # the samples before the damage are used
        return


def failure_of(error: Exception, detail_of: str = "sound") -> ProblemError:
    """What a client learns of an error on its sound; unexpected errors go to the log."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, AudioError) and not isinstance(error.__cause__, OSError):
        return ProblemError("unreadable-sound", error.cause)
    if is_memory_error(error):
        return ProblemError("not-enough-memory", "there is not enough memory for it")
    log.error("unexpected error on a %s", detail_of, exc_info=error)
    return ProblemError("unreadable-sound", CANNOT_READ)
