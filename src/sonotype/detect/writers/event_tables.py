"""Tables of the events of many recordings: text to append for each recording, CSV or JSON Lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sonotype.core.detections import DetectedRecording
from sonotype.core.json_text import json_text
from sonotype.detect.writers.event_rows import COLUMNS, event_rows, number_text, score_text

_SPECIAL = re.compile('[",\r\n]')


def csv_header() -> str:
    """The first line of a CSV table."""
    return csv_text([COLUMNS])


def csv_rows(recording: DetectedRecording) -> str:
    """The lines of a recording; empty if it was read and has no events."""
    return csv_text(
        [_cell(name, value) for name, value in row.items()] for row in event_rows(recording)
    )


def json_lines(recording: DetectedRecording) -> str:
    """A JSON object for each row, with the columns of the CSV as keys; null for empty cells."""
    return "".join(json_text(row, ensure_ascii=False) + "\n" for row in event_rows(recording))


def csv_text(rows: Iterable[Iterable[str]]) -> str:
    """Rows as lines of CSV, with quotes where a cell needs them.

    The module ``csv`` of Python before 3.13 writes a carriage return without quotes.
    """
    return "".join(",".join(map(_quoted, row)) + "\n" for row in rows)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if _SPECIAL.search(cell) else cell


def _cell(column: str, value: object) -> str:
    if isinstance(value, float):
        return score_text(value) if column == "score" else number_text(value)
    return "" if value is None else str(value)
