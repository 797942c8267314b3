"""A graph of near neighbours (HNSW, of usearch) over the rows of an index.

The graph holds the vectors as int8, each scaled by its own largest value, which the cosine does not
see; that takes half of the memory of float16, and half of the time to build. Its candidates are
compared again with the float16 vectors of the index.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.core.cpu import available_cpus
from sonotype.core.errors import MissingExtraError
from sonotype.core.io import atomic
from sonotype.search.flat_files import TINY, FlatFiles, Vectors
from sonotype.search.manifest import Graph, Manifest

CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 64, 512
"""Chosen by ``benchmarks/search.py``; ``docs/search.md`` has the figures."""
CHUNK = 8192
"""Rows that are added at once; Ctrl-C is noticed in between."""
ADVISED = 1 << 21
"""Bytes that the system is asked to read at once; it reads only the beginning of more."""
BYTES_PER_ROW = 160
"""Size of the links of a row, at most."""

Rows = npt.NDArray[np.int64]


class DamagedGraphError(Exception):
    """A file that is not the graph that the manifest describes."""


def new_graph(features: int) -> Any:
    """An empty graph.

    Raises:
        MissingExtraError: usearch is not installed.
    """
    try:
        from usearch.index import Index
    except ImportError as error:
        raise MissingExtraError("searching an archive", "search") from error
    return Index(
        ndim=features,
        metric="cos",
        dtype="i8",
        connectivity=CONNECTIVITY,
        expansion_add=EXPANSION_ADD,
        expansion_search=EXPANSION_SEARCH,
        enable_key_lookups=False,
    )


def graph_is_complete(folder: Path, manifest: Manifest) -> bool:
    """Whether the file of the graph has the size that the manifest states; true without a graph."""
    if manifest.graph is None:
        return True
    try:
        return (folder / manifest.graph.name).stat().st_size == manifest.graph.size
    except OSError:
        return False


def open_graph(folder: Path, manifest: Manifest, *, to_change: bool = False) -> Any:
    """The graph of an index, mapped into memory, or loaded into it to add rows.

    Raises:
        DamagedGraphError: the file is damaged.
        FileNotFoundError: the index was changed meanwhile.
        MissingExtraError: usearch is not installed.
    """
    found = new_graph(manifest.features)
    if manifest.graph is None:
        return found
    path = folder / manifest.graph.name
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "was removed", str(path))
    try:
        if to_change:
            found.load(path)
        else:
            _read_ahead(path)
            found.view(path)
    except RuntimeError as error:
        raise DamagedGraphError(f"{path.name} is damaged ({error})") from error
    if found.ndim != manifest.features or len(found) > manifest.graph.rows:
        raise DamagedGraphError(f"{path.name} belongs to another index")
    return found


def _read_ahead(path: Path) -> None:
    """Let the system read a file, while the model is loaded; a search reads it at random places."""
    if hasattr(os, "posix_fadvise"):
        Thread(target=_advise, args=(path,), daemon=True).start()


def _advise(path: Path) -> None:
    with suppress(OSError), path.open("rb") as stream:
        for first in range(0, path.stat().st_size, ADVISED):
            os.posix_fadvise(stream.fileno(), first, ADVISED, os.POSIX_FADV_WILLNEED)


def add_rows(graph: Any, flat: FlatFiles, live: npt.NDArray[np.bool_], first: int) -> Iterator[int]:
    """Add rows from ``first`` on to a graph; yields the first row that is not in it yet.

    Args:
        graph: is changed.
        flat: the rows.
        live: ``[rows]``; others are left out.
        first: row.
    """
    for start in range(first, len(live), CHUNK):
        end = min(start + CHUNK, len(live))
        keys = start + np.flatnonzero(live[start:end])
        if len(keys):
            vectors = scaled(flat.vectors[keys])
            graph.add(keys.astype(np.uint64), vectors, threads=available_cpus())
        yield end


def save_graph(graph: Any, folder: Path, name: str, rows: int) -> Graph:
    """Write a graph atomically.

    Raises:
        OSError: the file cannot be written.
    """
    path = folder / name
    with atomic(path) as part:
        try:
            graph.save(part)
        except RuntimeError as error:
            full = shutil.disk_usage(folder).free < graph.serialized_length
            number = errno.ENOSPC if full else errno.EIO
            raise OSError(number, "No space left on device" if full else str(error)) from error
    return Graph(name, rows, path.stat().st_size)


def candidates(graph: Any, query: Vectors, number: int) -> Rows:
    """The rows of a graph that are probably nearest to a query ``[features]``."""
    if not len(graph):
        return np.empty(0, dtype=np.int64)
    [vector] = scaled(query[None])
    return np.asarray(graph.search(vector, number, threads=1).keys.astype(np.int64))


def scaled(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.int8]:
    """Vectors ``[rows, features]`` as int8, each multiplied by its own factor."""
    x = vectors.astype(np.float32)
    largest = np.abs(x).max(axis=1, keepdims=True)
    return np.asarray(np.rint(x * (127 / np.maximum(largest, TINY))).astype(np.int8))
