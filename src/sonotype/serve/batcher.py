"""Micro-batches: clips of different requests that the network gets at once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class QueueFullError(Exception):
    """As many items wait as may wait."""


class _Waiting(NamedTuple, Generic[Item, Result]):
    item: Item
    future: Future[Result]


class Batcher(Generic[Item, Result]):
    """Runs a function on batches of items that other threads submit one by one.

    A worker that is free takes what waits: its part of the queue, at most ``batch_size`` items. If
    fewer wait, it waits for more, but never longer than ``wait``.

    Args:
        run: returns the results of a batch, in order.
        batch_size: most items in a batch.
        wait: seconds.
        capacity: most items that wait.
        threads: number of workers.
        on_batch: is called with the size of each batch.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        batch_size: int,
        wait: float,
        capacity: int,
        threads: int = 1,
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self._run, self._on_batch = run, on_batch
        self._batch_size, self._wait, self._capacity = batch_size, wait, capacity
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._changed, self._closed = Condition(), False
        self._workers = [
            Thread(target=self._work, name=f"network-{number}", daemon=True)
            for number in range(threads)
        ]
        for worker in self._workers:
            worker.start()

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, item: Item) -> Future[Result]:
        """Add an item; the future has its result, or the error of its batch.

        Raises:
            QueueFullError: too many items wait, or the batcher is closed.
        """
        with self._changed:
            if self._closed or len(self._queue) >= self._capacity:
                raise QueueFullError
            waiting = _Waiting(item, Future[Result]())
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """Finish the items that wait, and end the workers."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _work(self) -> None:
        while batch := self._next_batch():
            running = [one for one in batch if one.future.set_running_or_notify_cancel()]
            if running:
                self._run_batch(running)

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        """The next items; none when the batcher is closed and empty."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._queue or self._closed)
                end = time.monotonic() + self._wait
                while 0 < len(self._queue) < self._batch_size and not self._closed:
                    if not self._changed.wait(end - time.monotonic()):
                        break
                if self._queue or self._closed:  # another worker may have taken the items
                    share = -(-len(self._queue) // len(self._workers))
                    return [self._queue.popleft() for _ in range(min(share, self._batch_size))]

    def _run_batch(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        if self._on_batch is not None:
            self._on_batch(len(batch))
        try:
            results = self._run([one.item for one in batch])
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for one in batch:  # one item must not cost the results of the others
                self._run_batch([one])
            return
        for one, result in zip(batch, results, strict=True):
            one.future.set_result(result)
