"""Sources of a prediction: a file, the bytes of a file, or samples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy.typing as npt

from sonotype.audio.decode import Samples, from_array, name_of, seconds_of
from sonotype.audio.stream import stream
from sonotype.core.errors import OptionsError

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
        pieces: consecutive pieces ``[samples]`` at the sample rate of the model.
    """

    source: str
    seconds: float
    pieces: Iterator[Samples]


def open_recording(
    source: str | Path | bytes | npt.ArrayLike, sample_rate: int | None, model_rate: int
) -> Recording:
    """A recording as a stream of samples.

    Raises:
        AudioError: the sound cannot be read.
        OptionsError: an array without ``sample_rate``, or a file with it.
    """
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
