"""Label tracks of Audacity: a line with start, end and label for each region.

A line that begins with a backslash has the frequencies of the region before it. BirdNET-Analyzer
appends its confidence to a line.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from sonotype.core.errors import DataIssue
from sonotype.data.annotations.entries import LabelFile, Row, label_file, seconds
from sonotype.data.readers.csv_table import read_text

_SECONDS = r"-?\d+(?:[.,]\d+)?"
_FIRST_LINE = re.compile(rf"\s*{_SECONDS}\t{_SECONDS}[ ]*(?:\t.*)?")
_FREQUENCIES = "\\"


def is_audacity(line: str) -> bool:
    """Whether a line has two numbers and a label, with tabs between them."""
    return _FIRST_LINE.fullmatch(line) is not None


def read_audacity(path: Path) -> LabelFile:
    """Read a label track."""
    text = read_text(path, "export the labels from Audacity again")
    if isinstance(text, DataIssue):
        return LabelFile(path, issues=(text,))
    rows: list[Row] = []
    issues: list[DataIssue] = []
    confidences = 0
    for line, content in enumerate(text.splitlines(), 1):
        cells = content.split("\t")
        if not content.strip():
            continue
        if cells[0].strip() == _FREQUENCIES:
            if rows and len(cells) >= 3:
                rows[-1] = replace(rows[-1], low=cells[1], high=cells[2])
            else:
                cause = "frequencies without a region, or with a value missing; remove the line"
                issues.append(DataIssue(str(path), line, cause))
        elif len(cells) == 1:
            cause = "not start, end and label with tabs between them; correct the line"
            issues.append(DataIssue(str(path), line, cause))
        else:
            start, end, label = (*cells, "")[:3]
            rows.append(Row(line, start, end, label))
            confidences += len(cells) > 3 and seconds(cells[3]) is not None
    return replace(label_file(path, rows, issues), padded=confidences > 0)
