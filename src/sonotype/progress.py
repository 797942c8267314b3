"""One progress bar for everything that takes longer than a breath."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def track(
    items: Iterable[Item], description: str, total: int | None = None, *, show: bool = True
) -> Iterator[Item]:
    """Yield the items, with a bar and the time left on standard error while a person looks on.

    Nothing is drawn with ``show=False`` or where standard error is no terminal, so that logs and
    pipes stay clean.
    """
    if not show or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, description, total=total, console=Console(stderr=True))
