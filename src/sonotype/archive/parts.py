"""The Parquet files of an archive: written under temporary names, then renamed, then noted.

Results of many units go into one file. Those of a unit that is not complete are kept apart; a large
one is written while it comes, so that memory stays bounded.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from sonotype.archive.ledger import ArchiveLedger, Finished
from sonotype.archive.schemas import require_pyarrow
from sonotype.archive.tasks import Message, Unit, from_bytes, next_digest
from sonotype.core.io import NAME_CHARACTERS, PART, atomic, rename_synced

ROWS, SPOOL = "rows", "_spool"
"""Folders of the rows, and of the scores of recordings that are not complete."""
STEM = "part"
"""Beginning of the names of files with rows."""
LARGE = 32 << 20
"""Bytes of the results of a unit, or of several, that are kept in memory."""


OWN_NAME = re.compile(r"(part|\d{6})-[0-9a-f]{32}\.parquet")
"""Names of the files that this module writes; others belong to the user."""

Target = tuple[str, str]
"""A folder relative to the archive, and the beginning of a file name."""


@dataclass
class Arriving:
    """The results of a unit that is not complete.

    Attributes:
        unit: the unit.
        expected: number of its next message; an earlier one comes a second time.
        digest: of the messages before that one.
        early: messages that came before others.
        tables: the rows so far.
        size: of the tables in bytes.
        finished: rows of the unit that are complete.
        paths: recordings with rows in the tables.
        large: writes them, where they are large.
    """

    unit: Unit
    expected: int = 0
    digest: str = ""
    early: dict[int, Message] = field(default_factory=dict)
    tables: list[Any] = field(default_factory=list)
    size: int = 0
    finished: list[Finished] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    large: LargeFile | None = None

    def in_order(self, message: Message) -> list[Message]:
        """The messages that follow the last one; each is given once.

        Raises:
            DiffersError: one is of another try with another result.
        """
        if message.sequence >= self.expected:
            self.early[message.sequence] = message
        found = []
        while (following := self.early.pop(self.expected, None)) is not None:
            if following.before != self.digest:
                raise DiffersError
            self.expected, self.digest = self.expected + 1, next_digest(following)
            found.append(following)
        return found

    def discard(self) -> None:
        """Remove the file of a large result."""
        if self.large is not None:
            self.large.discard()


class DiffersError(Exception):
    """The second try of a unit gave other messages than the first one."""


class LargeFile:
    """A Parquet file that is written table by table; it is hidden until it is complete."""

    def __init__(self, folder: Path, stem: str, schema: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / part_name(stem)
        name = self.path.name[:NAME_CHARACTERS]
        self._part = folder / f".{name}.{uuid4().hex}{PART}"
        self._writer = require_pyarrow().parquet.ParquetWriter(
            self._part, schema, compression="zstd"
        )

    def add(self, tables: Iterable[Any]) -> None:
        """Write tables as row groups."""
        for table in tables:
            self._writer.write_table(table)

    def finish(self) -> None:
        """Give the file its name."""
        self._writer.close()
        rename_synced(self._part, self.path)

    def discard(self) -> None:
        """Remove the file."""
        self._writer.close()
        self._part.unlink(missing_ok=True)


class PartWriter:
    """Writes the results of units into Parquet files, and notes them in the ledger.

    Args:
        folder: of the archive.
        ledger: of the archive.
        flush_seconds: after which complete results are written.
        on_commit: is called after rows were marked as done.
        scores: whether the results of segments are scores, which become events later.
    """

    def __init__(
        self,
        folder: Path,
        ledger: ArchiveLedger,
        flush_seconds: float,
        on_commit: Callable[[list[Finished]], None],
        *,
        scores: bool,
    ) -> None:
        self._folder, self._ledger = folder, ledger
        self._seconds, self._on_commit = flush_seconds, on_commit
        self._scores = scores
        self._arriving: dict[int, Arriving] = {}
        self._done: set[int] = set()
        self._complete: dict[Target, list[Any]] = {}
        self._paths: dict[Target, set[str]] = {}
        self._parts: dict[str, set[str]] = {}
        self._finished: list[Finished] = []
        self._size, self._flushed = 0, monotonic()

    def begin(self, unit: Unit) -> None:
        """Expect messages of a unit."""
        self._arriving[unit.number] = Arriving(unit)

    def begin_round(self) -> None:
        """Forget what did not become complete; numbers of units begin anew."""
        for arriving in self._arriving.values():
            arriving.discard()
        self._arriving.clear()
        self._done.clear()

    def add(self, message: Message) -> Unit | None:
        """Take a message; the unit if it is complete now."""
        arriving = self._arriving.get(message.unit)
        if arriving is None or message.unit in self._done:
            return None  # the second result of a unit
        try:
            messages = arriving.in_order(message)
        except DiffersError:  # its rows stay open, for the next round
            del self._arriving[message.unit]
            arriving.discard()
            return None
        for one in messages:
            row = arriving.unit.rows[one.row]
            if one.kind == "piece":
                self._add_piece(arriving, row.path, one)
            elif one.kind == "row":
                arriving.finished.append(Finished(row, one.seconds, one.text))
            else:
                self._complete_unit(arriving)
                return arriving.unit
        return None

    def give_up(self, number: int, cause: str) -> Unit | None:
        """Drop a unit; of a single file, note the cause. The unit, if it was not complete."""
        arriving = self._arriving.pop(number, None)
        if arriving is None:
            return None
        arriving.discard()
        if len(arriving.unit.rows) == 1:
            self._finished.append(Finished(arriving.unit.rows[0], 0.0, cause))
        return arriving.unit

    def _target(self, unit: Unit) -> Target:
        row = unit.rows[0]
        if self._scores and row.kind == "segment":
            digest = hashlib.sha256(os.fsencode(row.path)).hexdigest()
            return f"{SPOOL}/{digest[:16]}", f"{row.number:06d}"
        return folder_of(unit.partition), STEM

    def _add_piece(self, arriving: Arriving, path: str, message: Message) -> None:
        arriving.tables.append(from_bytes(message.table))
        arriving.size += len(message.table)
        arriving.paths.add(path)
        if arriving.size > LARGE:
            if arriving.large is None:
                folder, stem = self._target(arriving.unit)
                schema = arriving.tables[0].schema
                arriving.large = LargeFile(self._folder / folder, stem, schema)
            arriving.large.add(arriving.tables)
            arriving.tables, arriving.size = [], 0

    def _complete_unit(self, arriving: Arriving) -> None:
        unit = arriving.unit
        del self._arriving[unit.number]
        self._done.add(unit.number)
        target = self._target(unit)
        self._finished += arriving.finished
        if arriving.large is not None:
            arriving.large.add(arriving.tables)
            arriving.large.finish()
            name = f"{target[0]}/{arriving.large.path.name}"
            self._parts[name] = arriving.paths
        elif arriving.tables:
            self._complete.setdefault(target, []).extend(arriving.tables)
            self._paths.setdefault(target, set()).update(arriving.paths)
            self._size += arriving.size
        if self._size > LARGE or monotonic() - self._flushed >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write all results of complete units, and mark their rows as done.

        Raises:
            OSError: a file cannot be written.
        """
        for target, tables in self._complete.items():
            name = write_part(self._folder, target, tables)
            self._parts[name] = self._paths[target]
        finished, parts = self._finished, self._parts
        if finished or parts:
            self._ledger.commit(finished, parts)
        self._complete, self._paths, self._parts, self._finished = {}, {}, {}, []
        self._size, self._flushed = 0, monotonic()
        self._on_commit(finished)


class DamagedPartError(Exception):
    """A Parquet file cannot be read."""


def folder_of(partition: str) -> str:
    """The folder of the rows of a partition, relative to the archive."""
    return f"{ROWS}/{partition}" if partition else ROWS


def part_name(stem: str) -> str:
    """A new, unique name of a Parquet file."""
    return f"{stem}-{uuid4().hex}.parquet"


def write_part(root: Path, target: Target, tables: list[Any]) -> str:
    """Write tables as one Parquet file, and return its name relative to the archive.

    Args:
        root: of the archive.
        target: folder, and beginning of the name.
        tables: with one schema.

    Raises:
        OSError: the file cannot be written.
    """
    arrow = require_pyarrow()
    folder, stem = target
    (root / folder).mkdir(parents=True, exist_ok=True)
    name = f"{folder}/{part_name(stem)}"
    with atomic(root / name) as part:
        arrow.parquet.write_table(arrow.concat_tables(tables), part, compression="zstd")
    return name


def rewrite_part(root: Path, name: str, paths: set[str]) -> str | None:
    """Write a Parquet file without the rows of some recordings; ``None`` if no row is left.

    Args:
        root: of the archive.
        name: of the file.
        paths: of the recordings, as in the rows.

    Raises:
        DamagedPartError: the file cannot be read.
    """
    arrow = require_pyarrow()
    try:
        with arrow.parquet.ParquetFile(root / name) as file:
            table = file.read()
        table.validate(full=True)
        gone = arrow.compute.is_in(table.column("path"), value_set=arrow.array(sorted(paths)))
    except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
        raise DamagedPartError from error
    kept = table.filter(arrow.compute.invert(gone))
    if not kept.num_rows:
        return None
    return write_part(root, (name.rpartition("/")[0], STEM), [kept])
