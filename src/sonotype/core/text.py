"""Text for messages and terminals: counts, lists, durations; labels of a width in columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

ELLIPSIS = "..."
WIDTH = 80
"""Columns of a report."""

ZERO_WIDTH_JOINER = "\u200d"


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 clip``, ``2 clips``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Iterable[object], most: int = 10) -> str:
    """Names for a message, at most ``most`` of them."""
    texts = [str(name) for name in names]
    if len(texts) <= most:
        return ", ".join(texts)
    return f"{', '.join(texts[:most])} and {len(texts) - most} more"


def duration(seconds: float) -> str:
    """A time span for display: 42 s, 7 min, 1 h 05 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def clock(seconds: float) -> str:
    """A time in a recording as h:mm:ss, rounded down: 0:02:05."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def probability(value: float) -> str:
    """A probability with two decimals, near 0 and 1 with four: 0.50, 0.9980, 0.0004."""
    return f"{value:.2f}" if 0.01 <= value <= 0.99 or value in (0, 1) else f"{value:.4f}"


def width(text: str) -> int:
    """Width in terminal columns: 2 for a wide character, 0 for a combining one."""
    from rich.cells import cell_len  # late: the command line starts without rich

    return cell_len(text)


def printable(text: str) -> str:
    """The text with whitespace as spaces, and control characters and stray bytes as ``?``."""
    text = "".join(" " if char.isspace() else char for char in text)
    kept = (char if char.isprintable() or char == ZERO_WIDTH_JOINER else "?" for char in text)
    return "".join(kept)


def shorten(text: str, cells: int) -> str:
    """The printable text in at most ``cells`` columns, with an ellipsis in the middle if needed.

    Class names differ at both ends more often than in the middle. Combining characters stay with
    their base character.
    """
    text = printable(text)
    if width(text) <= cells:
        return text
    if cells <= len(ELLIPSIS):
        return ELLIPSIS[:cells]
    room = cells - len(ELLIPSIS)
    head, tail = text[: 4 * cells], text[-4 * cells :]  # limits the number of loops
    while width(head) > (room + 1) // 2 or head.endswith(ZERO_WIDTH_JOINER):
        head = head[:-1]
    if _joins(text[len(head)]):  # the cut is between a base character and its accents
        head = head.rstrip("".join(filter(_joins, head)))[:-1]
    while width(tail) > room - width(head) or (tail and _joins(tail[0])):
        tail = tail[1:]
    return head + ELLIPSIS + tail


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """The text padded with spaces to ``cells`` columns; aligned right with ``right=True``."""
    spaces = " " * max(0, cells - width(text))
    return spaces + text if right else text + spaces


def align(texts: Iterable[str], *columns: int) -> str:
    """A line of a table: texts shortened and padded to the widths, negative for right-aligned."""
    cells = (
        pad(shorten(x, abs(n)), abs(n), right=n < 0) for x, n in zip(texts, columns, strict=True)
    )
    return "".join(cells).rstrip()


def wrap(text: str, indent: str = "") -> list[str]:
    """Lines of at most 80 columns; wide characters take two columns.

    Args:
        text: whitespace is as good as a space.
        indent: before each line but the first.
    """
    from rich.console import Console  # late: the command line starts without rich
    from rich.text import Text

    lines = Text(printable(text)).wrap(Console(width=WIDTH), WIDTH - len(indent))
    return [(indent if number else "") + line.plain for number, line in enumerate(lines)]


def _joins(char: str) -> bool:
    """Whether the character combines with the previous character."""
    return char == ZERO_WIDTH_JOINER or unicodedata.category(char) in ("Mn", "Me", "Mc")
