"""TextGrid files of Praat, in the long and the short form.

Praat reads both in the same way, and so does this module: numbers and texts in quotes (a quote in a
text is doubled) count in their order, ``<exists>`` is a flag, and everything else is a comment for
people: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html. The order is

    "ooTextFile" "TextGrid" xmin xmax <exists> tiers, and for each tier
    class name xmin xmax size, and for each interval start end text, for each point time text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.core.text import listed
from sonotype.data.annotations.columns import LABELS, simple
from sonotype.data.annotations.entries import LabelFile, Row, label_file
from sonotype.data.readers.csv_table import read_text

SAVE_AS = "save it in Praat as a text file, in UTF-8 or UTF-16"

_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"'
    r"|(?<!\S)<(?P<flag>\w+)>(?!\S)"
    r"|(?<![^\s=])(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|--undefined--|-?nan)(?!\S)"
    r"|(?<!\S)!.*"
)
_INTERVALS, _POINTS = "IntervalTier", "TextTier"


@dataclass(frozen=True)
class Tier:
    """A tier of intervals: its name, and its intervals that have a text."""

    name: str
    rows: tuple[Row, ...]


class _Tokens:
    """The tokens of a file in their order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.finditer(text)
        self._place = self._line = 0
        self.line = 1

    def next(self, kind: str) -> str:
        """The next token, which has to be a ``text``, a ``number`` or a ``flag``."""
        for match in self._tokens:
            if match.lastgroup is None:  # a comment
                continue
            self._line += self._text.count("\n", self._place, match.start())
            self._place = match.start()
            self.line = self._line + 1
            if match.lastgroup != kind:
                raise ValueError(f"has {match[0]!r} where a {kind} is expected; {SAVE_AS}")
            return match[kind].replace('""', '"')
        raise ValueError(f"ends where a {kind} is expected: it is not complete; {SAVE_AS}")

    def count(self) -> int:
        number = self.next("number")
        if not number.isdecimal():
            raise ValueError(f"has {number} where a number of entries is expected; {SAVE_AS}")
        return int(number)


def is_textgrid(head: str) -> bool:
    """Whether a text begins like a TextGrid."""
    return '"ooTextFile' in head and '"TextGrid"' in head


def read_textgrid(path: Path, tier: str | None = None) -> LabelFile:
    """Read the intervals of a tier.

    Args:
        path: the TextGrid.
        tier: its name. It may be omitted where one tier of intervals has texts, or has a usual name
            of a column of labels, or where each tier is a class: most texts are the name of their
            tier. Then all tiers are read.
    """
    text = read_text(path, SAVE_AS)
    if isinstance(text, DataIssue):
        return LabelFile(path, issues=(text,))
    tokens = _Tokens(text)
    try:
        tiers = tuple(_tiers(tokens))
    except ValueError as error:
        return LabelFile(path, issues=(DataIssue(str(path), tokens.line, str(error)),))
    if tier is None and _are_classes(tiers):
        return label_file(path, (row for found in tiers for row in found.rows))
    names = listed(dict.fromkeys(repr(found.name) for found in tiers)) or "no tier of intervals"
    if tier is not None:
        chosen = [found for found in tiers if found.name == tier]
        cause = f"no tier of intervals {tier!r}; the TextGrid has {names}"
    else:
        chosen = [found for found in tiers if found.rows]
        if len(chosen) > 1:
            chosen = [found for found in chosen if simple(found.name) in LABELS]
        cause = f"several tiers have labels: {names}; name one as the label column"
        if not tiers:
            cause = "no tier of intervals; draw intervals in Praat, points have no length"
        elif len(chosen) != 1 and not any(found.rows for found in tiers):
            return LabelFile(path)  # no labels at all
    if not chosen or (tier is None and len(chosen) > 1):
        return LabelFile(path, issues=(DataIssue(str(path), 0, cause),))
    return label_file(path, (row for found in chosen for row in found.rows))


def _are_classes(tiers: Sequence[Tier]) -> bool:
    """Whether most texts of the tiers are the name of their tier; a listener may correct some."""
    named = [row.label.strip() == tier.name.strip() for tier in tiers for row in tier.rows]
    return 2 * sum(named) > len(named)


def _tiers(tokens: _Tokens) -> Iterator[Tier]:
    if tokens.next("text").split()[:1] != ["ooTextFile"] or tokens.next("text") != "TextGrid":
        raise ValueError(f"not a TextGrid; {SAVE_AS}")
    tokens.next("number")
    tokens.next("number")
    if tokens.next("flag") != "exists":
        return
    for _ in range(tokens.count()):
        kind, name = tokens.next("text"), tokens.next("text")
        if kind not in (_INTERVALS, _POINTS):
            raise ValueError(f"has a tier of class {kind!r}, not {_INTERVALS} or {_POINTS}")
        tokens.next("number")
        tokens.next("number")
        rows = [_row(tokens, kind) for _ in range(tokens.count())]
        if kind == _INTERVALS:
            yield Tier(name, tuple(row for row in rows if row.label.strip()))


def _row(tokens: _Tokens, kind: str) -> Row:
    start = tokens.next("number")
    line = tokens.line
    end = tokens.next("number") if kind == _INTERVALS else start
    return Row(line, start, end, tokens.next("text"))
