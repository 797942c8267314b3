"""The last results of a kind, by key: what was not used for the longest time is dropped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")


class Kept(Generic[Key, Result]):
    """Keeps some results. Every method may be called in any thread.

    Args:
        most: number of results.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._results: OrderedDict[Key, Result] = OrderedDict()

    def __len__(self) -> int:
        return len(self._results)

    def get(self, key: Key, make: Callable[[], Result]) -> Result:
        """The result of a key, made if it is not known; two threads may make it at once."""
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        result = make()
        self.put(key, result)
        return result

    def put(self, key: Key, result: Result) -> None:
        """Keep a result."""
        with self._lock:
            self._results[key] = result
            self._results.move_to_end(key)
            while len(self._results) > self._most:
                self._results.popitem(last=False)
