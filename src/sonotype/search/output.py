"""Write found windows into a folder: sound files, a table, and label files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sonotype.core.detections import DetectedEvent
from sonotype.core.io import write_text
from sonotype.core.text import align, clock
from sonotype.detect.output_names import Recording, name_recordings
from sonotype.detect.window_files import Window, clip_paths, write_windows
from sonotype.detect.writers.event_rows import number_text, score_text, utf8_text
from sonotype.detect.writers.event_tables import csv_text
from sonotype.search.nearest import Hit

TABLE = "found.csv"
COLUMNS = ("rank", "path", "start", "end", "label", "similarity", "clip")
"""A table of events for ``sonotype train``, too."""
SHOWN = 20
"""Windows in the table of a terminal."""
WIDTHS = (-4, 1, 50, -11, -12)
REMOTE = "is not on this computer; sounds are cut out of local recordings only"


def write_found(
    folder: Path, hits: Sequence[Hit], label: str, formats: Sequence[str], highest: float
) -> list[tuple[Path, str]]:
    """Write the clips of windows, their table, and label files in some formats.

    Args:
        folder: is created.
        hits: the most similar first.
        label: of all windows.
        formats: of label files, one file for each recording with a window.
        highest: highest frequency of the input of the model in Hz.

    Returns:
        the recordings of which clips are missing, and the causes.

    Raises:
        OSError: a file cannot be written.
        OptionsError: likewise, of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recordings = _recordings(hits)
    windows: list[Window] = [
        (recordings[hit.path], DetectedEvent(hit.start, hit.end, label, hit.similarity))
        for hit in hits
        if hit.path in recordings
    ]
    clips = clip_paths(windows)
    failures = write_windows(folder, clips, formats, highest)
    names = {(window[0].path, window[1].start): clip for window, clip in clips.items()}
    rows = [
        (
            str(rank),
            utf8_text(_absolute(hit.path)),
            number_text(hit.start),
            number_text(hit.end),
            utf8_text(label),
            score_text(hit.similarity),
            utf8_text(names.get((Path(hit.path), hit.start), "")),
        )
        for rank, hit in enumerate(hits, start=1)
    ]
    write_text(folder / TABLE, csv_text([COLUMNS, *rows]))
    remote = dict.fromkeys(hit.path for hit in hits if hit.path not in recordings)
    return [
        *((recording.path, _advice(recording.path, cause)) for recording, cause in failures),
        *((Path(path), REMOTE) for path in remote),
    ]


def table_lines(hits: Sequence[Hit]) -> list[str]:
    """The first windows as lines of at most 80 columns."""
    lines = [align(("", "", "recording", "start", "similarity"), *WIDTHS)]
    for rank, hit in enumerate(hits[:SHOWN], start=1):
        name = Path(hit.path).name
        cells = (str(rank), "", name, clock(hit.start), f"{hit.similarity:.3f}")
        lines.append(align(cells, *WIDTHS))
    return lines


def _recordings(hits: Sequence[Hit]) -> dict[str, Recording]:
    """The local recordings of some windows, with the names of their outputs."""
    paths = dict.fromkeys(hit.path for hit in hits if "://" not in hit.path)
    local = {path: Path(path) for path in paths}
    named = name_recordings(dict.fromkeys(local.values(), ""), list(local.values()))
    by_path = {recording.path: recording for recording in named}
    return {path: by_path[local[path]] for path in paths}


def _absolute(path: str) -> str:
    """The path as it is valid in any folder."""
    return path if "://" in path else os.path.abspath(path)  # noqa: PTH100 (keeps links)


def _advice(path: Path, cause: str) -> str:
    if path.is_absolute() or os.path.lexists(path):
        return cause
    return f"{cause}; the path is relative: start the search where sonotype embed was started"
