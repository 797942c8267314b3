"""The queue between sound and scores: lost samples keep their time."""

from __future__ import annotations

from threading import Thread
from time import monotonic, sleep

import numpy as np

from sonotype.core.errors import AudioError
from sonotype.live.feed import Arrivals, Feed, start_reading

RATE = 100


def numbered(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.float32)


def read(feed: Feed) -> list[float]:
    return [
        float(value)
        for samples, _ in feed.items(lambda: False, lambda: None)
        if not isinstance(samples, int)
        for value in samples
    ]


def test_a_slow_reader_loses_samples_and_keeps_the_time() -> None:
    feed = Feed("x", RATE, seconds=1)
    feed.offer(numbered(0, 60))
    feed.offer(numbered(60, 60))  # no room
    feed.offer(numbered(120, 40))
    assert feed.dropped == 60
    feed.end()
    assert read(feed) == [*range(60), *[0] * 60, *range(120, 160)]


def test_samples_lost_at_the_end_are_silence() -> None:
    feed = Feed("x", RATE, seconds=1)
    feed.offer(numbered(1, 100))
    feed.offer(numbered(101, 250))
    feed.end()
    assert read(feed) == [*range(1, 101), *[0] * 250]
    assert feed.dropped == 250


def test_samples_that_the_sound_system_lost() -> None:
    feed = Feed("x", RATE)
    feed.offer(numbered(1, 10))
    feed.offer(numbered(15, 10), lost=4)
    feed.end()
    assert read(feed) == [*range(1, 11), 0, 0, 0, 0, *range(15, 25)]
    assert feed.dropped == 4


def test_a_long_gap_is_given_in_seconds() -> None:
    feed = Feed("x", RATE)
    feed.offer(numbered(0, 1), lost=250)
    feed.end()
    sizes = [len(x) for x, _ in feed.items(lambda: False, lambda: None) if not isinstance(x, int)]
    assert sizes == [100, 100, 50, 1]


def test_a_pipe_waits_and_loses_nothing() -> None:
    feed = Feed("x", RATE, seconds=0.5)
    thread = start_reading(feed, (numbered(n, 30) for n in range(0, 300, 30)))
    sleep(0.05)
    assert thread.is_alive(), "the queue is full"
    assert read(feed) == list(range(300))
    assert (feed.dropped, feed.error) == (0, "")


def test_a_stall_is_noticed_and_ends() -> None:
    feed, waits = Feed("x", RATE), []

    def write() -> None:
        feed.put(numbered(0, 5))
        end = monotonic() + 20
        while len(waits) < 2 and monotonic() < end:
            sleep(0.01)
        feed.put(numbered(5, 5))
        feed.end()

    Thread(target=write).start()
    found = [x for x, _ in feed.items(lambda: False, lambda: waits.append(monotonic()))]
    assert np.concatenate(found).tolist() == list(range(10))
    assert len(waits) >= 2


def test_stopping_and_closing() -> None:
    feed = Feed("x", RATE, seconds=0.1)
    thread = start_reading(feed, (numbered(n, 30) for n in range(0, 300, 30)))
    assert list(feed.items(lambda: True, lambda: None)) == []
    feed.close()
    thread.join(5)
    assert not thread.is_alive()
    assert not feed.put(numbered(0, 1))


def test_the_first_reason_for_the_end_counts() -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield numbered(0, 5)
        raise AudioError("x", "is truncated")

    feed = Feed("x", RATE)
    start_reading(feed, broken()).join()
    feed.end("later")
    assert len(read(feed)) == 5
    assert feed.error == "is truncated"


def test_invalid_samples_are_counted() -> None:
    feed = Feed("x", RATE)
    feed.put(np.array([np.nan, 1], np.float32))
    feed.end()
    assert read(feed) == [0, 1]
    assert feed.invalid == 1


def test_arrivals() -> None:
    arrivals, now = Arrivals(RATE), monotonic()
    for index in range(30):
        arrivals.add(10, now - 30 + index)
    assert 28.5 < arrivals.behind(0.2) < 30
    assert 0.5 < arrivals.behind(3.0) < 2
    assert arrivals.behind(99) < 2, "sound that did not arrive counts as the last"
