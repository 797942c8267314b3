"""Engine outputs for sliding windows over a recording of any length.

Windows start at 0, hop, 2 hop, ... seconds. The last window may reach beyond the end of the
recording, into silence, so that every sample is in a window. Overlapping windows share their
feature maps (:mod:`sonotype.sliding.shared`), so that a small hop costs little more than a large
one. ``exact`` runs each window as a clip of its own: the reference implementation, at the cost of
as many clips. Windows that do not overlap have nothing to share and are always exact, and so is a
recording of one window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import numpy as np

from sonotype.audio.buffer import SampleBuffer, window_count, window_start
from sonotype.audio.clip import AudioSpec
from sonotype.audio.decode import Samples
from sonotype.audio.pad import fit_length
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import AudioError, OptionsError
from sonotype.core.prefetch import prefetch
from sonotype.inference.engine import BATCH_SIZE, Engine, EngineOutput
from sonotype.inference.postprocess import average_shifts
from sonotype.sliding.layout import Pace, Section

HOP = 1.0
MIN_HOP = 0.01
"""Seconds: a frame of the front ends."""


def sliding_outputs(
    engine: Engine,
    audio_spec: AudioSpec,
    pieces: Iterator[Samples] | Section,
    hop: float,
    *,
    exact: bool = False,
    tta_shifts: int = 1,
    pace: Pace | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[tuple[int, EngineOutput]]:
    """Outputs for all windows of a recording, several windows at a time.

    Args:
        engine: runs the network.
        audio_spec: sample rate and length of a window. Windows are neither trimmed nor cropped.
        pieces: consecutive pieces ``[samples]`` of the recording; or a section of it.
        hop: seconds from the start of a window to the start of the next one.
        exact: run every window as a clip of its own.
        tta_shifts: average exact windows over this number of circular shifts. Windows that share
            their feature maps are not averaged; :attr:`EngineOutput.tta_shifts` is 1 for them.
        pace: of live sound: each window is then given as soon as it can be.
        batch_size: windows that are run at once, where each is a clip of its own.

    Yields:
        the index of the first window, and the output.

    Raises:
        AudioError: the recording cannot be read to its end; after the outputs for all windows
            before the error.
    """
    samples, error = hop * audio_spec.sample_rate, DeferredError()
    clips: Iterator[tuple[int, Samples]]
    shared = None
    if isinstance(pieces, Section):
        section = error.defer_section(pieces)
        if hop < audio_spec.seconds and not exact:
            shared = engine.windows(section, audio_spec.length, samples)
        alone = engine.side_by_side
        clips = _section_clips(audio_spec, section, samples, 1 if alone else batch_size)
    else:
        pieces = error.defer(pieces)
        sound = SampleBuffer(pieces)
        overlapping = sound.reaches(audio_spec.length + 1) and hop < audio_spec.seconds
        if overlapping and not exact:
            whole = chain([sound.part(0, sound.end)], pieces)
            shared = engine.windows(whole, audio_spec.length, samples, pace)
        alone = pace is not None or engine.side_by_side
        clips = iter(())
        if sound.end:
            clips = _clips(audio_spec, sound, samples, 1 if alone else batch_size)
    yield from shared or _exact(engine, clips, tta_shifts, live=pace is not None)
    if error.deferred is not None:
        raise error.deferred


def check_hop(hop: float) -> None:
    """Raise an ``OptionsError`` if a hop is below 0.01 s or not a finite number."""
    if not MIN_HOP <= hop < math.inf:
        raise OptionsError(f"hop is {hop:g} s, must be at least {MIN_HOP:g} s")


def windows_in(seconds: float, hop: float, clip_seconds: float) -> int:
    """Number of windows of a recording of this length, apart from rounding."""
    microseconds = 1_000_000
    return window_count(
        round(seconds * microseconds), round(clip_seconds * microseconds), hop * microseconds
    )


class DeferredError:
    """Keeps an error of the recording until the windows before it are done."""

    def __init__(self) -> None:
        self.deferred: AudioError | None = None

    def defer(self, pieces: Iterator[Samples]) -> Iterator[Samples]:
        """The pieces before the error."""
        try:
            yield from pieces
        except AudioError as error:
            self.deferred = error

    def defer_section(self, section: Section) -> Section:
        """The section, whose pieces end before the error."""
        return replace(section, read=lambda start: self.defer(section.read(start)))


def _exact(
    engine: Engine, clips: Iterator[tuple[int, Samples]], tta_shifts: int, *, live: bool
) -> Iterator[tuple[int, EngineOutput]]:
    """Every window as a clip of its own, in batches or in threads; of live sound one by one."""

    def output(batch: tuple[int, Samples]) -> tuple[int, EngineOutput]:
        first, clips = batch
        return first, average_shifts(engine, clips, tta_shifts)

    if engine.side_by_side and not live:
        return prefetch(output, clips, threads=available_cpus())
    return map(output, clips)


def _section_clips(
    audio_spec: AudioSpec, section: Section, hop: float, batch_size: int
) -> Iterator[tuple[int, Samples]]:
    """As :func:`_clips`, for the windows of a section."""
    start = int(window_start(section.first, hop))
    sound = SampleBuffer(section.read(start), start)
    yield from _clips(audio_spec, sound, hop, batch_size, section.first, section.end)


def _clips(
    audio_spec: AudioSpec,
    sound: SampleBuffer,
    hop: float,
    batch_size: int,
    index: int = 0,
    last: int | None = None,
) -> Iterator[tuple[int, Samples]]:
    """The index of the first window and the windows ``[batch, samples]``.

    Args:
        audio_spec: of the windows.
        sound: of the recording.
        hop: samples from window to window.
        batch_size: windows that are given at once.
        index: of the first window.
        last: index after the last window; ``None`` for all windows.
    """
    length, ended = audio_spec.length, False
    while not ended:
        first = index
        clips: list[Samples] = []
        while len(clips) < batch_size and not ended:
            if index == last:
                ended = True
                break
            start = int(window_start(index, hop))
            sound.forget(start)
            if not sound.reaches(start + length):
                ended = True
                if index >= window_count(sound.end, length, hop):
                    break
            clips.append(_clip(audio_spec, sound, start))
            index += 1
        if clips:
            yield first, np.stack(clips)


def _clip(audio_spec: AudioSpec, sound: SampleBuffer, start: int) -> Samples:
    """A window. Silence follows the recording, but a recording below one window is padded."""
    if start == 0 and sound.end < audio_spec.length:
        return fit_length(sound.part(0, sound.end), audio_spec.length, pad=audio_spec.pad)
    return sound.part(start, start + audio_spec.length)
