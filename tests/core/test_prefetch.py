from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from sonotype.core.prefetch import prefetch


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_the_results_of_map_in_its_order(threads: int, count: int) -> None:
    def slow(item: int) -> int:
        time.sleep(0.001 * (item * 7 % 5))
        return item * item

    assert list(prefetch(slow, range(count), threads=threads)) == list(map(slow, range(count)))


def test_items_run_at_the_same_time() -> None:
    both = threading.Barrier(2, timeout=20)
    assert list(prefetch(lambda _: both.wait() in (0, 1), range(4), threads=2)) == [True] * 4


def test_at_most_the_buffer_is_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = prefetch(lambda item: item, items(), threads=2, buffer_size=3)
    assert [next(results), next(results)] == [0, 1]
    assert len(taken) <= 2 + 3 + 2
    results.close()  # type: ignore[attr-defined]


def test_an_error_comes_in_the_order_of_the_items_and_ends_the_results() -> None:
    def picky(item: int) -> int:
        if item == 2:
            raise ValueError("not two")
        return item

    results = prefetch(picky, range(10), threads=3)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="not two"):
        next(results)
    assert list(results) == []
