"""Work done ahead of whoever waits for it, in threads: nothing is copied or sent anywhere.

Decoding, resampling and array arithmetic let other threads run meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], *, threads: int, buffer_size: int = 1
) -> Iterator[Result]:
    """``map(function, items)``, computed by threads before it is asked for.

    Args:
        function: for one item; must not mind being called by several threads.
        items: in the order of the results.
        threads: at least one.
        buffer_size: so many results may be ready beside those that are worked on.

    Raises:
        Exception: what the function raises, when its result's turn comes.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="ahead")
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
