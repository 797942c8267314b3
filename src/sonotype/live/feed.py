"""A bounded queue between the thread that takes up sound and the one that scores it.

Time is counted in samples. Samples that are lost, because the queue was full or the sound system
says so, advance it: silence takes their place, so later events keep their times. A pipe that stalls
loses nothing: its time stands still until samples come again.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from threading import Condition, Thread
from time import monotonic

import numpy as np

from sonotype.audio.decode import Samples
from sonotype.core.errors import AudioError, cause_of
from sonotype.live.pcm import valid

BUFFER = 30.0
"""Seconds of sound that wait to be scored, at most."""
TICK = 0.25
"""Seconds after which a reader that waits looks around."""
ARRIVALS = 600.0
"""Seconds for which the times of arrival are kept."""

Item = tuple[Samples | int, float]
"""Samples, or a number of lost ones; and the time of arrival."""


class Feed:
    """Sound that arrives.

    Args:
        name: of the source.
        sample_rate: in Hz.
        seconds: of sound that the queue holds.

    Attributes:
        dropped: number of samples that were lost.
        invalid: number of samples that were no valid numbers.
        overflows: how often the sound system lost samples without saying how many.
        error: why the source ended; empty if it came to its end.
        last_arrival: time of the last piece, or of the start.
    """

    def __init__(self, name: str, sample_rate: int, *, seconds: float = BUFFER) -> None:
        self.name, self.sample_rate = name, sample_rate
        self.dropped = self.invalid = self.overflows = 0
        self.error = ""
        self.last_arrival = monotonic()
        self._most = int(seconds * sample_rate)
        self._items: deque[Item] = deque()
        self._waiting = self._lost = 0
        self._ended = self._closed = False
        self._changed = Condition()

    def put(self, samples: Samples) -> bool:
        """Add samples; wait for room. ``False`` if the reader is gone."""
        with self._changed:
            while self._waiting >= self._most and not self._closed:
                self._changed.wait()
            if not self._closed:
                self._add(samples)
            return not self._closed

    def offer(self, samples: Samples, lost: int = 0) -> None:
        """Add samples if there is room, or count them as lost; never waits.

        Args:
            samples: that arrived now.
            lost: number of samples that the sound system lost before them.
        """
        with self._changed:
            self.dropped += lost
            self._lost += lost
            if self._waiting + len(samples) > self._most:
                self.dropped += len(samples)
                self._lost += len(samples)
                return
            if self._lost:
                self._items.append((self._lost, monotonic()))
                self._lost = 0
            self._add(samples)

    def end(self, error: str = "") -> None:
        """Say that no more samples come; the first reason counts."""
        with self._changed:
            if not self._ended:
                self._ended, self.error = True, error
                if self._lost:
                    self._items.append((self._lost, monotonic()))
            self._changed.notify_all()

    def close(self) -> None:
        """Say that the reader is gone."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def unread(self) -> int:
        """Number of samples that wait in the queue."""
        with self._changed:
            return self._waiting

    def items(self, stop: Callable[[], bool], on_wait: Callable[[], None]) -> Iterator[Item]:
        """Samples as they come, with silence of at most a second for lost ones.

        Args:
            stop: whether to end; asked at least four times a second.
            on_wait: is called as often while nothing comes.
        """
        while not stop():
            with self._changed:
                if not self._items and not self._ended:
                    self._changed.wait(TICK)
                item = self._items.popleft() if self._items else None
                if item is not None and not isinstance(item[0], int):
                    self._waiting -= len(item[0])
                    self._changed.notify_all()
                ended = self._ended
            if item is None:
                if ended:
                    return
                on_wait()
                continue
            yield from self._silence(item) if isinstance(item[0], int) else [item]

    def _silence(self, item: Item) -> Iterator[Item]:
        missing, arrived = item
        while isinstance(missing, int) and missing > 0:
            size = min(missing, self.sample_rate)
            yield np.zeros(size, np.float32), arrived
            missing -= size

    def _add(self, samples: Samples) -> None:
        samples, invalid = valid(samples)
        self.invalid += invalid
        self.last_arrival = monotonic()
        self._items.append((samples, self.last_arrival))
        self._waiting += len(samples)
        self._changed.notify_all()


def start_reading(feed: Feed, pieces: Iterable[Samples]) -> Thread:
    """Fill a feed from an iterator in a thread, which waits while the queue is full."""

    def run() -> None:
        try:
            for piece in pieces:
                if not feed.put(piece):
                    return
        except (AudioError, OSError) as error:
            feed.end(cause_of(error))
        finally:
            feed.end()

    thread = Thread(target=run, name="sound", daemon=True)
    thread.start()
    return thread


class Arrivals:
    """When the samples of a stream arrived."""

    def __init__(self, sample_rate: int) -> None:
        self._rate, self._ends, self._times = sample_rate, [0], [monotonic()]

    def add(self, samples: int, time: float) -> None:
        """Add the next samples."""
        self._ends.append(self._ends[-1] + samples)
        self._times.append(time)
        old = bisect_left(self._ends, self._ends[-1] - ARRIVALS * self._rate)
        if old > len(self._ends) // 2:  # seldom, since a list moves all of its items
            del self._ends[:old], self._times[:old]

    def behind(self, seconds: float) -> float:
        """Seconds since the sample at this time of the stream arrived."""
        index = bisect_left(self._ends, round(seconds * self._rate))
        return monotonic() - self._times[min(index, len(self._times) - 1)]
