"""A sound as a network wants it: one rate, one length."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sonotype.audio.decode import Audio, Samples, from_array, read, seconds_of
from sonotype.audio.pad import Crop, LoudPart, Pad, crop_offset, fit_length, trim_silence
from sonotype.audio.stream import stream
from sonotype.core.errors import TruncatedError

WHOLE_SECONDS = 60
"""A recording that is to be trimmed is kept in memory where it is no longer than this; of a longer
one only the clip is, and it is decoded twice."""


@dataclass(frozen=True)
class AudioSpec:
    """What every sound is brought to before it meets a network.

    Attributes:
        sample_rate: in Hz.
        seconds: length.
        pad: what happens to a shorter sound, see :func:`sonotype.audio.pad.fit_length`.
        crop: what stays of a longer one.
        trim: whether leading and trailing silence (60 dB under the loudest frame) goes first.

    """

    sample_rate: int
    seconds: float = 5.0
    pad: Pad = "centre"
    crop: Crop = "front"
    trim: bool = False

    @property
    def length(self) -> int:
        """Samples of a clip."""
        return round(self.seconds * self.sample_rate)


def read_clip(
    path: str | Path | bytes,
    audio_spec: AudioSpec,
    rng: np.random.Generator | None = None,
    *,
    partial: bool = False,
) -> Samples:
    """Decode a sound file to one clip; of a long file only the part that stays is decoded.

    Shape:
        ``[audio_spec.length]``

    Raises:
        AudioError: as for :func:`sonotype.audio.decode.read`.

    """
    return pad_or_trim(read_for_clip(path, audio_spec, rng, partial=partial), audio_spec, rng)


def read_for_clip(
    path: str | Path | bytes,
    audio_spec: AudioSpec,
    rng: np.random.Generator | None = None,
    *,
    partial: bool = False,
) -> Audio:
    """Decode as much of a file as a clip needs; memory does not grow with the file.

    Args:
        path: the file, or the bytes of one.
        audio_spec: what the clip is to be.
        rng: draws the part of a long file; needed for ``crop="random"`` only.
        partial: as for :func:`sonotype.audio.decode.read`.
    """
    if audio_spec.trim:
        return _read_trimmed(path, audio_spec, rng, partial=partial)
    start = 0.0 if audio_spec.crop == "front" else _start(seconds_of(path), audio_spec, rng)
    return read(
        path,
        sample_rate=audio_spec.sample_rate,
        start=start,
        duration=audio_spec.seconds,
        partial=partial,
    )


def _read_trimmed(
    path: str | Path | bytes,
    audio_spec: AudioSpec,
    rng: np.random.Generator | None,
    *,
    partial: bool,
) -> Audio:
    """All of a short file; of a long one the clip in its loud part."""
    rate, loud = audio_spec.sample_rate, LoudPart()
    most, kept, total, fault = WHOLE_SECONDS * rate, [np.zeros(0, np.float32)], 0, ""
    try:
        for piece in stream(path, sample_rate=rate):
            loud.add(piece)
            total += len(piece)
            kept.append(piece)
            if total > most:
                kept.clear()
    except TruncatedError as error:
        if not partial or not total:
            raise
        fault = error.cause
    if total <= most:
        return Audio(np.concatenate(kept), rate, total / rate, fault)
    first, end = loud.bounds()
    first += crop_offset(max(end - first - audio_spec.length, 0), audio_spec.crop, rng)
    wanted = slice(first, min(end, first + audio_spec.length))
    return Audio(_cut_out(path, rate, wanted), rate, total / rate, fault, trimmed=True)


def _cut_out(path: str | Path | bytes, rate: int, wanted: slice) -> Samples:
    """Some samples of a recording at another rate, as they are in the whole of it."""
    parts: list[Samples] = []
    position = 0
    with contextlib.suppress(TruncatedError):  # known, and behind the part
        for piece in stream(path, sample_rate=rate):
            parts.append(piece[max(wanted.start - position, 0) : max(wanted.stop - position, 0)])
            position += len(piece)
            if position >= wanted.stop:
                break
    return np.concatenate(parts)


def take_for_clip(sound: Audio, audio_spec: AudioSpec) -> Audio:
    """What :func:`read_for_clip` makes of a file that holds these samples, to the last digit.

    So it cuts before it resamples: the other way round gives other samples near the cut.
    """
    samples, rate = sound.samples, sound.sample_rate
    if not audio_spec.trim:
        start = 0.0 if audio_spec.crop == "front" else _start(sound.file_seconds, audio_spec)
        first = round(start * rate)
        samples = samples[first : first + round(audio_spec.seconds * rate)]
    part = from_array(samples, rate, sample_rate=audio_spec.sample_rate)
    return replace(part, file_seconds=sound.file_seconds)


def _start(seconds: float, audio_spec: AudioSpec, rng: np.random.Generator | None = None) -> float:
    """Where in a recording of so many seconds the part that stays begins."""
    surplus = round((seconds - audio_spec.seconds) * audio_spec.sample_rate)
    return crop_offset(max(surplus, 0), audio_spec.crop, rng) / audio_spec.sample_rate


def pad_or_trim(
    sound: Audio, audio_spec: AudioSpec, rng: np.random.Generator | None = None
) -> Samples:
    """Trim, cut and pad a decoded sound to one clip.

    Shape:
        ``[audio_spec.length]``
    """
    samples = (
        trim_silence(sound.samples) if audio_spec.trim and not sound.trimmed else sound.samples
    )
    return fit_length(samples, audio_spec.length, pad=audio_spec.pad, crop=audio_spec.crop, rng=rng)
