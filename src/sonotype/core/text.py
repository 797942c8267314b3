"""Labels as people can read them: printable, and cut in the middle to a width in cells."""

from __future__ import annotations

import unicodedata

from rich.cells import cell_len

ELLIPSIS = "..."
ZERO_WIDTH_JOINER = "\u200d"


def width(text: str) -> int:
    """Columns of a terminal that the text takes: 2 for a wide character, 0 for a combining one."""
    return cell_len(text)


def printable(text: str) -> str:
    """The text with blanks and line ends as spaces, control characters and stray bytes as ``?``."""
    text = "".join(" " if char.isspace() else char for char in text)
    kept = (char if char.isprintable() or char == ZERO_WIDTH_JOINER else "?" for char in text)
    return "".join(kept)


def shorten(text: str, cells: int) -> str:
    """The printable text in at most ``cells`` columns, its middle left out where it is longer.

    Names of classes differ at both ends more often than in the middle. An accent is never parted
    from its letter.
    """
    text = printable(text)
    if width(text) <= cells:
        return text
    if cells <= len(ELLIPSIS):
        return ELLIPSIS[:cells]
    room = cells - len(ELLIPSIS)
    head, tail = text[: 4 * cells], text[-4 * cells :]  # more only makes the loops long
    while width(head) > (room + 1) // 2 or head.endswith(ZERO_WIDTH_JOINER):
        head = head[:-1]
    if _joins(text[len(head)]):  # the cut fell between a letter and its accents
        head = head.rstrip("".join(filter(_joins, head)))[:-1]
    while width(tail) > room - width(head) or (tail and _joins(tail[0])):
        tail = tail[1:]
    return head + ELLIPSIS + tail


def pad(text: str, cells: int, *, right: bool = False) -> str:
    """The text filled with spaces to ``cells`` columns, at its left with ``right=True``."""
    spaces = " " * max(0, cells - width(text))
    return spaces + text if right else text + spaces


def _joins(char: str) -> bool:
    """Whether the character belongs to the one before it."""
    return char == ZERO_WIDTH_JOINER or unicodedata.category(char) in ("Mn", "Me", "Mc")
