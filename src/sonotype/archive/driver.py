"""Work on an archive: do what is missing, and write what comes back.

One process writes. It can be killed at any moment: what was written and is not in the ledger is
removed at the next start, and what is not in the ledger is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from sonotype.archive.archive_options import ArchiveOptions
from sonotype.archive.ledger import NAME, ArchiveLedger, Finished, weight
from sonotype.archive.models import DetectTask, open_task
from sonotype.archive.parts import ROWS, SPOOL, PartWriter
from sonotype.archive.plan import make_units
from sonotype.archive.remote import address_of
from sonotype.archive.schemas import require_pyarrow
from sonotype.archive.scored import finish_scored
from sonotype.archive.sources import MISSING, SoundFile, list_sources
from sonotype.archive.start import (
    Comparison,
    Sources,
    check_facts,
    compare,
    plan,
    remove_empty,
    remove_unknown,
)
from sonotype.archive.tasks import Message, OpenTask, Row, Task, TaskSpec, Unit
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import atomic
from sonotype.core.progress import measure
from sonotype.detect.job_folder import locked, output_errors
from sonotype.detect.writers.event_rows import utf8_text
from sonotype.detect.writers.event_tables import csv_text

ERRORS = "errors.csv"
SHOWN_FAILURES = 3
IDLE_ROUNDS = 3
"""After so many rounds without a complete row, work ends with an error."""
LOST = (
    "its process ended while it was read, each time: it was killed, crashed, or the memory was full"
)

Messages = Generator[Message, None, None]
OnUnit = Callable[[Unit], None]
RunUnits = Callable[[TaskSpec, Iterable[Unit], OpenTask, OnUnit], Messages]
"""An engine: does units, calls a function before each, and gives their messages."""


@dataclass(frozen=True)
class ArchiveSummary:
    """What an archive holds.

    Attributes:
        files: number of recordings.
        seconds: of sound that was read.
        rows: number of rows (path, offset, duration) that this start did.
        failures: number of recordings with an error.
        first_failures: path and cause of some of them.
    """

    files: int
    seconds: float
    rows: int
    failures: int
    first_failures: tuple[tuple[Path, str], ...]


def run_archive(
    spec: TaskSpec,
    sources: Sources,
    folder: Path,
    options: ArchiveOptions,
    run_units: RunUnits,
    *,
    opener: OpenTask = open_task,
) -> ArchiveSummary:
    """Bring an archive up to date with its sources.

    Args:
        spec: what to do.
        sources: folders, patterns, tables and addresses.
        folder: of the archive: new, empty, or of an earlier start.
        options: how to work.
        run_units: the engine.
        opener: opens the models.

    Raises:
        MissingExtraError: pyarrow, or the part of fsspec for an address, is not installed.
        OptionsError: invalid sources; the folder has other files or other rows.
        SonotypeError: another start uses the folder, its ledger is damaged, the disk is full.
    """
    require_pyarrow()
    _check_sources(sources, folder)
    spec = replace(spec, folder=str(Path.cwd()))
    task = opener(replace(spec, device="cpu"))
    files = _outside(list_sources(sources, options.retries), folder)
    with (
        output_errors(folder),
        locked(folder, NAME, spec.verb),
        ArchiveLedger(folder / NAME) as ledger,
    ):
        check_facts(ledger, folder, task, spec.verb, sources, options)
        (folder / ROWS).mkdir(exist_ok=True)
        remove_unknown(folder, ledger)
        found = compare(folder, ledger, files, options)
        plan(ledger, found.new, task, options)
        job = _Job(folder, ledger, task, options)
        try:
            job.run(lambda units, on_unit: run_units(spec, units, opener, on_unit))
        finally:
            errors = _errors(ledger, found)
            _write_errors(folder, errors)
        remove_empty(folder / SPOOL)
        return _summary(ledger, job.done, errors)


class _Job:
    """Rounds of work until nothing is missing."""

    def __init__(
        self, folder: Path, ledger: ArchiveLedger, task: Task, options: ArchiveOptions
    ) -> None:
        self._folder, self._ledger, self._task = folder, ledger, task
        self._retries = options.retries
        self._alone: set[tuple[str, int]] = set()
        self.done = 0
        self._writer = PartWriter(
            folder, ledger, options.flush, self._committed, scores=isinstance(task, DetectTask)
        )

    def run(self, run_units: Callable[[Iterable[Unit], OnUnit], Messages]) -> None:
        """Do all rows.

        Raises:
            SonotypeError: nothing is done any more.
        """
        for path in self._ledger.scored():
            self._finish(path)
        idle = 0
        with measure("processing", self._ledger.pending_size()) as advance:
            size = 0.0
            while any(counts := self._ledger.pending_number()):
                before = self.done, len(self._alone)
                units = make_units(
                    self._ledger.pending(whole=True),
                    self._ledger.pending(whole=False),
                    ratio=counts[1] / max(counts[0], 1),
                    alone=lambda row: (row.path, row.number) in self._alone,
                )
                self._writer.begin_round()
                try:
                    with closing(run_units(units, self._writer.begin)) as messages:
                        for message in messages:
                            size += sum(map(weight, self._take(message)))
                            advance(size)
                finally:
                    self._writer.flush()
                idle = idle + 1 if before == (self.done, len(self._alone)) else 0
                if idle == IDLE_ROUNDS:
                    raise SonotypeError(
                        f"--out {self._folder}: {sum(counts)} rows cannot be done; start the same "
                        "command again, or use --engine local"
                    )

    def _take(self, message: Message) -> list[tuple[str, Row]]:
        """Take a message; partition and rows of a unit that it completes."""
        if message.kind == "lost":
            unit = self._writer.give_up(message.unit, f"{LOST} ({self._retries + 1} times)")
            if unit is not None and len(unit.rows) > 1:
                self._alone |= {(row.path, row.number) for row in unit.rows}
                return []
        else:
            unit = self._writer.add(message)
        return [] if unit is None else [(unit.partition, row) for row in unit.rows]

    def _committed(self, finished: list[Finished]) -> None:
        """Rows are done: find the events of recordings whose scores are complete."""
        self.done += len(finished)
        segments = {one.row.path for one in finished if one.row.kind == "segment"}
        for path in sorted(segments):
            if self._ledger.all_segments_done(path):
                self._finish(path)

    def _finish(self, path: str) -> None:
        if isinstance(self._task, DetectTask):
            finish_scored(self._folder, self._ledger, self._task, path)


def _check_sources(sources: Sources, folder: Path) -> None:
    """Refuse files in the folder of the archive, such as its table of errors.

    Raises:
        OptionsError: one is a source.
    """
    root = folder.resolve()
    for source in sources:
        place = Path(source)
        if address_of(source) is None and place.is_file() and place.resolve().is_relative_to(root):
            raise OptionsError(
                f"{source}: lies in --out {folder}; name recordings outside of it, and use "
                "--retry-errors to read those of its errors.csv again"
            )


def _outside(files: dict[str, SoundFile], folder: Path) -> dict[str, SoundFile]:
    """The sounds that do not lie in the folder of the archive.

    Raises:
        OptionsError: all of them do.
    """
    root = folder.resolve()
    found = {
        path: file
        for path, file in files.items()
        if file.stamp == MISSING
        or address_of(path)
        or not Path(path).resolve().is_relative_to(root)
    }
    if not found:
        raise OptionsError(f"no recordings outside of --out {folder}; name another folder")
    return found


def _errors(ledger: ArchiveLedger, found: Comparison) -> list[tuple[str, str]]:
    """Path and cause of recordings that could not be read or looked at, by path."""
    kept = (
        (path, f"{cause}; its rows of an earlier start stay") for path, cause in found.unchecked
    )
    return sorted({**dict(kept), **dict(ledger.errors())}.items())


def _write_errors(folder: Path, errors: list[tuple[str, str]]) -> None:
    """Write the table of errors; remove an old one if there are none now."""
    path = folder / ERRORS
    if not errors:
        with suppress(FileNotFoundError):
            path.unlink()
        return
    with atomic(path) as part:
        shown = [(utf8_text(name), cause) for name, cause in errors]
        text = csv_text([("path", "error"), *shown])
        part.write_text(text, encoding="utf-8", newline="")


def _summary(ledger: ArchiveLedger, done: int, errors: list[tuple[str, str]]) -> ArchiveSummary:
    files, seconds, _ = ledger.totals()
    first = tuple((Path(path), error) for path, error in errors[:SHOWN_FAILURES])
    return ArchiveSummary(files, seconds, done, len(errors), first)
