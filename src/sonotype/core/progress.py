"""Progress of long-running loops: bars in a terminal, or calls of an observer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

OnMessage = Callable[[str], None]
"""Is called with a line of text for the user."""

OnProgress = Callable[[str, float, float | None], None]
"""Is called with the name of a step, how much of it is done, and the total, ``None`` if unknown."""

_observer: OnProgress | None = None


@contextmanager
def observed(observer: OnProgress) -> Iterator[None]:
    """Within the block, call an observer for every step of this process in place of its bar.

    It is called where a bar would be asked for (``show=True``), also without a terminal: with 0 at
    the start of a step, then after each item, in the thread that runs the step.
    """
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before


def begin(description: str, *, show: bool = True) -> None:
    """Tell the observer, if there is one, that a step without a bar begins."""
    if show and _observer is not None:
        _observer(description, 0, None)


def track(
    items: Iterable[Item], description: str, total: int | None = None, *, show: bool = True
) -> Iterator[Item]:
    """Yield the items; draw a bar with the time left on standard error if it is a terminal."""
    if show and _observer is not None:
        yield from _told(items, description, total, _observer)
        return
    if not show or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description, total=total, console=Console(stderr=True))


def _told(
    items: Iterable[Item], description: str, total: int | None, observer: OnProgress
) -> Iterator[Item]:
    """Yield the items, and call the observer before the first and after each."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    observer(description, 0, total)
    for done, item in enumerate(items, start=1):
        yield item
        observer(description, done, total)


@contextmanager
def measure(description: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar with the time left; yields a function that is called with the part that is done."""
    if (observer := _observer) is not None:
        observer(description, 0, total)
        yield lambda done: observer(description, min(done, total), total)
        return
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=min(done, total))


@contextmanager
def steps(description: str, total: int, *, show: bool = True) -> Iterator[Steps]:
    """A bar for long steps that print lines in between; drawn under the same conditions."""
    if show and total and _observer is not None:
        _observer(description, 0, total)
        yield Steps(None, partial(_observer, description), total)
        return
    if not show or not sys.stderr.isatty() or not total:
        yield Steps(None)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn(description), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(description, total=total)
    with bar:
        yield Steps(bar)


class Steps:
    """A bar of :func:`steps`, or ``None`` for no bar; and a call after each step."""

    def __init__(
        self,
        bar: Progress | None,
        tell: Callable[[float, float | None], None] | None = None,
        total: int = 0,
    ) -> None:
        self._bar = bar
        self._tell, self._done, self._total = tell, 0, total

    @contextmanager
    def done(self) -> Iterator[None]:
        """Advance the bar by one step; lines printed in the block appear above the bar."""
        if self._bar:
            self._bar.stop()
        yield
        self._done += 1
        if self._tell:
            self._tell(self._done, self._total)
        if self._bar:
            self._bar.advance(self._bar.task_ids[0])
            self._bar.start()
