"""Backgrounds of simulated recordings: parts of recordings without events, or noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sonotype.audio.decode import load_audio
from sonotype.core.errors import AudioError
from sonotype.data.annotations.check import length_of
from sonotype.data.augment.event_mixture import repeat
from sonotype.data.augment.noises import ambience
from sonotype.data.augment.sounds import Floats

LEVELS_DB = (-50.0, -25.0)
"""RMS of noise, in dB of full scale; background recordings keep their level."""
SHORTEST = 1.0
"""Seconds of a part of a background recording."""


@dataclass(frozen=True)
class Background:
    """A part of a recording, in seconds."""

    path: Path
    start: float
    seconds: float


def shares(paths: Sequence[Path], folds: int, seconds: float) -> tuple[tuple[Background, ...], ...]:
    """The parts of background recordings that each fold uses.

    Folds share no recording; where there are fewer recordings than folds, no part of a recording.

    Args:
        paths: of the recordings.
        folds: number of folds.
        seconds: longest part.

    Raises:
        AudioError: a recording cannot be read, or is too short.
    """
    if not paths:
        return ((),) * folds
    lengths = {path: _seconds(path) for path in sorted(paths)}
    if len(lengths) >= folds:
        parts = [_parts(path, length, seconds) for path, length in lengths.items()]
        groups = np.array_split(np.arange(len(parts)), folds)
        return tuple(tuple(one for index in group for one in parts[index]) for group in groups)
    step = min(seconds, sum(lengths.values()) / (2 * folds))
    pieces = [one for path, length in lengths.items() for one in _parts(path, length, step)]
    groups = np.array_split(np.arange(len(pieces)), folds)
    return tuple(tuple(pieces[index] for index in group) for group in groups)


def background_of(
    part: Background | None, length: int, rate: int, rng: np.random.Generator
) -> Floats:
    """A background ``[length]``: a part of a recording, repeated where it is too short, or noise.

    Raises:
        AudioError: the recording cannot be read.
    """
    if part is None:
        return ambience(length, rate, rng) * 10 ** (rng.uniform(*LEVELS_DB) / 20)
    sound = load_audio(
        part.path, sample_rate=rate, start=part.start, duration=part.seconds, partial=True
    )
    samples = sound.samples.astype(np.float64)
    return samples[:length] if len(samples) >= length else repeat(samples, length, rate, rng)


def _parts(path: Path, length: float, seconds: float) -> list[Background]:
    """Parts of equal length that cover a recording."""
    count = max(1, round(length / seconds))
    return [Background(path, length * index / count, length / count) for index in range(count)]


def _seconds(path: Path) -> float:
    length = length_of(path)
    if length < SHORTEST:
        raise AudioError(path, f"lasts {length:g} s, a background must last {SHORTEST:g} s")
    return length
