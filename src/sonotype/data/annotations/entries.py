"""What all label files have in common: rows of texts, which become entries or issues."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.data.records import normalise_label

NO_CALL = "nocall"
"""Label by which BirdNET-Analyzer says that it found nothing in a recording."""

ROUNDING = 0.05
"""Seconds by which labels may exceed a recording: programs round, and formats pad."""

_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Row:
    """One labelled interval as written in a label file.

    Attributes:
        line: of the label file (1-based).
        start: in seconds, as for the next.
        end: may be a number already, where it is computed.
        label: the class.
        low: lowest frequency in Hz, or empty, as for the next.
        high: highest frequency.
        recording: the recording that the row names; empty if it names none.
        group: identity of the recording; empty if not known.
        fold: official fold; empty if there is none.
    """

    line: int
    start: str | float
    end: str | float
    label: str
    low: str = ""
    high: str = ""
    recording: str = ""
    group: str = ""
    fold: str = ""


@dataclass(frozen=True)
class Entry:
    """A valid row: ``start`` and ``end`` in seconds, ``low`` and ``high`` in Hz or ``None``."""

    row: Row
    start: float
    end: float
    label: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class LabelFile:
    """A label file as it was read.

    Attributes:
        path: the label file.
        entries: the valid rows that have a label.
        others: the other rows. They name recordings too: a recording may have no event.
        issues: of the file and its rows.
        by_column: whether a column names the recordings.
        padded: whether the last event may exceed the recording: BirdNET-Analyzer labels windows of
            3 s, and pads the last one.
    """

    path: Path
    entries: tuple[Entry, ...] = ()
    others: tuple[Row, ...] = ()
    issues: tuple[DataIssue, ...] = ()
    by_column: bool = False
    padded: bool = False


def label_file(
    path: Path,
    rows: Iterable[Row],
    issues: Iterable[DataIssue] = (),
    *,
    by_column: bool | None = None,
) -> LabelFile:
    """Parse and check the rows of a label file.

    Args:
        path: the label file.
        rows: of it.
        issues: met before.
        by_column: whether a column names the recordings; by default, whether any row names one.
    """
    rows = tuple(rows)
    if by_column is None:
        by_column = any(row.recording for row in rows)
    entries: list[Entry] = []
    others: list[Row] = []
    found = list(issues)
    for row in rows:
        if by_column and not row.recording:
            found.append(DataIssue(str(path), row.line, "empty name of the recording; fill it in"))
        elif row.label.casefold() == NO_CALL or (
            by_column and not any((row.start, row.end, row.label))
        ):
            others.append(row)  # the recording was listened to, and has no event
        else:
            start, end = seconds(row.start), seconds(row.end)
            low, high = _hertz(row.low), _hertz(row.high)
            causes = [*_time_issues(row, start, end), *_frequency_issues(row, low, high)]
            label = normalise_label(row.label)
            if not label:
                causes.append("empty label; fill it in, or remove the row")
            found += [DataIssue(str(path), row.line, cause) for cause in causes]
            if causes or start is None or end is None:
                others.append(row)
            else:
                entries.append(Entry(row, max(0.0, start), end, label, low, high))
    return LabelFile(path, tuple(entries), tuple(others), tuple(found), by_column)


def seconds(text: str | float) -> float | None:
    """The finite number in a text; ``None`` for other texts. A comma may be the decimal point."""
    if isinstance(text, str):
        text = text.strip()
        if not _NUMBER.fullmatch(text):
            return None
        text = float(text.replace(",", "."))
    return text if math.isfinite(text) else None


def _hertz(text: str) -> float | None:
    """A frequency; ``None`` for -1 too, by which Audacity says that there is none."""
    value = seconds(text)
    return None if value == -1 else value


def _time_issues(row: Row, start: float | None, end: float | None) -> Iterator[str]:
    for name, text, value in (("start", row.start, start), ("end", row.end, end)):
        if value is None:
            said = f"{text!r}, not a number" if text else "empty"
            yield f"the {name} is {said}; write seconds, such as 12.5"
    if start is not None and start < -1e-3:
        yield f"the start is {start:g} s; a recording begins at 0"
    if start is not None and end is not None and end <= start:
        if end == start:
            yield f"has no length, only a point at {start:g} s; give it a start and a later end"
        else:
            yield f"the end, {end:g} s, is before the start, {start:g} s; correct one of them"


def _frequency_issues(row: Row, low: float | None, high: float | None) -> Iterator[str]:
    for name, text, value in (("lowest", row.low, low), ("highest", row.high, high)):
        if value is not None and value < 0:
            yield f"the {name} frequency is {value:g} Hz; it must not be negative"
        elif value is None and text.strip() and seconds(text) is None:
            yield f"the {name} frequency is {text!r}, not a number; write Hz, or leave it empty"
    if low is not None and high is not None and low > high:
        yield f"the lowest frequency, {low:g} Hz, is above the highest, {high:g} Hz; exchange them"
