"""An SQLite database of this program in a file: checked when opened, with clear errors."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sonotype.core.errors import SonotypeError
from sonotype.core.io import open_saved, refuse_link, stays_inside

_DAMAGED = (
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_ERROR,  # such as a table that is missing
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
)
_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
}

JOURNAL = "-journal"
BESIDE = (JOURNAL, "-wal", "-shm")
"""Ends of the names of the files that SQLite writes beside a database."""
SUPER_JOURNAL = bytes.fromhex("d9d505f920a163d7")
"""End of a journal that names a second journal, see https://www.sqlite.org/fileformat2.html. SQLite
removes the file of that name, anywhere. It is written where a transaction changes several
databases, which the statements of this program never do."""
OBJECTS = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"


class Database:
    """An open database.

    Args:
        path: of the file, which is created if it is missing or empty.
        schema: statements that create the tables.
        application: a number that marks databases of this kind in their header.
        version: of the schema.
        advice: what to do if the file is damaged.

    Raises:
        SonotypeError: it is damaged, of another program, or of another version, or has other
            tables than these, or views or triggers.
        OptionsError: the file is a link.
    """

    def __init__(
        self, path: Path, schema: Sequence[str], *, application: int, version: int, advice: str
    ) -> None:
        self._path, self._advice = path, advice
        for one in (path, *(path.with_name(path.name + suffix) for suffix in BESIDE)):
            refuse_link(one)
            if one.exists() and not one.is_file():  # SQLite waits for the writer of a named pipe
                raise self.damaged()
        if _has_super_journal(path.with_name(path.name + JOURNAL)):
            raise self.damaged()
        with self.clear_errors():
            self._database = sqlite3.connect(path, isolation_level=None)
            try:
                self._open(schema, application, version)
            except BaseException:
                self._database.close()
                raise

    def _open(self, schema: Sequence[str], application: int, version: int) -> None:
        self._database.execute("PRAGMA trusted_schema = OFF")
        objects = self.rows("SELECT count(*) FROM sqlite_master")[0][0]
        if self._pragma("application_id") == 0 and not objects:
            with self.transaction():
                for statement in schema:
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA application_id = {application}")
                self._database.execute(f"PRAGMA user_version = {version}")
        if self._pragma("application_id") != application:
            raise SonotypeError(f"{self._path}: is of another program; name another --out folder")
        if self._pragma("user_version") != version:
            raise SonotypeError(
                f"{self._path}: is of another version of sonotype; name another --out folder"
            )
        # A trigger or a view of someone else would be executed by the statements of this program.
        wanted = objects_of(schema)
        if objects > len(wanted) or self.rows(OBJECTS) != wanted:
            raise self.damaged()
        if self._pragma("quick_check(1)") != "ok":
            raise self.damaged()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def execute(self, statement: str, *values: Any) -> int:
        """Run a statement inside a transaction; the number of changed rows."""
        return self._database.execute(statement, values).rowcount

    def execute_many(self, statement: str, values: Any) -> None:
        """Run a statement inside a transaction for each of some tuples."""
        self._database.executemany(statement, values)

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """The rows of a query."""
        with self.clear_errors():
            return self._database.execute(statement, values).fetchall()

    def _pragma(self, name: str) -> Any:
        return self.rows(f"PRAGMA {name}")[0][0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements of the block, or none of them."""
        with self.clear_errors():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def clear_errors(self) -> Iterator[None]:
        """Turn errors of SQLite into an ``OSError`` with its number, or into a clear error."""
        try:
            yield
        except UnicodeDecodeError as error:  # a message that quotes damaged text
            raise self.damaged() from error
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED or "Could not decode to UTF-8" in str(error):
                raise self.damaged() from error
            raise OSError(_ERRNO.get(code, 0), str(error), str(self._path)) from error

    def path(self, value: Any) -> str:
        """A path that is stored as bytes.

        Raises:
            SonotypeError: the value is of another type.
        """
        if not isinstance(value, bytes):
            raise self.damaged()
        return os.fsdecode(value)

    def file_name(self, value: Any) -> str:
        """The name of a file in the folder of the database, stored as text or as bytes.

        Raises:
            SonotypeError: it would be outside of the folder; a file there is never changed.
        """
        name = value if isinstance(value, str) else self.path(value)
        if not stays_inside(name):
            raise self.damaged()
        return name

    def damaged(self) -> SonotypeError:
        """The error of a damaged file, which also names the remedy."""
        return SonotypeError(
            f"{self._path}: is damaged; {self._advice}, name another --out folder, "
            f"or remove {self._path.parent}"
        )


def _has_super_journal(journal: Path) -> bool:
    try:
        with open_saved(journal) as stream:
            stream.seek(-min(len(SUPER_JOURNAL), journal.stat().st_size), os.SEEK_END)
            return stream.read() == SUPER_JOURNAL
    except FileNotFoundError:
        return False


def objects_of(schema: Sequence[str]) -> list[Any]:
    """Type, name and text of all that the statements of a schema create."""
    database = sqlite3.connect(":memory:")
    try:
        for statement in schema:
            database.execute(statement)
        return database.execute(OBJECTS).fetchall()
    finally:
        database.close()


def text_of(text: str) -> str:
    """Text without the stray bytes that a database cannot store."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
