"""Files to which events are added as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from sonotype.core.detections import DetectedRecording
from sonotype.core.errors import OptionsError
from sonotype.core.json_text import json_text
from sonotype.detect.writers.audacity_labels import audacity_labels
from sonotype.detect.writers.event_rows import event_rows
from sonotype.detect.writers.event_tables import csv_header, csv_rows
from sonotype.detect.writers.kaleidoscope_csv import kaleidoscope_table
from sonotype.detect.writers.raven_selections import raven_table
from sonotype.live.reports import Report

Recordings = Iterable[DetectedRecording]

SUFFIXES = {
    "jsonl": ".jsonl",
    "csv": ".csv",
    "raven": ".Table.1.selections.txt",
    "kaleidoscope": ".kaleidoscope.csv",
    "audacity": ".audacity.txt",
}


def as_recording(report: Report, name: str, highest: float) -> DetectedRecording:
    """A recording of unknown length with this event, for the writers."""
    return DetectedRecording(Path(name), 0.0, (report.event,), highest)


def event_object(report: Report, name: str) -> dict[str, object]:
    """An event as JSON values: the row of the tables of detect, and when it began."""
    [row] = event_rows(as_recording(report, name, 0.0))
    return {"time": utc_text(report.time), "begins": report.begins, **row}


def json_line(report: Report, name: str) -> str:
    """An event as a line of JSON."""
    return json_text(event_object(report, name), ensure_ascii=False) + "\n"


def utc_text(seconds: float) -> str:
    """A time in seconds since 1970 as ISO 8601 in UTC, with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class EventFiles:
    """Files of a start in a folder; each event is added to all of them in whole lines.

    The names begin with the time of the start, so that several starts can use one folder.

    Args:
        folder: created if it does not exist.
        formats: of :data:`sonotype.live.live_options.FORMATS`.
        name: of the source.
        highest: highest frequency of the input of the models in Hz.

    Raises:
        OptionsError: the folder cannot be written.
    """

    def __init__(self, folder: Path, formats: Iterable[str], name: str, highest: float) -> None:
        self._name, self._highest = name, highest
        self._writers: list[tuple[FileIO, Callable[[Report], str]]] = []
        formats = list(formats)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stem = _free_stem(folder, [SUFFIXES[one] for one in formats])
            with ExitStack() as stack:
                for one in formats:
                    # Unbuffered: each write is one call, so a kill leaves whole lines.
                    file = stack.enter_context(FileIO(folder / (stem + SUFFIXES[one]), "x"))
                    first, text_of = self._text(one)
                    _write(file, first.encode())
                    self._writers.append((file, text_of))
                self._stack = stack.pop_all()
        except OSError as error:
            raise OptionsError(
                f"--out {folder}: cannot be written ({error.strerror}); name another folder"
            ) from None

    def add(self, report: Report) -> None:
        """Add an event.

        Raises:
            OSError: the disk is full, for example.
        """
        for file, text_of in self._writers:
            _write(file, text_of(report).encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def _text(self, table: str) -> tuple[str, Callable[[Report], str]]:
        """The text at the start of a file, and the function that gives that of an event."""

        def recording(report: Report) -> DetectedRecording:
            return as_recording(report, self._name, self._highest)

        if table == "jsonl":
            return "", lambda report: json_line(report, self._name)
        if table == "csv":
            return csv_header(), lambda report: csv_rows(recording(report))
        if table == "audacity":
            return "", lambda report: audacity_labels(recording(report))
        growing = _Growing(raven_table if table == "raven" else kaleidoscope_table)
        return growing.header, lambda report: growing.rows(recording(report))


def _write(file: FileIO, content: bytes) -> None:
    """Write all bytes at the end of a file, or none.

    A call writes fewer bytes if the disk fills up; the next one gives the error.
    """
    whole = file.tell()
    try:
        while content:
            content = content[file.write(content) :]
    except OSError:
        with suppress(OSError):
            file.truncate(whole)
        raise


class _Growing:
    """A table whose writer takes an iterator of recordings, fed with one recording at a time."""

    def __init__(self, table: Callable[[Recordings], Iterator[str]]) -> None:
        self._next: deque[DetectedRecording] = deque()
        self._texts = table(iter(self._next.popleft, None))
        self.header = next(self._texts)

    def rows(self, recording: DetectedRecording) -> str:
        """The lines of the next recording."""
        self._next.append(recording)
        return next(self._texts)


def _free_stem(folder: Path, suffixes: list[str]) -> str:
    """The time now as the beginning of names that are free."""
    start = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    number, stem = 1, start
    while any((folder / (stem + suffix)).exists() for suffix in suffixes):
        number += 1
        stem = f"{start}-{number}"
    return stem
