"""The ledger of a detection job: what was found in each recording, and which files belong to it.

It is an SQLite database. A recording is stored in one transaction, after its files were written, so
a job that is killed at any moment knows exactly which recordings are complete.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import starmap
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

from sonotype.core.database import Database, text_of
from sonotype.core.detections import DetectedEvent, DetectedRecording
from sonotype.core.errors import SonotypeError
from sonotype.core.json_text import json_text, json_value
from sonotype.detect.ledger_entry import Entry, Outputs, Stamp, number_of, require_labels

APPLICATION = 0x534F4E4F
"""Marks a database of this program in its header."""
VERSION = 1
TABLES = b""
"""Stands for a recording in the owners of files: the tables of all recordings."""

_SCHEMA = (
    """CREATE TABLE recordings (
        path BLOB PRIMARY KEY, size INTEGER NOT NULL, modified INTEGER NOT NULL,
        digest TEXT NOT NULL, error TEXT NOT NULL, seconds REAL NOT NULL, highest REAL NOT NULL,
        events TEXT NOT NULL, outputs TEXT NOT NULL, complete INTEGER NOT NULL
    )""",
    "CREATE TABLE files (name BLOB PRIMARY KEY, path BLOB NOT NULL)",
    "CREATE INDEX files_by_path ON files (path)",
)
_NOT_STORED_HERE = (ValueError, TypeError, KeyError)
"""Errors of reading JSON values that this program did not store."""


class Ledger:
    """A ledger in a file; a context manager.

    Args:
        path: of the file, which is created if it is missing or empty.
        classes: by digest of a detector the labels that its events can have; events of other
            detectors can have any.

    Raises:
        SonotypeError: it is damaged, of another program, or of a newer version.
    """

    def __init__(
        self, path: Path, classes: Mapping[str, Collection[str]] = MappingProxyType({})
    ) -> None:
        self._classes = classes
        self._database = Database(
            path, _SCHEMA, application=APPLICATION, version=VERSION,
            advice="to detect all recordings again",
        )  # fmt: skip

    def damaged(self) -> SonotypeError:
        """The error of a damaged ledger."""
        return self._database.damaged()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()

    def entry(self, path: Path) -> Entry | None:
        """The state of a recording; ``None`` if it is new."""
        rows = self._rows(
            "SELECT size, modified, digest, error != '', outputs, complete FROM recordings "
            "WHERE path = ?",
            _key(path),
        )
        if not rows:
            return None
        size, modified, digest, failed, text, complete = rows[0]
        try:
            outputs = Outputs.of(json_value(text, finite=True)) if text else None
        except _NOT_STORED_HERE as error:
            raise self._database.damaged() from error
        return Entry(Stamp(size, modified, digest), bool(failed), outputs, bool(complete))

    def recording(self, path: Path) -> DetectedRecording:
        """The result of a recording, under the path of the caller.

        Raises:
            KeyError: there is no result.
            SonotypeError: the result is damaged.
        """
        rows = self._rows(
            "SELECT seconds, events, highest, error, digest FROM recordings WHERE path = ?",
            _key(path),
        )
        if not rows:
            raise KeyError(path)
        seconds, stored, highest, error, digest = rows[0]
        try:
            found = tuple(starmap(_event, json_value(stored, finite=True)))
            seconds, highest = number_of(seconds), number_of(highest)
            if digest in self._classes:
                require_labels(found, self._classes[digest])
            return DetectedRecording(path, seconds, found, highest, str(error))
        except _NOT_STORED_HERE as damage:
            raise self._database.damaged() from damage

    def claim(self, path: Path, names: Iterable[str], *, new_result: bool) -> None:
        """Before its files are written: they belong to a recording, which is now incomplete.

        Args:
            path: of the recording.
            names: of the files. A recording that had one of them is incomplete, too.
            new_result: whether the files replace those of the stored result.
        """
        key = _key(path)
        with self._transaction():
            self._execute("UPDATE recordings SET complete = 0 WHERE path = ?", key)
            if new_result:
                self._execute("UPDATE recordings SET outputs = '' WHERE path = ?", key)
            for name in map(os.fsencode, names):
                self._execute(
                    "UPDATE recordings SET outputs = '', complete = 0 WHERE path IN "
                    "(SELECT path FROM files WHERE name = ? AND path != ?)", name, key,
                )  # fmt: skip
                self._execute("INSERT OR REPLACE INTO files VALUES (?, ?)", name, key)

    def store(
        self,
        recording: DetectedRecording,
        stamp: Stamp,
        outputs: Outputs,
        removed: Iterable[str] = (),
    ) -> None:
        """After its files were written: store a recording in place of its earlier result.

        Args:
            recording: the result.
            stamp: of the file before it was read.
            outputs: its files.
            removed: names of files that it no longer has.
        """
        events = [
            [
                float(event.start),
                float(event.end),
                event.label,
                float(event.score),
                event.low if event.low is None else float(event.low),
                event.high if event.high is None else float(event.high),
            ]
            for event in recording.events
        ]
        with self._transaction():
            self._execute(
                "INSERT OR REPLACE INTO recordings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
                _key(recording.path), stamp.size, stamp.modified, stamp.digest,
                text_of(recording.error), float(recording.seconds), float(recording.highest),
                json_text(events), json_text(outputs.__dict__),
            )  # fmt: skip
            for name in removed:
                self._execute("DELETE FROM files WHERE name = ?", os.fsencode(name))

    def own_tables(self, names: Iterable[str]) -> None:
        """Note that tables of all recordings are written."""
        with self._transaction():
            for name in map(os.fsencode, names):
                self._execute("INSERT OR IGNORE INTO files VALUES (?, ?)", name, TABLES)

    def files(self, path: Path | None) -> list[str]:
        """Names of the files of a recording, or of the tables, relative to the folder."""
        key = TABLES if path is None else _key(path)
        rows = self._rows("SELECT name FROM files WHERE path = ? ORDER BY name", key)
        return [self._database.file_name(name) for (name,) in rows]

    def others(self, paths: Iterable[Path]) -> list[Path]:
        """Absolute paths of the recordings that are not among the given ones."""
        known = set(map(_key, paths))
        rows = self._rows("SELECT path FROM recordings ORDER BY path")
        return [Path(self._database.path(path)) for (path,) in rows if path not in known]

    def remove(self, path: Path) -> None:
        """Forget a recording and its files."""
        with self._transaction():
            for table in ("recordings", "files"):
                self._execute(f"DELETE FROM {table} WHERE path = ?", _key(path))  # noqa: S608

    def _execute(self, statement: str, *values: Any) -> None:
        self._database.execute(statement, *values)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return self._database.rows(statement, *values)

    def _transaction(self) -> AbstractContextManager[None]:
        return self._database.transaction()


def _event(
    start: float, end: float, label: str, score: float, low: Any = None, high: Any = None
) -> DetectedEvent:
    """The event of stored values; a ``TypeError`` or ``ValueError`` for others."""
    if not isinstance(label, str):
        raise TypeError("a label is a text")
    low, high = (value if value is None else number_of(value) for value in (low, high))
    start, end, score = number_of(start), number_of(end), number_of(score)
    if end < start:
        raise ValueError("an event ends before it starts")
    return DetectedEvent(start, end, label, score, low, high)


def _key(path: Path) -> bytes:
    """The absolute path in bytes; a name may be invalid text."""
    return os.fsencode(os.path.abspath(path))  # noqa: PTH100 (keeps links)


def iterate(ledger: Ledger, paths: Iterable[Path]) -> Iterator[DetectedRecording]:
    """The results of recordings in the given order, one in memory at a time."""
    for path in paths:
        yield ledger.recording(path)
