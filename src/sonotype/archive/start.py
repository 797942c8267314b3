"""The start of work on an archive: what the folder holds is compared with the sources.

Rows of files that changed or vanished are removed: their Parquet files are written again without
them, and the ledger takes the new files in place of the old ones in one transaction.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from sonotype.archive.archive_options import ArchiveOptions
from sonotype.archive.ledger import ArchiveLedger
from sonotype.archive.partitions import partition_of
from sonotype.archive.parts import OWN_NAME, ROWS, SPOOL, DamagedPartError, rewrite_part
from sonotype.archive.plan import plan_rows
from sonotype.archive.remote import address_of
from sonotype.archive.sources import UNKNOWN, SoundFile, below_unlisted
from sonotype.archive.tasks import Row, Task, Verb
from sonotype.core.errors import OptionsError
from sonotype.core.io import refuse_links
from sonotype.core.version import __version__
from sonotype.detect.writers.event_rows import utf8_text

PAGE = 500
"""Files that are added to the ledger at once."""

Item = TypeVar("Item")
Sources = Sequence[str | Path]


def check_facts(
    ledger: ArchiveLedger,
    folder: Path,
    task: Task,
    verb: Verb,
    sources: Sources,
    options: ArchiveOptions,
) -> None:
    """Compare what all rows depend on with the ledger, which takes it from the first start.

    More sources than before are accepted.

    Raises:
        OptionsError: the folder has rows of another command, model, or option, or the sources of an
            earlier start are not named.
    """
    wanted = {
        "verb": verb,
        "version": __version__,
        "digest": task.digest,
        "partition": options.partition,
        "segment": f"{options.segment:g}" if task.step is not None else "",
    }
    named = {utf8_text(f"source {_without_slash(source)}"): _absolute(source) for source in sources}
    known = ledger.facts()
    if not known:
        ledger.set_facts(wanted | named)
        return
    for name, what in (
        ("verb", f"rows of sonotype {known.get('verb')}"),
        ("version", f"rows that sonotype {known.get('version')} wrote, this is {__version__}"),
        ("digest", "rows of another model, or of other options such as --hop"),
        ("partition", f"rows divided by --partition {known.get('partition')}"),
        ("segment", f"rows of --segment {known.get('segment') or 600}"),
    ):
        if known.get(name, wanted[name]) != wanted[name]:
            raise OptionsError(f"--out {folder}: holds {what}; name another folder")
    before = {name: path for name, path in known.items() if name.startswith("source ")}
    for name, path in before.items():
        if named.get(name) != path:
            source = name.removeprefix("source ")
            raise OptionsError(
                f"--out {folder}: holds rows of {source}; name it as before, in {path}, or name "
                "another folder"
            )
    ledger.set_facts({name: path for name, path in named.items() if name not in before})


def _absolute(source: str | Path) -> str:
    """The place of a source, without stray bytes."""
    if address_of(source):
        return utf8_text(_without_slash(source))
    return utf8_text(os.path.abspath(source))  # noqa: PTH100 (keeps links)


def _without_slash(source: str | Path) -> str:
    address = address_of(source)
    return address.rstrip("/") if address else str(source)


LEVELS = 20
"""Of folders of partitions, at most."""


def remove_unknown(folder: Path, ledger: ArchiveLedger) -> None:
    """Remove the Parquet files of a killed start; forget recordings whose files were removed.

    Raises:
        OptionsError: there are links among the folders, which would lead to other archives.
    """
    known = ledger.parts()
    for root in (ROWS, SPOOL):
        refuse_links(folder / root, LEVELS)
        for path in sorted((folder / root).rglob("*.parquet")):
            own = OWN_NAME.fullmatch(path.name)
            if own and path.relative_to(folder).as_posix() not in known:
                path.unlink()
    gone = [name for name in known if not (folder / name).is_file()]
    if gone:
        forget(folder, ledger, {path for name in gone for path in ledger.paths_in(name)})
    remove_empty(folder / SPOOL)


def remove_empty(folder: Path) -> None:
    """Remove a folder, and the folders in it, if they hold nothing."""
    for path in sorted(folder.rglob("*"), reverse=True):
        with suppress(OSError):
            path.rmdir()
    with suppress(OSError):
        folder.rmdir()


def forget(folder: Path, ledger: ArchiveLedger, paths: set[str]) -> set[str]:
    """Remove all rows of some recordings from the Parquet files and from the ledger.

    Returns:
        these recordings, and others that are forgotten with them: of a Parquet file that is damaged
        or missing, and those whose paths have the same text in the rows.
    """
    forgotten: set[str] = set()
    replaced: dict[str, str | None] = {}
    following = set(paths)
    while following:
        forgotten |= following
        texts = set(map(utf8_text, forgotten))
        names = {name for path in following for name in ledger.parts_of(path)}
        more: set[str] = set()
        for name in sorted(names):
            others = set(ledger.paths_in(name)) - forgotten
            same = {path for path in others if utf8_text(path) in texts}
            if (old := replaced.pop(name, None)) is not None:
                (folder / old).unlink()  # it still has the rows that are forgotten now
            try:
                replaced[name] = rewrite_part(folder, name, texts) if others - same else None
            except DamagedPartError:
                replaced[name], same = None, others
            more |= same
        following = more
    if forgotten:
        ledger.forget(forgotten, replaced)
    for name in replaced:
        (folder / name).unlink(missing_ok=True)
    return forgotten


@dataclass(frozen=True)
class Comparison:
    """What the sources have and the ledger does not.

    Attributes:
        new: files to plan.
        unchecked: path and cause of known recordings that cannot be looked at now, as when a server
            does not answer; their rows stay.
    """

    new: list[SoundFile]
    unchecked: list[tuple[str, str]]


def compare(
    folder: Path, ledger: ArchiveLedger, files: dict[str, SoundFile], options: ArchiveOptions
) -> Comparison:
    """Forget the files that changed or vanished; find those that the ledger does not have now."""
    known = ledger.stamps()
    below = below_unlisted(files)

    def is_unknown(path: str) -> bool:
        file = files.get(path)
        return below(path) if file is None else file.stamp == UNKNOWN

    changed = {path for path, stamp in known.items() if _stamp(files.get(path)) != stamp}
    if options.retry_errors:
        changed |= {path for path, _ in ledger.errors()}
    gone = {path for path in changed if not is_unknown(path)}
    gone = forget(folder, ledger, gone)
    new = [file for path, file in files.items() if path not in known or path in gone]
    unchecked = [
        (path, file.cause)
        for path, file in files.items()
        if file.stamp == UNKNOWN and known.get(path, UNKNOWN) != UNKNOWN
    ]
    return Comparison(new, unchecked)


def _stamp(file: SoundFile | None) -> str | None:
    return None if file is None else file.stamp


def plan(
    ledger: ArchiveLedger, files: Iterable[SoundFile], task: Task, options: ArchiveOptions
) -> None:
    """Add files and their rows to the ledger."""

    def with_partition(
        planned: Iterable[tuple[SoundFile, list[Row]]],
    ) -> Iterator[tuple[SoundFile, str, list[Row]]]:
        for file, rows in planned:
            kind = options.partition
            yield file, partition_of(kind, file.name, file.prefix, file.modified), rows

    files = list(files)
    unreadable: list[tuple[SoundFile, list[Row]]] = [(file, []) for file in files if file.cause]
    readable = plan_rows((file for file in files if not file.cause), task, options.segment)
    for source in (unreadable, readable):
        rows = with_partition(source)
        while page := list(islice(rows, PAGE)):
            ledger.add(page)
