"""Progress bars for long-running loops."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

OnMessage = Callable[[str], None]
"""Is called with a line of text for the user."""


def track(
    items: Iterable[Item], description: str, total: int | None = None, *, show: bool = True
) -> Iterator[Item]:
    """Yield the items; draw a bar with the time left on standard error if it is a terminal."""
    if not show or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description, total=total, console=Console(stderr=True))


@contextmanager
def measure(description: str, total: float) -> Iterator[Callable[[float], None]]:
    """A bar with the time left; yields a function that is called with the part that is done."""
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
    """A bar of :func:`steps`, or ``None`` for no bar."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar

    @contextmanager
    def done(self) -> Iterator[None]:
        """Advance the bar by one step; lines printed in the block appear above the bar."""
        if self._bar:
            self._bar.stop()
        yield
        if self._bar:
            self._bar.advance(self._bar.task_ids[0])
            self._bar.start()
