"""Write suggestions into a folder: sound files, a table, and label files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sonotype.core.detections import DetectedEvent
from sonotype.core.io import atomic
from sonotype.core.text import align, clock
from sonotype.detect.output_names import Recording
from sonotype.detect.window_files import clip_paths, write_windows
from sonotype.detect.writers.event_rows import number_text, score_text, utf8_text
from sonotype.detect.writers.event_tables import csv_text
from sonotype.suggest.candidates import Candidate
from sonotype.suggest.suggest import Suggestion

TABLE = "suggestions.csv"
COLUMNS = (
    "rank", "file", "start", "end", "label", "score", "second", "second_score", "uncertainty",
    "unknown_score", "similar", "reason", "clip",
)  # fmt: skip
SHOWN = 20
"""Suggestions in the table of a terminal."""
WIDTHS = (-3, 1, 19, -9, 1, 13, -5, 1, 13, -5)
"""Columns of that table; it has the reason in addition, in 10 more columns of 80."""


def write_suggestions(
    folder: Path,
    chosen: Sequence[Suggestion],
    recordings: Iterable[Recording],
    *,
    formats: Sequence[str] = (),
    highest: float = 0.0,
) -> list[tuple[Recording, str]]:
    """Write the clips of suggestions, their table, and label files in some formats.

    Args:
        folder: is created.
        chosen: the most useful first.
        recordings: with the names of their outputs.
        formats: of label files, one file for each recording with a suggestion.
        highest: highest frequency of the input of the model in Hz.

    Returns:
        the recordings of which clips are missing, because they changed since they were read, and
        the causes.

    Raises:
        OSError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    named = {recording.path: recording for recording in recordings}
    windows = [(named[one.candidate.recording], _event(one)) for one in chosen]
    clips = clip_paths(windows)
    failures = write_windows(folder, clips, formats, highest)
    rows = [
        _row(rank, one, clips[window])
        for rank, (one, window) in enumerate(zip(chosen, windows, strict=True), start=1)
    ]
    with atomic(folder / TABLE) as part:
        part.write_text(csv_text([COLUMNS, *rows]), encoding="utf-8")
    return failures


def table_lines(chosen: Sequence[Suggestion]) -> list[str]:
    """The first suggestions as lines of at most 80 columns."""
    head = ("", "", "recording", "start", "", "guess", "", "", "or", "", "  because")
    lines = [align(head, *WIDTHS, 10)]
    for rank, one in enumerate(chosen[:SHOWN], start=1):
        found = one.candidate
        second = f"{found.second_score:.2f}" if found.second else ""
        cells = (
            str(rank), "", found.recording.name, clock(found.start), "", found.label,
            f"{found.score:.2f}", "", found.second, second, f"  {one.reason}",
        )  # fmt: skip
        lines.append(align(cells, *WIDTHS, 10))
    return lines


def _event(suggestion: Suggestion) -> DetectedEvent:
    found: Candidate = suggestion.candidate
    return DetectedEvent(found.start, found.end, found.label, found.score)


def _row(rank: int, suggestion: Suggestion, clip: str) -> tuple[str, ...]:
    found = suggestion.candidate
    unknown = found.unknown_score
    return (
        str(rank),
        utf8_text(str(found.recording)),
        number_text(found.start),
        number_text(found.end),
        utf8_text(found.label),
        score_text(found.score),
        utf8_text(found.second),
        score_text(found.second_score) if found.second else "",
        score_text(found.uncertainty),
        "" if unknown is None else score_text(unknown),
        str(suggestion.similar),
        suggestion.reason,
        utf8_text(clip),
    )
