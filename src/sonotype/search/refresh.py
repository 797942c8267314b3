"""Bring the index of an archive up to date with its parts.

New parts are appended to the flat files, removed parts leave the manifest. A part that was written
again counts as both. Rows that are not in the graph are compared one by one in a search; once they
are many, the graph gets them. Each step ends with a new manifest, so a process that was killed
loses only the last one, and the next search goes on from there.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from sonotype.core.errors import SonotypeError
from sonotype.core.io import FORBIDDEN, FULL, open_saved, refuse_links, remove_parts
from sonotype.core.progress import OnMessage, measure
from sonotype.core.text import counted
from sonotype.search.flat_files import KINDS, FlatFiles, FlatWriter, is_complete
from sonotype.search.graph import (
    BYTES_PER_ROW,
    DamagedGraphError,
    add_rows,
    graph_is_complete,
    open_graph,
    save_graph,
)
from sonotype.search.manifest import (
    FOLDER,
    MANIFEST,
    Manifest,
    graph_name,
    new_manifest,
    read_manifest,
    write_manifest,
)
from sonotype.search.parts import ROWS, OpenPart, PartError, PartFile, list_parts

EXACT_ROWS = 50_000
"""Rows outside of the graph, at most; comparing them one by one takes about 0.03 s."""
MOST_DEAD = 0.25
"""Share of rows of removed parts from which the index is built again."""
COPY_SECONDS, GRAPH_SECONDS = 20, 120
"""Time after which a step of copying rows, or of building the graph, is completed."""
LOCK = "lock"


@dataclass(frozen=True)
class Failure:
    """A part that could not be read, and the cause."""

    name: str
    cause: str


@dataclass(frozen=True)
class Refreshed:
    """An index that is up to date, and the parts that it lacks because they cannot be read."""

    manifest: Manifest
    failures: tuple[Failure, ...] = ()


def refresh(archive: Path, on_message: OnMessage, *, from_zero: bool = False) -> Refreshed:
    """The index of an archive, brought up to date.

    Args:
        archive: the folder.
        on_message: is called with what takes long.
        from_zero: build it again.

    Raises:
        MissingExtraError: pyarrow or usearch is not installed.
        OptionsError: the folder is no archive.
        SonotypeError: there are no embeddings, or those of several models; the index cannot be
            written.
    """
    folder = archive / FOLDER
    manifest = read_manifest(folder)
    if not from_zero and manifest and _is_current(folder, manifest, list_parts(archive)):
        return Refreshed(manifest)
    list_parts(archive)  # no index is created beside other folders
    with index_errors(archive), _locked(folder, on_message):
        remove_parts(folder)
        manifest = None if from_zero else read_manifest(folder)
        if manifest and not is_complete(folder, manifest):
            on_message(f"{folder} is damaged; it is built again")
            manifest = None
        return _Refresh(archive, manifest, on_message).run()


def _is_current(folder: Path, manifest: Manifest, parts: list[PartFile]) -> bool:
    """Whether an index has all parts, and no others."""
    same = {part.name: part for part in parts} == {
        name: part.file for name, part in manifest.parts.items()
    }
    complete = is_complete(folder, manifest) and graph_is_complete(folder, manifest)
    return same and complete and 0 < manifest.rows <= manifest.tail + EXACT_ROWS


@contextmanager
def index_errors(archive: Path) -> Iterator[None]:
    """Turn errors of writing an index into a clear error.

    Raises:
        SonotypeError: names the folder, the cause and the remedy.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            advice = "free some space there, then start the same command again to resume"
        elif error.errno in FORBIDDEN:
            advice = "allow writing there, or copy the archive to a folder in which you may write"
        else:
            advice = "the archive itself is unchanged; delete this folder to build the index again"
        cause = error.strerror or str(error)
        raise SonotypeError(f"{archive / FOLDER}: cannot be written ({cause}); {advice}") from error


@contextmanager
def _locked(folder: Path, on_message: OnMessage) -> Iterator[None]:
    """Wait until no other process changes the index. The lock ends with the process."""
    refuse_links(folder)
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        on_message(f"another search builds {folder}; waiting until it ends")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Refresh:
    """The steps of :func:`refresh` under the lock."""

    def __init__(self, archive: Path, manifest: Manifest | None, on_message: OnMessage) -> None:
        self._archive, self._folder = archive, archive / FOLDER
        self._manifest = manifest
        self._on_message = on_message
        self._failures: list[Failure] = []

    def run(self) -> Refreshed:
        parts = list_parts(self._archive)
        if not parts:
            raise SonotypeError(
                f"{self._archive}: holds no embeddings yet; run sonotype embed, or wait until it "
                "has written its first part"
            )
        before = self._manifest
        manifest = self._without_removed(parts)
        if manifest and not graph_is_complete(self._folder, manifest):
            self._on_message(f"the graph in {self._folder} is damaged; it is built again")
            manifest = replace(manifest, graph=None)
        known = manifest.parts if manifest else {}
        new = [part for part in parts if part.name not in known]
        if new:
            manifest = self._add_parts(manifest, new)
        if manifest is None or not manifest.live_rows:
            raise SonotypeError(self._no_rows())
        if manifest != before:
            write_manifest(self._folder, manifest)
        if manifest.rows - manifest.tail > EXACT_ROWS:
            manifest = self._extend_graph(manifest)
        self._remove_others(manifest)
        return Refreshed(manifest, tuple(self._failures))

    def _no_rows(self) -> str:
        if self._failures:
            first = self._failures[0]
            return (
                f"{self._archive}: none of its {counted(len(self._failures), 'part')} can be read; "
                f"{ROWS}/{first.name} {first.cause}; write the archive again with sonotype embed"
            )
        return f"{self._archive}: its parts have no rows; embed recordings into it first"

    def _without_removed(self, parts: list[PartFile]) -> Manifest | None:
        """The manifest without removed and changed parts; ``None`` to build the index again."""
        if self._manifest is None:
            return None
        there = {part.name: part for part in parts}
        gone = {name for name, part in self._manifest.parts.items() if there.get(name) != part.file}
        kept = self._manifest.without(gone)
        dead = kept.rows - kept.live_rows
        if not kept.parts or dead > MOST_DEAD * kept.rows:
            return None
        return kept

    def _add_parts(self, manifest: Manifest | None, new: list[PartFile]) -> Manifest | None:
        """Append the rows of parts."""
        writer: FlatWriter | None = None
        done, saved = 0, time.monotonic()
        try:
            with measure("reading embeddings", sum(part.size for part in new)) as advance:
                for part in new:
                    writer = self._add_part(manifest, part, writer)
                    done += part.size
                    advance(done)
                    if writer and time.monotonic() - saved > COPY_SECONDS:
                        writer.sync()
                        write_manifest(self._folder, writer.manifest)
                        saved = time.monotonic()
            if writer:
                writer.sync()
            return writer.manifest if writer else manifest
        finally:
            if writer:
                writer.close()

    def _add_part(
        self, manifest: Manifest | None, part: PartFile, writer: FlatWriter | None
    ) -> FlatWriter | None:
        """Append the rows of a part; note it if it is damaged."""
        try:
            stream = open_saved(self._archive / ROWS / part.name)
        except FileNotFoundError:  # was removed meanwhile
            return writer
        except OSError as error:
            self._failures.append(Failure(part.name, f"cannot be opened: {error.strerror}"))
            return writer
        try:
            with stream:
                opened = OpenPart(self._archive, part.name, stream)
                manifest = writer.manifest if writer else manifest
                manifest = manifest or new_manifest(opened.info, opened.features)
                self._check_same_model(manifest, opened)
                writer = writer or FlatWriter(self._folder, manifest)
                writer.add(opened)
        except PartError as error:
            self._failures.append(Failure(part.name, str(error)))
        return writer

    def _check_same_model(self, manifest: Manifest, part: OpenPart) -> None:
        same = part.info.model_sha256 == manifest.info.model_sha256
        if not same or part.features != manifest.features:
            other = next(iter(manifest.parts), "")
            raise SonotypeError(
                f"{self._archive}: {ROWS}/{part.file.name} has embeddings of another model "
                f"({part.info.model}) than {ROWS}/{other} ({manifest.info.model}); their "
                "similarities mean nothing; keep the parts of one model"
            )

    def _extend_graph(self, manifest: Manifest) -> Manifest:
        """Add all rows to the graph."""
        self._require_space(manifest)
        try:
            graph = open_graph(self._folder, manifest, to_change=True)
        except DamagedGraphError as error:
            self._on_message(f"{self._folder}: {error}; the graph is built again")
            manifest = replace(manifest, graph=None)
            graph = open_graph(self._folder, manifest, to_change=True)
        flat, live = FlatFiles(self._folder, manifest), live_rows(manifest)
        saved = time.monotonic()
        number = counted(manifest.rows - manifest.tail, "window")
        self._on_message(f"adding {number} to {self._folder}; later searches use it")
        with measure("indexing embeddings", manifest.rows - manifest.tail) as advance:
            first = manifest.tail
            for end in add_rows(graph, flat, live, first):
                advance(end - first)
                if end == manifest.rows or time.monotonic() - saved > GRAPH_SECONDS:
                    name = graph_name(manifest.generation, end)
                    written = save_graph(graph, self._folder, name, end)
                    manifest = replace(manifest, graph=written)
                    write_manifest(self._folder, manifest)
                    self._remove_others(manifest)
                    saved = time.monotonic()
        return manifest

    def _require_space(self, manifest: Manifest) -> None:
        """Notice a disk that is too full before the graph is built for minutes."""
        size = manifest.rows * (manifest.features + BYTES_PER_ROW)
        if shutil.disk_usage(self._folder).free < size:
            raise OSError(errno.ENOSPC, f"the index needs {size / 1e6:.0f} MB")

    def _remove_others(self, manifest: Manifest) -> None:
        """Remove files of earlier generations, and earlier graphs."""
        kept = {manifest.file(self._folder, kind).name for kind in KINDS} | {MANIFEST, LOCK}
        if manifest.graph:
            kept.add(manifest.graph.name)
        for path in self._folder.iterdir():
            ours = path.name.startswith((*KINDS, "graph-"))
            if path.name not in kept and ours:
                with suppress(OSError):  # Windows does not remove files that a search maps
                    path.unlink()


def live_rows(manifest: Manifest) -> npt.NDArray[np.bool_]:
    """``[rows]``: whether the part of a row is in the archive."""
    live = np.zeros(manifest.rows, dtype=bool)
    for part in manifest.parts.values():
        live[part.first : part.first + part.rows] = True
    return live
