"""Compute results in threads before they are needed.

Threads share memory, so nothing is copied. Decoding, resampling and array arithmetic release
Python's lock, so threads do run side by side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

BATCH_SIZE = 16
"""Clips that a network processes at once, except in training."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, buffer_size: int = 1
) -> Iterator[Result]:
    """``map(function, items)``, computed in threads ahead of the caller.

    Args:
        function: for one item; several threads call it at once.
        items: in the order of the results.
        threads: number of threads, at least 1.
        buffer_size: number of finished results to keep, beside those in work.

    Raises:
        Exception: the error of the function for an item, in place of that item's result.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")
    try:
        running: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(source, threads + buffer_size)
        )
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(function, item) for item in islice(source, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
