"""All rows of an archive in flat files, from which any row is read without decoding a part.

``vectors`` has the embeddings as float16 of length 1, ``rows`` a record of each row, and ``paths``
the paths of the recordings. Similarities of float16 vectors differ from those of float32 by about
0.00001.
"""

from __future__ import annotations

import mmap
import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import SonotypeError
from sonotype.search.manifest import IndexedPart, Manifest
from sonotype.search.parts import Batch, OpenPart, PartError

VECTORS, RECORDS, PATHS = KINDS = ("vectors", "rows", "paths")
RECORD = np.dtype([("start", "<f8"), ("end", "<f8"), ("path", "<u8"), ("length", "<u4")])
"""Start and end in seconds; place and number of bytes of the path."""
HALF = np.dtype("<f2")
TINY = 1e-12
MOST_ADVISED = 5000
"""Rows that the system is asked to read ahead; more are nearly all of the file."""

Vectors = npt.NDArray[np.float32]


def sizes(manifest: Manifest) -> dict[str, int]:
    """The bytes of each kind of file that the manifest counts."""
    return {
        VECTORS: manifest.rows * manifest.features * HALF.itemsize,
        RECORDS: manifest.rows * RECORD.itemsize,
        PATHS: manifest.path_bytes,
    }


def is_complete(folder: Path, manifest: Manifest) -> bool:
    """Whether the files have all bytes that the manifest counts."""
    try:
        return all(
            manifest.file(folder, kind).stat().st_size >= size
            for kind, size in sizes(manifest).items()
        )
    except OSError:
        return False


def unit_length(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Vectors ``[..., features]`` of length 1; those that are zero or not finite become zero."""
    x = np.asarray(vectors, dtype=np.float32)
    finite = np.isfinite(x).all(axis=-1, keepdims=True)
    x = np.where(finite, x, np.float32(0))
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), TINY))


class FlatWriter:
    """Appends parts to the files of an index, behind the bytes that its manifest counts.

    Attributes:
        manifest: with the parts that were added; to be written after :meth:`sync`.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.manifest = manifest
        self._files: dict[str, BinaryIO] = {}
        self._stack = ExitStack()
        for kind in KINDS:
            path = manifest.file(folder, kind)
            path.touch()
            self._files[kind] = self._stack.enter_context(path.open("r+b"))
        self._rewind()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def add(self, part: OpenPart) -> None:
        """Append the rows of a part.

        Raises:
            OSError: a file cannot be written.
            PartError: the part is damaged; nothing of it stays.
        """
        rows, size = 0, self.manifest.path_bytes
        known: dict[str, tuple[int, int]] = {}
        try:
            for batch in part.batches():
                size += self._append(batch, known, size)
                rows += len(batch.paths)
        except BaseException:
            self._rewind()
            raise
        added = IndexedPart(part.file, self.manifest.rows, rows)
        self.manifest = replace(
            self.manifest,
            rows=self.manifest.rows + rows,
            path_bytes=size,
            parts={**self.manifest.parts, part.file.name: added},
        )

    def sync(self) -> None:
        """Write everything to the disk."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def _append(self, batch: Batch, known: dict[str, tuple[int, int]], size: int) -> int:
        """Append rows, and return the number of bytes of new paths."""
        added = 0
        records = np.empty(len(batch.paths), dtype=RECORD)
        records["start"], records["end"] = batch.times.T
        if not np.isfinite(batch.times).all():
            raise PartError("has a start or an end that is not a finite number")
        if "" in batch.paths:
            raise PartError("has rows with an empty path")
        for path in dict.fromkeys(batch.paths):
            if path not in known:
                text = path.encode("utf-8", "surrogatepass")
                known[path] = size + added, len(text)
                added += self._files[PATHS].write(text)
        places = [known[path] for path in batch.paths]
        records["path"] = [place for place, _ in places]
        records["length"] = [length for _, length in places]
        self._files[RECORDS].write(records.tobytes())
        self._files[VECTORS].write(unit_length(batch.vectors).astype(HALF).tobytes())
        return added

    def _rewind(self) -> None:
        """Remove the bytes that the manifest does not count."""
        for kind, size in sizes(self.manifest).items():
            self._files[kind].seek(size)
            self._files[kind].truncate()


class FlatFiles:
    """The rows of an index, mapped into memory.

    Attributes:
        vectors: ``[rows, features]`` float16.
        records: ``[rows]`` of :data:`RECORD`.

    Raises:
        FileNotFoundError: the index was built again meanwhile.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        size = sizes(manifest)
        self._folder = folder
        self._mapped = {kind: _map(manifest.file(folder, kind), size[kind]) for kind in KINDS}
        vectors = np.frombuffer(self._mapped[VECTORS], HALF, manifest.rows * manifest.features)
        self.vectors = vectors.reshape(manifest.rows, manifest.features)
        self.records = np.frombuffer(self._mapped[RECORDS], RECORD, manifest.rows)

    def path(self, row: int) -> str:
        """Path of the recording of a row.

        Raises:
            SonotypeError: the files are damaged.
        """
        record = self.records[row]
        first = int(record["path"])
        text = self._mapped[PATHS][first : first + int(record["length"])]
        try:
            return text.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise SonotypeError(
                f"{self._folder}: is damaged; delete this folder to build the index again"
            ) from error

    def similarities(self, rows: npt.NDArray[np.int64], queries: Vectors) -> Vectors:
        """Cosines ``[rows, queries]`` of rows with queries ``[queries, features]`` of length 1."""
        self._read_ahead(rows)
        found = self.vectors[rows].astype(np.float32)
        return np.asarray(found @ queries.T)

    def _read_ahead(self, rows: npt.NDArray[np.int64]) -> None:
        """Let the system read some rows side by side: one after the other takes long on a disk."""
        size = self.vectors.shape[1] * HALF.itemsize
        if not hasattr(mmap, "MADV_WILLNEED") or len(rows) > MOST_ADVISED:
            return
        for first in (rows * size).tolist():
            start = first - first % mmap.PAGESIZE
            self._mapped[VECTORS].madvise(mmap.MADV_WILLNEED, start, first + size - start)


def _map(path: Path, size: int) -> mmap.mmap:
    """The first bytes of a file, mapped into memory."""
    with path.open("rb") as stream:
        return mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
