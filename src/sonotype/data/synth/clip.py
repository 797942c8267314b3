"""One synthetic clip: a clean sound, a recorder's tilt, background noise, a random level."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import OptionsError
from sonotype.data.synth import effects, human, music, nature, urban
from sonotype.data.synth.signals import Scene, Signal, colour, noise

Audio = Callable[[Scene], Signal]

EVENTS: Mapping[str, Mapping[str, Audio]] = {
    "Effects": effects.SOUNDS,
    "Human": human.SOUNDS,
    "Music": music.SOUNDS,
    "Nature": nature.SOUNDS,
    "Urban": urban.SOUNDS,
}
"""The five MSoS categories, their events, and for each the function that makes its clean sound."""

MIN_SAMPLE_RATE = 4000
SNR_DB = (3.0, 30.0)
PEAK_DB = (-24.0, -1.0)
QUIETEST = 1e-3
"""A clean sound weaker than this (all of it above the Nyquist frequency) is not amplified."""


def synthesise_clip(
    event: str, *, seconds: float = 5.0, sample_rate: int = 16000, seed: int = 0
) -> npt.NDArray[np.float32]:
    """One clip of an event with random parameters, background noise and level.

    The same event and seed give the same clip, and at another sample rate the same sound as far
    as it lies below both Nyquist frequencies.

    Args:
        event: a name of ``EVENTS``, such as ``"rain"``.
        seconds: length, above 0.
        sample_rate: in hertz, 4000 or more.
        seed: 0 or more.

    Shape:
        ``[samples]`` float32, mono, within -1 and 1; ``samples`` is ``seconds * sample_rate``
        rounded, at least 1.

    Raises:
        OptionsError: an unknown event, or a number out of range.

    """
    check_numbers(seconds=seconds, sample_rate=sample_rate, seed=seed)
    sounds = {name: sound for group in EVENTS.values() for name, sound in group.items()}
    if event not in sounds:
        raise OptionsError(f"no synthetic event {event!r}; there are: {', '.join(sorted(sounds))}")
    # The name itself is part of the seed: Python's hash() of it differs from run to run.
    root = np.random.SeedSequence([seed, *event.encode()])
    played, recorded = (np.random.default_rng(child) for child in root.spawn(2))
    clean = sounds[event](Scene(seconds, sample_rate, played))
    return _record(Scene(seconds, sample_rate, recorded), clean)


def check_numbers(*, seconds: float, sample_rate: int, seed: int) -> None:
    """Raise an ``OptionsError`` that names the first number out of range."""
    if not seconds > 0:
        raise OptionsError(f"seconds is {seconds}; a clip's length must be above 0")
    if math.isinf(seconds):
        raise OptionsError(f"seconds is {seconds}; a clip's length must be finite")
    if sample_rate < MIN_SAMPLE_RATE:
        raise OptionsError(f"sample_rate is {sample_rate}; it must be {MIN_SAMPLE_RATE} or more")
    if seed < 0:
        raise OptionsError(f"seed is {seed}; it must be 0 or more")


def _record(room: Scene, clean: Signal) -> npt.NDArray[np.float32]:
    """Tilt, background noise and level, as another microphone in another place would have them."""
    tilted = colour(room, clean, _tilt(room.uniform(-0.4, 0.4)))
    tilted /= max(QUIETEST, float(np.sqrt(np.mean(tilted**2))))
    background = noise(room, _tilt(-room.uniform(0, 1)))
    background /= float(np.sqrt(np.mean(background**2))) + 1e-12
    mixed = tilted + background * 10 ** (-room.uniform(*SNR_DB) / 20)
    peak = 10 ** (room.uniform(*PEAK_DB) / 20)
    mixed *= peak / (float(np.abs(mixed).max()) + 1e-12)
    return mixed.astype(np.float32)


def _tilt(exponent: float) -> Callable[[Signal], Signal]:
    """A magnitude that rises or falls as a power of the frequency, level below 50 Hz."""

    def gain(hz: Signal) -> Signal:
        tilted: Signal = (np.maximum(hz, 50.0) / 1000) ** exponent
        return tilted

    return gain
