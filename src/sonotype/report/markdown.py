"""Texts and tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sonotype.core.text import printable

SPECIAL = re.compile(r"[\\`*\[\]<>|]|(?<!\w)_|_(?!\w)")
"""Characters that Markdown would read; an underscore inside a word stays as it is."""


def md(text: object) -> str:
    """A text in one line whose characters stand for themselves."""
    return SPECIAL.sub(lambda match: f"\\{match[0]}", printable(str(text)))


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> str:
    """A table of texts that are Markdown already; the last ``right`` columns are numbers."""
    rules = ["---"] * (len(header) - right) + ["---:"] * right
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rules, *rows])
