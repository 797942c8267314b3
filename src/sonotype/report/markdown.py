"""Texts and tables in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sonotype.core.text import printable

SPECIAL = re.compile(
    r"[\\`*\[\]<>|#~$]|(?<!\w)_|_(?!\w)"
    r"|&(?=#?\w+;)"  # an entity, such as &lt;
    r"|^[-+](?=\s|$)"  # a list
)
"""Characters that Markdown would read; an underscore inside a word stays as it is."""
NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
"""The begin of a numbered list."""


def md(text: object) -> str:
    """A text in one line whose characters stand for themselves."""
    escaped = SPECIAL.sub(lambda match: f"\\{match[0]}", printable(str(text)))
    return NUMBERED.sub(r"\1\\\2", escaped)


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: int = 0) -> str:
    """A table of texts that are Markdown already; the last ``right`` columns are numbers."""
    rules = ["---"] * (len(header) - right) + ["---:"] * right
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, rules, *rows])
