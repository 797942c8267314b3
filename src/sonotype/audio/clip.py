"""Load a sound as the network takes it: one sample rate, one length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sonotype.audio.buffer import SampleBuffer
from sonotype.audio.decode import Audio, Samples, from_array, load_audio, seconds_of
from sonotype.audio.pad import Crop, Pad, SilenceTrimmer, crop_offset, fit_length, trim_silence
from sonotype.audio.stream import stream
from sonotype.core.errors import TruncatedError

WHOLE_SECONDS = 60
"""Before silence is trimmed, a recording up to this length is kept in memory; a longer one is
decoded twice and only the clip is kept."""


@dataclass(frozen=True)
class AudioSpec:
    """The format of all sounds at the input of a network.

    Attributes:
        sample_rate: in Hz.
        seconds: length.
        pad: how a shorter sound is padded, see :func:`sonotype.audio.pad.fit_length`.
        crop: which part of a longer sound is kept.
        trim: whether leading and trailing silence is removed first.
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


def load_clip(
    path: str | Path | bytes,
    audio_spec: AudioSpec,
    rng: np.random.Generator | None = None,
    *,
    partial: bool = False,
) -> Samples:
    """Load a sound file as one clip.

    Shape:
        ``[audio_spec.length]``

    Raises:
        AudioError: as for :func:`sonotype.audio.decode.load_audio`.
    """
    return pad_or_trim(load_for_clip(path, audio_spec, rng, partial=partial), audio_spec, rng)


def load_for_clip(
    path: str | Path | bytes,
    audio_spec: AudioSpec,
    rng: np.random.Generator | None = None,
    *,
    partial: bool = False,
) -> Audio:
    """Load only the samples of a file that a clip needs; memory does not grow with the file.

    Args:
        path: the file, or the bytes of a file.
        audio_spec: format of the clip.
        rng: draws the part of a long file; required for ``crop="random"`` only.
        partial: as for :func:`sonotype.audio.decode.load_audio`.
    """
    if audio_spec.trim:
        return _load_trimmed(path, audio_spec, rng, partial=partial)
    front = audio_spec.crop == "front"
    start = 0.0 if front else _crop_start(seconds_of(path), audio_spec, rng)
    rate, seconds = audio_spec.sample_rate, audio_spec.seconds
    return load_audio(path, sample_rate=rate, start=start, duration=seconds, partial=partial)


def pad_or_trim(
    sound: Audio, audio_spec: AudioSpec, rng: np.random.Generator | None = None
) -> Samples:
    """Trim, crop and pad a decoded sound to one clip.

    Shape:
        ``[audio_spec.length]``
    """
    samples = sound.samples
    if audio_spec.trim and not sound.trimmed:
        samples = trim_silence(samples)
    return fit_length(samples, audio_spec.length, pad=audio_spec.pad, crop=audio_spec.crop, rng=rng)


def crop_for_clip(sound: Audio, audio_spec: AudioSpec) -> Audio:
    """Return exactly what :func:`load_for_clip` returns for a file with these samples.

    So it crops before it resamples: the other order gives other samples near the edges.
    """
    samples, rate = sound.samples, sound.sample_rate
    if not audio_spec.trim:
        start = 0.0 if audio_spec.crop == "front" else _crop_start(sound.file_seconds, audio_spec)
        first = round(start * rate)
        samples = samples[first : first + round(audio_spec.seconds * rate)]
    cropped = from_array(samples, rate, sample_rate=audio_spec.sample_rate)
    return replace(cropped, file_seconds=sound.file_seconds)


def _crop_start(
    seconds: float, audio_spec: AudioSpec, rng: np.random.Generator | None = None
) -> float:
    """Start in seconds of the part of a recording that is kept."""
    surplus = round((seconds - audio_spec.seconds) * audio_spec.sample_rate)
    return crop_offset(max(surplus, 0), audio_spec.crop, rng) / audio_spec.sample_rate


def _load_trimmed(
    path: str | Path | bytes,
    audio_spec: AudioSpec,
    rng: np.random.Generator | None,
    *,
    partial: bool,
) -> Audio:
    """Load a short file as a whole; of a long file only the clip within its trimmed part."""
    rate, trimmer = audio_spec.sample_rate, SilenceTrimmer()
    most, blocks, total, damage = WHOLE_SECONDS * rate, [np.zeros(0, np.float32)], 0, ""
    try:
        for block in stream(path, sample_rate=rate):
            trimmer.add(block)
            total += len(block)
            blocks.append(block)
            if total > most:
                blocks.clear()
    except TruncatedError as error:
        if not partial or not total:
            raise
        damage = error.cause
    if total <= most:
        return Audio(np.concatenate(blocks), rate, total / rate, damage)
    first, end = trimmer.bounds()
    first += crop_offset(max(end - first - audio_spec.length, 0), audio_spec.crop, rng)
    end = min(end, first + audio_spec.length)
    sound = SampleBuffer(stream(path, sample_rate=rate))
    sound.forget(first)
    sound.reaches(end)
    return Audio(sound.part(first, end), rate, total / rate, damage, trimmed=True)


def view_shift(view: int, views: int, samples: int) -> int:
    """Samples by which a view of a clip is shifted; views are equal fractions of a clip apart."""
    return round(view * (samples / views))
