"""Tables of the events of all recordings of a job, and files for each recording."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from sonotype.core.detections import DetectedRecording
from sonotype.core.errors import MissingExtraError
from sonotype.core.io import atomic, open_without_waiting, refuse_link
from sonotype.detect.writers.event_tables import csv_header, csv_rows, json_lines
from sonotype.detect.writers.kaleidoscope_csv import kaleidoscope_table
from sonotype.detect.writers.label_files import LABEL_FORMATS, has_label_file, label_file
from sonotype.detect.writers.parquet_table import write_parquet
from sonotype.detect.writers.raven_selections import raven_table

TABLE_NAMES = {
    "csv": "events.csv",
    "jsonl": "events.jsonl",
    "parquet": "events.parquet",
    "raven": "events.selections.txt",
    "kaleidoscope": "events.kaleidoscope.csv",
}
"""File names of the tables of all recordings, by format."""

GROWING = ("csv", "jsonl")
"""Tables to which each recording is added at once; the others are written at the end."""


def write_table(path: Path, table_format: str, recordings: Iterable[DetectedRecording]) -> None:
    """Write a table of recordings atomically; they are read one by one.

    Raises:
        OSError: the file cannot be written.
        OptionsError: likewise, of a Parquet table.
    """
    if table_format == "parquet":
        write_parquet(path, recordings)
        return
    with atomic(path) as part, _text_file(part, "w") as stream:
        stream.writelines(_texts(table_format, recordings))


def require_parquet() -> None:
    """Check that Parquet can be written, before anything is computed.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("--format parquet", "parquet") from error


class GrowingTables:
    """Tables in some formats of a folder, to which recordings are added."""

    def __init__(self, streams: Sequence[tuple[str, TextIO]]) -> None:
        self._streams = streams

    def add(self, recording: DetectedRecording) -> None:
        """Add the rows of a recording to all tables, and flush."""
        for table_format, stream in self._streams:
            stream.write(_rows(table_format, recording))
            stream.flush()


@contextmanager
def growing_tables(folder: Path, formats: Iterable[str]) -> Iterator[GrowingTables]:
    """Open the tables that grow, which exist.

    Raises:
        OptionsError: one is a link.
        OSError: one cannot be written, or is a named pipe.
    """
    chosen = {name: folder / TABLE_NAMES[name] for name in formats if name in GROWING}
    for path in chosen.values():
        refuse_link(path)
    with ExitStack() as stack:
        yield GrowingTables(
            [(name, stack.enter_context(_text_file(path, "a"))) for name, path in chosen.items()]
        )


def recording_files(
    recording: DetectedRecording, name: str, formats: Iterable[str]
) -> dict[str, str | None]:
    """The files of one recording and their texts, such as ``site/night.wav.audacity.txt``.

    A recording that could not be read has no label file. The text of a Parquet file is ``None``.
    """
    files: dict[str, str | None] = {}
    for table_format in formats:
        if table_format not in LABEL_FORMATS:
            texts = None if table_format == "parquet" else _texts(table_format, [recording])
            files[f"{name}.{table_format}"] = None if texts is None else "".join(texts)
        elif has_label_file(recording):
            suffix, text = label_file(recording, table_format)
            files[name + suffix] = text
    return files


def write_recording_file(path: Path, text: str | None, recording: DetectedRecording) -> None:
    """Write a file of :func:`recording_files` atomically.

    Raises:
        OSError: the file cannot be written.
        OptionsError: likewise, of a Parquet table.
    """
    if text is None:
        write_parquet(path, [recording])
        return
    with atomic(path) as part, _text_file(part, "w") as stream:
        stream.write(text)


def _texts(table_format: str, recordings: Iterable[DetectedRecording]) -> Iterator[str]:
    if table_format == "raven":
        yield from raven_table(recordings)
    elif table_format == "kaleidoscope":
        yield from kaleidoscope_table(recordings)
    else:
        if table_format == "csv":
            yield csv_header()
        for recording in recordings:
            yield _rows(table_format, recording)


def _rows(table_format: str, recording: DetectedRecording) -> str:
    return csv_rows(recording) if table_format == "csv" else json_lines(recording)


def _text_file(path: Path, mode: str) -> TextIO:
    # A file name that is not UTF-8 must not stop a job of hours: it is written with escapes.
    return open(  # type: ignore[return-value]
        path, mode, newline="", encoding="utf-8", errors="backslashreplace",
        opener=open_without_waiting,
    )  # fmt: skip
