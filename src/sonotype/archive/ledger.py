"""The ledger of an archive: which rows are done, and which Parquet files hold them.

It is an SQLite database. Rows are marked as done in the transaction that notes their Parquet files,
which were written before. So a file that the ledger does not know is of a killed start and is
removed, and a row is in the files exactly if it is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sonotype.archive.sources import SoundFile
from sonotype.archive.tasks import Row
from sonotype.core.database import Database, text_of

NAME = "archive.sqlite"
APPLICATION = 0x534F4E41
"""Marks a ledger of an archive in its header."""
VERSION = 1
PAGE = 1024
"""Rows that are read at once."""

_SCHEMA = (
    "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE files (
        path BLOB PRIMARY KEY, stamp TEXT NOT NULL, partition TEXT NOT NULL, cause TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE rows (
        path BLOB NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL, partition TEXT NOT NULL,
        row TEXT NOT NULL, done INTEGER NOT NULL, seconds REAL NOT NULL, error TEXT NOT NULL,
        PRIMARY KEY (path, kind, number)
    ) WITHOUT ROWID""",
    "CREATE INDEX pending ON rows (kind = 'file', partition, path, kind, number) WHERE done = 0",
    "CREATE TABLE parts (name TEXT PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE contents (
        path BLOB NOT NULL, part TEXT NOT NULL, PRIMARY KEY (path, part)
    ) WITHOUT ROWID""",
    "CREATE INDEX contents_by_part ON contents (part)",
)


@dataclass(frozen=True)
class Finished:
    """A row that is complete.

    Attributes:
        row: the row.
        seconds: of sound.
        error: why it could not be read to its end; empty if it was.
    """

    row: Row
    seconds: float
    error: str


Parts = Mapping[str, Iterable[str]]
"""By name of a Parquet file the paths of the recordings that it has rows of."""


class ArchiveLedger:
    """The ledger in a folder; a context manager.

    Raises:
        SonotypeError: it is damaged, of another program, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(
            path, _SCHEMA, application=APPLICATION, version=VERSION,
            advice="to process all recordings again",
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._database.close()

    def facts(self) -> dict[str, str]:
        """What all rows have in common: the task and the sources."""
        return dict(self._database.rows("SELECT name, value FROM facts"))

    def set_facts(self, facts: Mapping[str, str]) -> None:
        """Store the facts of a new archive."""
        with self._database.transaction():
            self._database.execute_many("INSERT INTO facts VALUES (?, ?)", facts.items())

    def stamps(self) -> dict[str, str]:
        """The stamp of each known file."""
        rows = self._database.rows("SELECT path, stamp FROM files")
        return {self._database.path(path): str(stamp) for path, stamp in rows}

    def add(self, planned: Sequence[tuple[SoundFile, str, Sequence[Row]]]) -> None:
        """Add files with their partitions and rows; files known to be unreadable have no rows."""
        with self._database.transaction():
            for file, partition, rows in planned:
                key = os.fsencode(file.path)
                self._database.execute(
                    "INSERT INTO files VALUES (?, ?, ?, ?)",
                    key, file.stamp, partition, text_of(file.cause),
                )  # fmt: skip
                self._insert(partition, rows)

    def _insert(self, partition: str, rows: Iterable[Row]) -> None:
        self._database.execute_many(
            "INSERT INTO rows VALUES (?, ?, ?, ?, ?, 0, 0, '')",
            [
                (os.fsencode(row.path), row.kind, row.number, partition, row.to_json())
                for row in rows
            ],
        )

    def pending_number(self) -> tuple[int, int]:
        """Number of rows to do: of whole files, and of parts of long recordings."""
        counts = dict(
            self._database.rows(
                "SELECT kind = 'file', COUNT(*) FROM rows WHERE done = 0 GROUP BY kind = 'file'"
            )
        )
        return counts.get(1, 0), counts.get(0, 0)

    def pending_size(self) -> float:
        """Bytes of sound of the rows to do, about."""
        return sum(map(weight, chain(self.pending(whole=True), self.pending(whole=False))))

    def pending(self, *, whole: bool) -> Iterator[Any]:
        """Partition and row of what is to be done; a few are in memory at a time.

        Args:
            whole: rows of whole files, ordered by partition; else the parts of long recordings,
                ordered so that the recordings take turns.
        """
        turn = "''" if whole else "printf('%012d', number)"
        order = f"{turn}, partition, path, kind, number"
        last: tuple[Any, ...] = ("", "", b"", "", -1)
        while True:
            rows = self._database.rows(
                f"SELECT {order}, row FROM rows WHERE done = 0 AND (kind = 'file') = ? "  # noqa: S608
                f"AND ({order}) > (?, ?, ?, ?, ?) ORDER BY {order} LIMIT {PAGE}",
                int(whole), *last,
            )  # fmt: skip
            for _, partition, _, _, _, text in rows:
                yield self._partition(partition), self._row(text)
            if len(rows) < PAGE:
                return
            last = tuple(rows[-1][:5])

    def commit(self, finished: Iterable[Finished], parts: Parts) -> None:
        """Mark rows as done, and note the Parquet files that hold them."""
        with self._database.transaction():
            self._note(parts)
            self._finish(finished)

    def _finish(self, finished: Iterable[Finished]) -> None:
        self._database.execute_many(
            "UPDATE rows SET done = 1, seconds = ?, error = ? "
            "WHERE path = ? AND kind = ? AND number = ?",
            [
                (
                    one.seconds, text_of(one.error), os.fsencode(one.row.path), one.row.kind,
                    one.row.number,
                )
                for one in finished
            ],
        )  # fmt: skip

    def _note(self, parts: Parts) -> None:
        for name, paths in parts.items():
            self._database.execute("INSERT INTO parts VALUES (?)", name)
            self._database.execute_many(
                "INSERT INTO contents VALUES (?, ?)",
                [(os.fsencode(path), name) for path in paths],
            )

    def scored(self) -> list[str]:
        """Recordings all of whose segments are done, and whose events are not known yet."""
        rows = self._database.rows(
            "SELECT path FROM rows WHERE kind = 'segment' GROUP BY path "
            "HAVING MIN(done) = 1 AND MAX(done) < 2 ORDER BY path"
        )
        return [self._database.path(path) for (path,) in rows]

    def all_segments_done(self, path: str) -> bool:
        """Whether all segments of a recording are done."""
        rows = self._database.rows(
            "SELECT 1 FROM rows WHERE path = ? AND kind = 'segment' AND done = 0 LIMIT 1",
            os.fsencode(path),
        )
        return not rows

    def segments(self, path: str) -> tuple[str, list[tuple[int, str]]]:
        """The partition of a recording, and number and error of its segments in order."""
        rows = self._database.rows(
            "SELECT partition, number, error FROM rows WHERE path = ? AND kind = 'segment' "
            "ORDER BY number",
            os.fsencode(path),
        )
        return self._partition(rows[0][0]), [(number, error) for _, number, error in rows]

    def size_of(self, path: str) -> int:
        """Bytes of a recording that is cut into segments."""
        rows = self._database.rows(
            "SELECT row FROM rows WHERE path = ? AND kind = 'segment' AND number = 0",
            os.fsencode(path),
        )
        if not rows:
            raise self._database.damaged()
        return self._row(rows[0][0]).size

    def parts_of(self, path: str) -> list[str]:
        """The Parquet files with rows or scores of a recording."""
        rows = self._database.rows(
            "SELECT part FROM contents WHERE path = ? ORDER BY part", os.fsencode(path)
        )
        return [self._database.file_name(part) for (part,) in rows]

    def replace_scores(self, path: str, partition: str, rows: Iterable[Row], parts: Parts) -> None:
        """The scores of a recording became events: forget their files, add rows or files."""
        key = os.fsencode(path)
        with self._database.transaction():
            for part in self.parts_of(path):
                self._remove_part(part)
            self._database.execute(
                "UPDATE rows SET done = 2 WHERE path = ? AND kind = 'segment'", key
            )
            self._insert(partition, rows)
            self._note(parts)

    def _remove_part(self, name: str) -> None:
        self._database.execute("DELETE FROM contents WHERE part = ?", name)
        self._database.execute("DELETE FROM parts WHERE name = ?", name)

    def parts(self) -> set[str]:
        """The names of all Parquet files."""
        rows = self._database.rows("SELECT name FROM parts")
        return {self._database.file_name(name) for (name,) in rows}

    def paths_in(self, part: str) -> list[str]:
        """The recordings with rows in a Parquet file."""
        rows = self._database.rows("SELECT path FROM contents WHERE part = ?", part)
        return [self._database.path(path) for (path,) in rows]

    def forget(self, paths: Iterable[str], replaced: Mapping[str, str | None]) -> None:
        """Forget recordings.

        Args:
            paths: of the recordings.
            replaced: by Parquet file that holds rows of them, the file without these rows, which
                was written before; ``None`` if no rows are left.
        """
        keys = [(os.fsencode(path),) for path in paths]
        with self._database.transaction():
            for table in ("files", "rows", "contents"):
                self._database.execute_many(f"DELETE FROM {table} WHERE path = ?", keys)  # noqa: S608
            for old, new in replaced.items():
                if new is not None:
                    self._database.execute("INSERT INTO parts VALUES (?)", new)
                    self._database.execute("UPDATE contents SET part = ? WHERE part = ?", new, old)
                self._remove_part(old)

    def errors(self) -> Iterator[tuple[str, str]]:
        """Path and first error of each recording with one, by path."""
        rows = self._database.rows(
            "SELECT path, error FROM (SELECT path, error, number FROM rows WHERE error != '' "
            "UNION ALL SELECT path, cause, 0 FROM files WHERE cause != '') ORDER BY path, number"
        )
        seen = None
        for path, error in rows:
            if path != seen:
                yield self._database.path(path), str(error)
            seen = path

    def totals(self) -> tuple[int, float, int]:
        """Number of recordings, seconds of sound that were read, and number of open rows."""
        [(files,)] = self._database.rows("SELECT COUNT(*) FROM files")
        [(seconds, rows)] = self._database.rows("SELECT TOTAL(seconds), TOTAL(done = 0) FROM rows")
        return int(files), float(seconds), int(rows)

    def _partition(self, value: Any) -> str:
        """The folder of a row's Parquet files."""
        return self._database.file_name(value) if value != "" else ""

    def _row(self, text: str) -> Row:
        try:
            return Row.from_json(text)
        except ValueError as error:
            raise self._database.damaged() from error


def weight(planned: tuple[str, Row]) -> float:
    """Bytes of sound of a row, about; for the progress."""
    row = planned[1]
    if row.kind == "frequencies":
        return 0.0
    if row.kind == "file" or not row.seconds:
        return float(max(row.size, 1))
    return max(row.size, 1) * ((row.duration or row.seconds - row.offset) / row.seconds)
