"""Write suggestions into a folder: sound files, a table, and label files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import AudioError
from sonotype.core.io import write_text
from sonotype.core.text import align, clock
from sonotype.detect.clips import clip_names, cut_clips
from sonotype.detect.output_names import Recording, label_folders
from sonotype.detect.tables import recording_files, write_recording_file
from sonotype.detect.writers.event_rows import number_text, score_text, utf8_text
from sonotype.detect.writers.event_tables import csv_text
from sonotype.suggest.candidates import Candidate
from sonotype.suggest.suggest import Suggestion

TABLE, CLIPS, LABELS = "suggestions.csv", "clips", "labels"
"""Names in the output folder."""
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
    by_recording: dict[Path, list[Suggestion]] = defaultdict(list)
    for one in chosen:
        by_recording[one.candidate.recording].append(one)
    folders = label_folders(sorted({one.candidate.label for one in chosen}))
    clips: dict[Suggestion, str] = {}
    failures = []
    for path, suggestions in by_recording.items():
        recording = named[path]
        spans = {}
        for one in suggestions:
            [(clip, span)] = clip_names([_event(one)], recording.clip_name, folders).items()
            clips[one] = f"{CLIPS}/{clip}"
            spans[folder / CLIPS / clip] = span
        try:
            cut_clips(path, spans, margin=0.0)
        except AudioError as error:
            failures.append((recording, error.cause))
        _write_labels(folder, recording, suggestions, formats, highest)
    rows = [_row(rank, one, clips[one]) for rank, one in enumerate(chosen, start=1)]
    write_text(folder / TABLE, csv_text([COLUMNS, *rows]))
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


def _write_labels(
    folder: Path,
    recording: Recording,
    suggestions: Iterable[Suggestion],
    formats: Sequence[str],
    highest: float,
) -> None:
    events = sorted(map(_event, suggestions), key=lambda event: event.start)
    labelled = DetectedRecording(recording.path, events[-1].end, tuple(events), highest)
    for name, text in recording_files(labelled, f"{LABELS}/{recording.name}", formats).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording_file(path, text, labelled)


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
