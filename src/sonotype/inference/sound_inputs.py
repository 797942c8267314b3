"""X of the estimators for scikit-learn: paths of sound files, or waveforms in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.audio.clip import AudioSpec, crop_for_clip, load_for_clip, pad_or_trim
from sonotype.audio.decode import Audio, Samples, from_array
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import InvalidSoundError, OptionsError, cause_of
from sonotype.core.prefetch import BATCH_SIZE, prefetch

NUMBERS = "biufc"
"""Kinds of NumPy types that are numbers; :func:`from_array` refuses some of them."""


@dataclass(frozen=True, eq=False)
class SoundInputs:
    """Sounds by position.

    Attributes:
        items: paths, or waveforms ``[samples]``.
        sample_rate: of the waveforms, in Hz; ``None`` for paths.
    """

    items: tuple[Any, ...]
    sample_rate: int | None = None

    def __len__(self) -> int:
        return len(self.items)

    def name(self, index: int) -> str:
        """The position of a sound, and its path if it has one, for messages."""
        return f"X[{index}]" if self.sample_rate else f"X[{index}] {self.items[index]}"

    def waveform(self, index: int) -> Audio:
        """A waveform as a sound at its own rate.

        Raises:
            InvalidSoundError: it is no sound; names its position and the cause.
        """
        try:
            return from_array(self.items[index], self.sample_rate or 0)
        except Exception as error:
            raise InvalidSoundError(self.name(index), cause_of(error)) from error

    def clip(self, index: int, audio_spec: AudioSpec) -> Samples:
        """A sound as the input of a network; of a truncated file, the samples that exist.

        Shape:
            ``[audio_spec.length]``

        Raises:
            InvalidSoundError: it cannot be read; names its position, its path and the cause.
        """
        try:
            if self.sample_rate:
                sound = crop_for_clip(self.waveform(index), audio_spec)
            else:
                sound = load_for_clip(self.items[index], audio_spec, partial=True)
            return pad_or_trim(sound, audio_spec)
        except InvalidSoundError:
            raise
        except Exception as error:
            raise InvalidSoundError(self.name(index), cause_of(error)) from error

    def batches(self, audio_spec: AudioSpec) -> Iterator[Samples]:
        """The clips in batches ``[batch, samples]``; threads read ahead of the caller."""
        clips = prefetch(
            lambda index: self.clip(index, audio_spec),
            range(len(self)),
            threads=available_cpus(),
            buffer_size=BATCH_SIZE,
        )
        while batch := list(islice(clips, BATCH_SIZE)):
            yield np.stack(batch)


def sound_inputs(x: Any, sample_rate: int | None) -> SoundInputs:
    """The sounds in the X of an estimator.

    Args:
        x: paths in a list, an array or a pandas Series; a list of waveforms ``[samples]``; or an
            array of waveforms ``[sounds, samples]``.
        sample_rate: of waveforms, in Hz; not used for paths.

    Raises:
        OptionsError: waveforms without a valid sample rate.
        ValueError: another kind of X, or an item that is neither a path nor a waveform; names it.
    """
    items = _items(x)
    if all(map(_is_path, items)):
        return SoundInputs(tuple(map(Path, items)))
    for index, item in enumerate(items):
        if _is_path(items[0]) != _is_path(item):
            raise InvalidSoundError(f"X[{index}]", "X has paths and waveforms; give one kind")
    waveforms = tuple(_waveform(item, index) for index, item in enumerate(items))
    if sample_rate is None:
        raise OptionsError("X has waveforms, so their rate is required: set sample_rate, in Hz")
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | np.integer | float):
        raise OptionsError(f"sample_rate must be a number in Hz, got {sample_rate!r}")
    if not (sample_rate > 0 and sample_rate == int(sample_rate)):
        raise OptionsError(f"sample_rate must be positive and whole, got {sample_rate}")
    return SoundInputs(waveforms, int(sample_rate))


def check_waveforms(sounds: SoundInputs) -> None:
    """Raise an ``InvalidSoundError`` for a waveform that is no sound; files are not read."""
    for index in range(len(sounds) if sounds.sample_rate else 0):
        sounds.waveform(index)


def require_sounds(sounds: SoundInputs) -> SoundInputs:
    """The sounds; a ``ValueError`` if there are none, or if the waveforms have no samples."""
    if not len(sounds):
        raise ValueError(
            "X is empty: 0 sample(s) (shape=(0,)) while a minimum of 1 is required: give the path "
            "or the waveform of at least one sound"
        )
    if sounds.sample_rate and not any(map(len, sounds.items)):
        raise ValueError(
            f"X has no samples: 0 feature(s) (shape=({len(sounds)}, 0)) while a minimum of 1 is "
            "required: give waveforms of at least one sample"
        )
    return sounds


def _items(x: Any) -> list[Any]:
    """The items of X; a ``ValueError`` for what is no sequence of sounds."""
    kinds = "a list of paths or of waveforms, or an array [sounds, samples]"
    if isinstance(x, str | bytes | os.PathLike) or x is None:
        raise ValueError(f"X is {x!r:.60}, must be {kinds}; for one sound, give a list of one")
    if hasattr(x, "tocsr"):
        raise TypeError(f"X is a sparse matrix, must be {kinds}; use X.toarray()")
    array = np.asarray(x) if hasattr(x, "__array__") and not isinstance(x, list) else None
    if array is None:
        return list(x)
    if array.ndim == 1 and array.dtype.kind in NUMBERS and len(array):
        raise ValueError(
            f"X is an array of {len(array)} numbers, must be {kinds}; Reshape your data: for one "
            "waveform, X[None]"
        )
    if array.ndim not in (1, 2):
        raise ValueError(f"X has {array.ndim} dimensions (shape {array.shape}), must be {kinds}")
    if array.ndim == 2 and any(map(_is_path, array.flat[:1])):
        raise ValueError(f"X is a table of texts of shape {array.shape}; give its column of paths")
    return list(array)


def _is_path(item: object) -> bool:
    return isinstance(item, str | os.PathLike)


def _waveform(item: Any, index: int) -> npt.NDArray[np.generic]:
    """``[samples]``; the values are checked when they are read."""
    where = f"X[{index}]"
    try:
        array = np.asarray(item)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidSoundError(where, f"is no path and no waveform: {error}") from None
    if array.dtype.kind == "c":
        raise InvalidSoundError(where, "Complex data not supported; give real samples")
    if array.ndim != 1 or array.dtype.kind not in NUMBERS:
        kind = f"an array of shape {array.shape}" if array.ndim else f"{item!r:.60}"
        raise InvalidSoundError(
            where, f"is {kind}, must be a path or a waveform [samples]; mix channels to mono first"
        )
    return array
