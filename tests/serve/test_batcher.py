"""Micro-batches: fuller under load, bounded, and finished on closing."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from sonotype.serve.batcher import Batcher, QueueFullError


class Held:
    """Squares numbers when it is allowed to."""

    def __init__(self) -> None:
        self.go, self.started = threading.Event(), threading.Event()
        self.batches: list[list[int]] = []

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.started.set()
        assert self.go.wait(10)
        if 13 in items:
            raise ValueError("13")
        return [item * item for item in items]


def test_items_that_wait_become_a_batch_and_the_queue_is_bounded() -> None:
    held = Held()
    batcher = Batcher(held, batch_size=4, wait=0, capacity=6)
    first = batcher.submit(1)
    assert held.started.wait(5)
    others = [batcher.submit(number) for number in range(2, 8)]
    with pytest.raises(QueueFullError):
        batcher.submit(8)
    assert len(batcher) == 6
    held.go.set()
    assert [one.result(5) for one in (first, *others)] == [1, 4, 9, 16, 25, 36, 49]
    assert held.batches == [[1], [2, 3, 4, 5], [6, 7]]
    batcher.close()
    with pytest.raises(QueueFullError):
        batcher.submit(9)


def test_closing_finishes_what_waits() -> None:
    held = Held()
    batcher = Batcher(held, batch_size=2, wait=10, capacity=9, threads=2)
    futures = [batcher.submit(number) for number in range(5)]
    threading.Timer(0.1, held.go.set).start()
    batcher.close()
    assert [one.result(0) for one in futures] == [0, 1, 4, 9, 16]


def test_one_item_does_not_cost_the_results_of_the_others() -> None:
    held = Held()
    held.go.set()
    batcher = Batcher(held, batch_size=3, wait=0.2, capacity=9)
    futures = [batcher.submit(number) for number in (2, 13, 4)]
    assert [futures[0].result(5), futures[2].result(5)] == [4, 16]
    with pytest.raises(ValueError, match="13"):
        futures[1].result(5)
    batcher.close()


def test_a_batch_waits_no_longer_than_allowed() -> None:
    sizes: list[int] = []
    held = Held()
    held.go.set()
    batcher = Batcher(held, batch_size=100, wait=1, capacity=9, on_batch=sizes.append)
    begin = time.monotonic()
    futures = [batcher.submit(number) for number in range(3)]
    assert [one.result(20) for one in futures] == [0, 1, 4]
    assert 0.5 < time.monotonic() - begin < 10
    assert sizes == [3]
    batcher.close()


def test_a_cancelled_item_is_left_out() -> None:
    held = Held()
    batcher = Batcher(held, batch_size=1, wait=0, capacity=9)
    first = batcher.submit(1)
    assert held.started.wait(5)
    second, third = batcher.submit(2), batcher.submit(3)
    assert second.cancel()
    held.go.set()
    assert (first.result(5), third.result(5)) == (1, 9)
    batcher.close()
    assert held.batches == [[1], [3]]
