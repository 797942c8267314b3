"""A version of everything that the tabs see, which rises with each change."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress


class State:
    """Counts changes, and wakes those that wait for one. Every method may be called in any thread.

    Attributes:
        closed: whether the server ends; no tab waits then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 1
        self._waiting: set[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = set()
        self.closed = False

    @property
    def version(self) -> int:
        """Number of changes so far, from 1 on."""
        return self._version

    def changed(self) -> None:
        """Say that something has changed that a tab shows."""
        with self._lock:
            self._version += 1
            self._wake()

    def close(self) -> None:
        """Wake all that wait; the server ends."""
        with self._lock:
            self.closed = True
            self._wake()

    async def wait(self, version: int, seconds: float) -> int:
        """Wait for another version than a given one, for some seconds at most.

        Returns:
            The version at the end; the given one if nothing has changed.
        """
        event = asyncio.Event()
        own = (asyncio.get_running_loop(), event)
        with self._lock:
            if self._version != version or self.closed:
                return self._version
            self._waiting.add(own)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
        finally:
            with self._lock:
                self._waiting.discard(own)
        return self._version

    def _wake(self) -> None:
        for loop, event in self._waiting:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(event.set)
