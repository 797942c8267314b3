"""Sources of a prediction: a file, the bytes of a file, or samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import tee
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy.typing as npt

from sonotype.audio.decode import Samples, from_array, name_of, seconds_of
from sonotype.audio.decoders.decoder import resampled
from sonotype.audio.stream import stream, stream_from
from sonotype.core.errors import OptionsError
from sonotype.sliding.layout import Pace, Section

ARRAY = "<array>"
"""Name of an array in predictions."""


class SoundInfo(NamedTuple):
    """The fields of a prediction that do not depend on the network."""

    source: str
    file_seconds: float
    start: float = 0.0
    truncated: str = ""


class Recording(NamedTuple):
    """A recording of any length.

    Attributes:
        source: its name in predictions.
        seconds: its length.
        pieces: consecutive pieces ``[samples]`` at the sample rate of the model, or a section.
        pace: of live sound.
    """

    source: str
    seconds: float
    pieces: Iterator[Samples] | Section
    pace: Pace | None = None


class LiveSound:
    """Mono sound that arrives in pieces, to be read once.

    Args:
        name: in messages and predictions.
        sample_rate: of the pieces in Hz.
        pieces: consecutive pieces ``[samples]`` float32.
        pace: how often, and how long after the sound, scores are wanted.

    Attributes:
        samples: number of samples that were read so far.
    """

    def __init__(self, name: str, sample_rate: int, pieces: Iterable[Samples], pace: Pace) -> None:
        self.name, self.sample_rate, self.pace = name, sample_rate, pace
        self.samples = 0
        self._pieces = iter(pieces)

    @property
    def seconds(self) -> float:
        """Length of the sound that was read so far."""
        return self.samples / self.sample_rate

    def read(self, sample_rate: int) -> Iterator[Samples]:
        """The pieces at another sample rate; the samples do not depend on how they are cut."""
        return resampled(self._counted(), self.sample_rate, sample_rate)

    def split(self, number: int) -> list[LiveSound]:
        """Sounds that can be read beside each other, in place of this one."""
        pieces = tee(self._counted(), number)
        return [LiveSound(self.name, self.sample_rate, one, self.pace) for one in pieces]

    def _counted(self) -> Iterator[Samples]:
        for piece in self._pieces:
            self.samples += len(piece)
            yield piece


@dataclass(frozen=True)
class Passage:
    """Consecutive windows, or frames, of a recording that can be read from any sample on.

    Their scores are those of the whole recording, up to the rounding of the resampler.

    Attributes:
        name: of the recording.
        sample_rate: of the recording in Hz.
        seconds: length of the recording.
        first: index of the first window.
        end: index after the last window; ``None`` for all that follow.
        read: gives the mono samples of the recording in blocks, from a sample on.
    """

    name: str
    sample_rate: int
    seconds: float
    first: int
    end: int | None
    read: Callable[[int], Iterator[Samples]]

    def section(self, model_rate: int) -> Section:
        """The windows with their sound at another sample rate."""
        rates = self.sample_rate, model_rate
        return Section(
            self.first, self.end, lambda start: stream_from(self.read, start, rates, self.name)
        )


Source = TypeVar("Source")


def source_for_each(source: Source, number: int) -> list[Source]:
    """A source for each of several models."""
    return source.split(number) if isinstance(source, LiveSound) else [source] * number  # type: ignore[return-value]


def open_recording(
    source: str | Path | bytes | npt.ArrayLike | LiveSound | Passage,
    sample_rate: int | None,
    model_rate: int,
) -> Recording:
    """A recording as a stream of samples; the length of live sound is infinite.

    Raises:
        AudioError: the sound cannot be read.
        OptionsError: an array without ``sample_rate``, or a file with it.
    """
    if isinstance(source, LiveSound):
        return Recording(source.name, math.inf, source.read(model_rate), source.pace)
    if isinstance(source, Passage):
        return Recording(source.name, source.seconds, source.section(model_rate))
    if isinstance(source, str | Path | bytes):
        name = file_name(source, sample_rate)
        return Recording(name, seconds_of(source), stream(source, sample_rate=model_rate))
    audio = from_array(source, array_rate(sample_rate), sample_rate=model_rate)
    return Recording(ARRAY, audio.file_seconds, iter([audio.samples]))


def file_name(source: str | Path | bytes, sample_rate: int | None) -> str:
    """Name of a file in predictions; an ``OptionsError`` if there is a sample rate with it."""
    if sample_rate is not None:
        raise OptionsError("sample_rate is only for arrays: a file states its own sample rate")
    return name_of(source)


def array_rate(sample_rate: int | None) -> int:
    """Sample rate of an array; an ``OptionsError`` without one."""
    if sample_rate is None:
        raise OptionsError("an array needs its sample rate: add sample_rate=44100, for example")
    return sample_rate
