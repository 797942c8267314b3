"""Answers to sliding windows over a recording of any length.

Windows start at 0, hop, 2 hop, ... seconds; the last one may reach beyond the end, into silence, so
that all is heard. By default they share their maps (:mod:`sonotype.sliding.shared`), so that a
small hop costs little more than a large one. ``exact`` cuts every window out and runs it as a clip
of its own: the reference, at the price of as many clips. Windows that do not overlap have nothing
to share and are always exact, and so is a recording of one window.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from sonotype.audio.buffer import SampleBuffer, window_count, window_start
from sonotype.audio.decode import Samples, from_array, name_of, seconds_of
from sonotype.audio.pad import fit_length
from sonotype.audio.stream import stream
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import AudioError, OptionsError
from sonotype.core.hierarchy import read_category
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.inference.engine import NOT_FINITE, EngineOutput, finite_rows
from sonotype.inference.prediction import Prediction

if TYPE_CHECKING:
    from sonotype.inference.classifier import Classifier

HOP = 1.0
LEAST_HOP = 0.01
"""Seconds: a frame of the front ends."""
BATCH = 16
"""Exact windows that are run at once."""


def predict_windows(
    classifier: Classifier,
    source: str | Path | bytes | npt.ArrayLike,
    hop: float = HOP,
    *,
    sample_rate: int | None = None,
    exact: bool = False,
    progress: bool = False,
) -> Iterator[Prediction]:
    """Classify windows of a recording, one after the other, in memory that does not grow with it.

    A recording shorter than a window is one window, padded as the model pads clips. Silence is not
    trimmed and nothing is cut, whatever the model does with clips. Windows that share their maps
    are not averaged over shifts, also where the model's card asks for shifts; with ``exact`` they
    are. :attr:`~sonotype.inference.prediction.Prediction.tta_shifts` tells which it was.

    Args:
        classifier: the model.
        source: a path, the bytes of a sound file, or samples ``[samples]`` or
            ``[samples, channels]``.
        hop: seconds from the start of one window to that of the next, at least 0.01.
        sample_rate: of the samples in Hz; for an array only, and needed there.
        exact: run every window as a clip of its own.
        progress: draw a bar.

    Yields:
        answers with their :attr:`~sonotype.inference.prediction.Prediction.start`; those of shared
        windows have no attention.

    Raises:
        OptionsError: a hop that is too small; an array without its sample rate, or a file with one.
        AudioError: the sound cannot be read, or the network's answer to a window is not finite;
            after the answers to all windows before.
    """
    check_hop(hop)
    recording = _recording(classifier, source, sample_rate)
    answers = _answers(classifier, recording, hop, exact=exact)
    if not progress:
        return answers
    return track(
        answers, "listening", windows_in(recording.seconds, hop, classifier.audio_spec.seconds)
    )


def check_hop(hop: float) -> None:
    """Refuse a hop between windows that will not do.

    Raises:
        OptionsError: it is below 0.01 s, or no number.
    """
    if not hop >= LEAST_HOP or hop == math.inf:
        raise OptionsError(f"hop is {hop:g} s, at least {LEAST_HOP:g} s is wanted")


def windows_in(seconds: float, hop: float, clip_seconds: float) -> int:
    """How many windows a recording of so many seconds has, but for rounding."""
    millionth = 1_000_000
    return window_count(
        round(seconds * millionth), round(clip_seconds * millionth), hop * millionth
    )


class _Recording(NamedTuple):
    """What is listened to: its name, length in seconds, and samples at the model's rate."""

    name: str
    seconds: float
    pieces: Iterator[Samples]


def _recording(
    classifier: Classifier, source: str | Path | bytes | npt.ArrayLike, sample_rate: int | None
) -> _Recording:
    rate = classifier.audio_spec.sample_rate
    if isinstance(source, str | Path | bytes):
        if sample_rate is not None:
            raise OptionsError("sample_rate goes with an array; a file knows its own")
        name = name_of(source)
        return _Recording(name, seconds_of(source), stream(source, sample_rate=rate))
    if sample_rate is None:
        call = "predict_windows(samples, sample_rate=44100)"
        raise OptionsError(f"an array needs its sample_rate: {call}")
    sound = from_array(source, sample_rate, sample_rate=rate)
    return _Recording("<array>", sound.file_seconds, iter([sound.samples]))


def _answers(
    classifier: Classifier, recording: _Recording, hop: float, *, exact: bool
) -> Iterator[Prediction]:
    audio_spec, fault = classifier.audio_spec, _Fault()
    samples = hop * audio_spec.sample_rate
    pieces = fault.kept(recording.pieces)
    sound = SampleBuffer(pieces)
    longer = sound.reaches(audio_spec.length + 1)
    if sound.end:
        parts: Iterable[tuple[int, EngineOutput]] | None = None
        if longer and hop < audio_spec.seconds and not exact:
            whole = chain([sound.part(0, sound.end)], pieces)
            parts = classifier.engine.windows(whole, audio_spec.length, samples)
        tta_shifts = 1 if parts else classifier.tta_shifts
        for first, output in parts or _exact(classifier, sound, samples):
            yield from _predictions(classifier, recording, first, output, samples, tta_shifts)
    if fault.error is not None:
        raise fault.error


class _Fault:
    """An error of the recording, kept until the answers to what came before it are given."""

    def __init__(self) -> None:
        self.error: AudioError | None = None

    def kept(self, pieces: Iterator[Samples]) -> Iterator[Samples]:
        """The pieces up to the error."""
        try:
            yield from pieces
        except AudioError as error:
            self.error = error


def _exact(
    classifier: Classifier, sound: SampleBuffer, hop: float
) -> Iterator[tuple[int, EngineOutput]]:
    """Every window as a clip of its own, in batches or side by side."""

    def output(batch: tuple[int, Samples]) -> tuple[int, EngineOutput]:
        first, clips = batch
        return first, classifier.predict_proba(clips)

    if classifier.engine.side_by_side:
        return prefetch(output, _cut_out(classifier, sound, hop, 1), threads=available_cpus())
    return map(output, _cut_out(classifier, sound, hop, BATCH))


def _cut_out(
    classifier: Classifier, sound: SampleBuffer, hop: float, size: int
) -> Iterator[tuple[int, Samples]]:
    """The number of the first window and the windows ``[size, samples]``, some at a time."""
    length, index, ended = classifier.audio_spec.length, 0, False
    while not ended:
        first = index
        clips: list[Samples] = []
        while len(clips) < size and not ended:
            start = int(window_start(index, hop))
            sound.forget(start)
            if not sound.reaches(start + length):
                ended = True
                if index >= window_count(sound.end, length, hop):
                    break
            clips.append(_clip(classifier, sound, start))
            index += 1
        if clips:
            yield first, np.stack(clips)


def _clip(classifier: Classifier, sound: SampleBuffer, start: int) -> Samples:
    """A window; silence follows the end of the recording, unless it is shorter than a window."""
    audio_spec = classifier.audio_spec
    if start == 0 and sound.end < audio_spec.length:
        return fit_length(sound.part(0, sound.end), audio_spec.length, pad=audio_spec.pad)
    return sound.part(start, start + audio_spec.length)


def _predictions(
    classifier: Classifier,
    recording: _Recording,
    first: int,
    part: EngineOutput,
    hop: float,
    tta_shifts: int,
) -> Iterator[Prediction]:
    labels, rate = classifier.labels, classifier.audio_spec.sample_rate
    heads = read_category(part.category, part.event, labels, classifier.category_source)
    finite = finite_rows(part)
    for row, head in enumerate(heads):
        start = float(window_start(first + row, hop)) / rate
        if not finite[row]:
            raise AudioError(recording.name, f"window at {start:g} s: {NOT_FINITE}")
        event = None if part.event is None else part.event[row]
        yield Prediction(
            source=recording.name,
            category=labels.categories[int(head.argmax())],
            event=None if event is None else labels.events[int(event.argmax())],
            category_probabilities=_named(labels.categories, head),
            event_probabilities={} if event is None else _named(labels.events, event),
            embedding=part.embedding[row],
            attention=tuple(where[row] for where in part.attention),
            file_seconds=recording.seconds,
            clip_seconds=classifier.audio_spec.seconds,
            start=start,
            tta_shifts=tta_shifts,
        )


def _named(names: tuple[str, ...], values: npt.NDArray[np.floating]) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))
