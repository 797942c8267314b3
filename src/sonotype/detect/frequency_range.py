"""The lowest and the highest frequency of detected events, from a spectrogram of the recording.

A model tells when an event is, not at which frequencies. The power around an event is compared, in
bands of frequencies, with that of the background: the frames up to :data:`MARGIN` before and after
the event in which the same other events are active. The cells of the spectrogram (a band in a
frame) that exceed the background :data:`FACTOR` times belong to the event, and :data:`SHARE` of
their power lies between the two frequencies, with as much left out on either side. ``Freq 5%`` and
``Freq 95%`` of Raven are defined alike. Low frequencies are attenuated before, as in hearing, since
rumble and wind may have more power than a bird.

The recording is read once more at its own sample rate; only near events, if one can seek in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.audio.decode import name_of
from sonotype.audio.decoders.open_sound import open_sound
from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import AudioError
from sonotype.detect.spectrogram import Floats, FrameBuffer, Spectrogram

MARGIN = 2.0
"""Seconds before and after an event that are compared with it."""
GUARD = 0.1
"""Seconds next to an event that are not compared: its start and end are not exact."""
LONGEST = 30.0
"""Seconds; only the beginning of a longer event is read."""
MIN_BACKGROUND = 0.5
"""Seconds of background that an event needs."""
LEVEL = 0.75
"""Quantile over time of the power of the background; louder frames may be parts of the event."""
FACTOR = 6.0
"""Smallest ratio of the power of an event to that of the background: 8 dB."""
MIN_CELLS, MIN_SHARE_OF_CELLS = 4, 0.001
"""Fewer cells of an event may exceed the background by chance."""
SHARE = 0.95
"""Part of the power of an event between its two frequencies."""
HIGH_PASS = 500.0
"""Hz: below this frequency the power is attenuated by 6 dB per octave."""

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
Band = tuple[float, float]
"""Lowest and highest frequency in Hz."""


def with_frequencies(
    path: Path | bytes, events: Sequence[DetectedEvent], highest: float
) -> tuple[DetectedEvent, ...]:
    """The events with frequencies, where they stand out from the background.

    Events after an error, as in a recording that was deleted in the meantime, stay as they are.
    Memory does not grow with the length of the recording.

    Args:
        path: the recording, or the bytes of its file.
        events: detected in it, in any order.
        highest: frequency in Hz; higher ones are not considered.
    """
    found = list(events)
    with suppress(AudioError):
        for index, band in _bands(path, events, highest):
            found[index] = replace(found[index], low=band[0], high=band[1])
    return tuple(found)


def frequency_range(
    event: Floats, background: Floats, edges: npt.NDArray[np.float64]
) -> Band | None:
    """The lowest and the highest frequency of an event; ``None`` if it does not stand out.

    Args:
        event: ``[frames, bands]`` power.
        background: ``[frames, bands]`` power.
        edges: ``[bands + 1]`` limits of the bands in Hz.
    """
    level = _quantile(background)
    above = event > np.float32(FACTOR) * level
    if np.count_nonzero(above) < max(MIN_CELLS, MIN_SHARE_OF_CELLS * above.size):
        return None
    squares = edges[:-1] * edges[1:]
    attenuation = squares / (squares + HIGH_PASS**2)
    power = np.where(above, event - level, 0).sum(axis=0, dtype=np.float64) * attenuation
    share = np.cumsum(power) / power.sum()
    low = int(np.searchsorted(share, (1 - SHARE) / 2, side="right"))
    high = int(np.searchsorted(share, (1 + SHARE) / 2))
    return float(edges[low]), float(edges[high + 1])


def _quantile(power: Floats) -> Floats:
    """The quantile :data:`LEVEL` over time; many times faster than that of numpy.

    Shape:
        ``[frames, bands] -> [bands]``
    """
    place = round(LEVEL * (len(power) - 1))
    return np.partition(np.ascontiguousarray(power.T), place, axis=1)[:, place]


def _bands(
    path: Path | bytes, events: Sequence[DetectedEvent], highest: float
) -> Iterator[tuple[int, Band]]:
    """The index and the frequencies of each event that stands out.

    Raises:
        AudioError: the recording cannot be read; after the events before the error.
    """
    if not events:
        return
    with open_sound(path, name_of(path)) as sound:
        spectrogram = Spectrogram.up_to(highest, sound.rate)
        intervals = Intervals(events, spectrogram)
        parts = list(zip(intervals.begin.tolist(), intervals.until.tolist(), strict=True))
        longest = max(until - begin for begin, until in parts)
        blocks = spectrogram.blocks(sound, parts)
        buffer = FrameBuffer(blocks, len(spectrogram.first), longest)
        for index in np.argsort(intervals.until, kind="stable").tolist():
            power = buffer.read(*parts[index])
            inside, background = intervals.masks(index)
            event, background_power = power[inside[: len(power)]], power[background[: len(power)]]
            if len(event) and len(background_power) >= intervals.min_background:
                band = frequency_range(event, background_power, spectrogram.edges)
                if band is not None:
                    yield index, band


class Intervals:
    """The frames of events, and those that they are compared with.

    Attributes:
        begin: ``[events]`` first frame that is read for each event.
        until: ``[events]`` the end of these frames.
        min_background: number of frames that an event needs.
    """

    def __init__(self, events: Sequence[DetectedEvent], spectrogram: Spectrogram) -> None:
        self._start = np.array([spectrogram.frame(event.start) for event in events])
        end = np.array([spectrogram.frame(event.end) for event in events])
        self._end = np.maximum(end, self._start + 1)
        self._guard = spectrogram.frames(GUARD)
        longest, margin = spectrogram.frames(LONGEST), spectrogram.frames(MARGIN) + self._guard
        self.begin = np.maximum(self._start - margin, 0)
        is_long = self._end - self._start > longest
        self.until = np.where(is_long, self._start + longest, self._end + margin)
        self.min_background = spectrogram.frames(MIN_BACKGROUND)
        self._order = np.argsort(self._start, kind="stable")
        self._sorted_start = self._start[self._order]
        self._latest_end = np.maximum.accumulate(self._end[self._order])

    def _near(self, index: int) -> Indices:
        """The other events that are active in the frames of an event."""
        first = np.searchsorted(self._latest_end, self.begin[index], side="right")
        end = np.searchsorted(self._sorted_start, self.until[index])
        found = self._order[first:end]
        is_near = (self._end[found] > self.begin[index]) & (found != index)
        return np.asarray(found[is_near])

    def _active(self, events: Indices, origin: int, count: int) -> Indices:
        """The number of active events in some frames, ``[count]`` from ``origin`` on."""
        starts = np.bincount(np.maximum(self._start[events] - origin, 0), minlength=count)
        ends = np.bincount(np.minimum(self._end[events] - origin, count), minlength=count + 1)
        return np.cumsum(starts - ends[:count])

    def masks(self, index: int) -> tuple[Mask, Mask]:
        """Which frames from ``begin`` to ``until`` are the event, and which its background.

        Other events that are active during the whole event, as rain behind a bird, are so in its
        background too. Frames with other events belong to neither, unless they are all there is.

        Shape:
            twice ``[until - begin]``
        """
        origin = self.begin[index]
        start, end = self._start[index], self._end[index]
        inside = np.zeros(self.until[index] - origin, dtype=np.bool_)
        inside[start - origin : end - origin] = True
        outside = np.ones_like(inside)
        outside[max(start - self._guard - origin, 0) : end + self._guard - origin] = False
        near = self._near(index)
        covers = (self._start[near] <= start) & (self._end[near] >= end)
        behind = self._active(near[covers], origin, len(inside))
        single = self._active(near[~covers], origin, len(inside)) > 0
        alone = inside & ~single
        background = outside & ~single & (behind == np.count_nonzero(covers))
        if np.count_nonzero(background) < self.min_background:
            background = outside
        return (alone if alone.any() else inside), background
