"""The windows of an archive that are most similar to a query."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import MissingExtraError
from sonotype.core.progress import OnMessage
from sonotype.search.flat_files import HALF, FlatFiles, Vectors, unit_length
from sonotype.search.graph import DamagedGraphError, candidates, open_graph
from sonotype.search.manifest import FOLDER, Manifest, read_manifest
from sonotype.search.options import Combine
from sonotype.search.parts import ArchiveInfo, has_sound
from sonotype.search.refresh import Failure, live_rows, refresh

SAME = 0.9995
"""Similarity from which a window is a copy of the query. A copy of 16 bits has 0.9999 or more; of
1,600 different clips of ESC-50, the most similar two have 0.995."""
LEAST_CANDIDATES, MOST_CANDIDATES = 200, 10_000
"""Of the graph; if more are needed, all rows are compared."""
ATTEMPTS = 5

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hit:
    """A window that is similar to the query.

    Attributes:
        path: of the recording; relative only if the archive does not say to which folder.
        start: in seconds.
        end: in seconds.
        similarity: cosine of the embeddings, at most 1.
    """

    path: str
    start: float
    end: float
    similarity: float


@dataclass(frozen=True)
class Wanted:
    """Which windows are searched.

    Attributes:
        count: at most so many.
        combine: ``"mean"`` compares with the mean of the query's embeddings, ``"best"`` with each.
        min_similarity: lowest similarity.
        keep_copies: do not leave out copies of the query.
        exact: compare all rows, without the graph.
    """

    count: int = 50
    combine: Combine = "mean"
    min_similarity: float = -1.0
    keep_copies: bool = False
    exact: bool = False


@dataclass(frozen=True)
class Found:
    """The windows that are most similar, best first, and the number of copies left out."""

    hits: tuple[Hit, ...]
    copies: int


class SearchableArchive:
    """An archive with an open index.

    Attributes:
        info: about its embeddings.
        rows: number of windows.
        features: length of an embedding.
        failures: parts that are not searched because they cannot be read.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, failures: tuple[Failure, ...] = ()
    ) -> None:
        self.info: ArchiveInfo = manifest.info
        self.rows, self.features = manifest.live_rows, manifest.features
        self.failures = failures
        self._manifest = manifest
        self._flat = FlatFiles(folder, manifest)
        self._graph = open_graph(folder, manifest) if manifest.graph else None
        self._live = live_rows(manifest)

    def search(self, query: Vectors, wanted: Wanted) -> Found:
        """The windows that are most similar to a query; those that overlap count once.

        Args:
            query: ``[windows, features]`` embeddings of the query.
            wanted: which windows are searched.
        """
        single = unit_length(query)
        query = single
        if wanted.combine == "mean":
            query = unit_length(single.mean(axis=0, keepdims=True))
        number = max(LEAST_CANDIDATES, 4 * wanted.count)
        while True:
            rows, complete_from = self._candidates(query, number, wanted)
            similarity = self._flat.similarities(rows, query).max(axis=1, initial=-1.0)
            order = np.argsort(-similarity, kind="stable")
            order = order[similarity[order] >= max(complete_from, wanted.min_similarity)]
            found = self._choose(rows[order], similarity[order], single, wanted)
            if len(found.hits) >= wanted.count or complete_from <= wanted.min_similarity:
                return found
            number *= 4

    def nearest_rows(self, query: Vectors, number: int) -> Rows:
        """The rows that are most similar to any of some queries, overlapping ones included."""
        query = unit_length(query)
        rows, _ = self._candidates(query, max(LEAST_CANDIDATES, 4 * number), Wanted())
        similarity = self._flat.similarities(rows, query).max(axis=1, initial=-1.0)
        return np.asarray(rows[np.argsort(-similarity, kind="stable")[:number]])

    def _candidates(self, query: Vectors, number: int, wanted: Wanted) -> tuple[Rows, float]:
        """Rows that may be nearest, and the similarity down to which none is missing.

        Each list of candidates is complete down to its last row, or as a whole if it is shorter
        than it may be.
        """
        lists: list[Rows] = []
        complete_from = -1.0
        by_graph = self._graph is not None and not wanted.exact and number < MOST_CANDIDATES
        for one in query:
            found = [self._compared(one, number, self._manifest.tail if by_graph else 0)]
            if by_graph:
                found.append(candidates(self._graph, one, number))
            for rows in found:
                if len(rows) >= number:
                    lowest = float(self._flat.similarities(rows, one[None]).min())
                    complete_from = max(complete_from, lowest)
            lists += found
        rows = np.unique(np.concatenate(lists))
        rows = rows[(rows >= 0) & (rows < self._manifest.rows)]  # a damaged graph has others
        return rows[self._live[rows]], complete_from

    def _compared(self, query: Vectors, number: int, first: int) -> Rows:
        """The rows from ``first`` on that are nearest to a query, by comparing all of them."""
        vectors = self._flat.vectors[first:]
        if not len(vectors):
            return np.empty(0, dtype=np.int64)
        found = _exact_search()(
            vectors, query.astype(HALF), min(number, len(vectors)), "cos", exact=True
        )
        return np.asarray(first + found.keys.astype(np.int64))

    def _choose(self, rows: Rows, similarity: Vectors, single: Vectors, wanted: Wanted) -> Found:
        """Take rows in order, without those of little sound and those that overlap a taken row."""
        copies = self._flat.similarities(rows, single).max(axis=1, initial=-1.0) >= SAME
        taken: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        hits: list[Hit] = []
        left_out = 0
        for row, value, copy in zip(rows.tolist(), similarity.tolist(), copies, strict=True):
            if len(hits) == wanted.count:
                break
            record = self._flat.records[row]
            path, start, end = self._flat.path(row), float(record["start"]), float(record["end"])
            if not has_sound(start, end - start, self.info.window_seconds):
                continue
            if any(start < other[1] and other[0] < end for other in taken[path]):
                continue
            taken[path].append((start, end))
            if copy and not wanted.keep_copies:
                left_out += 1
            else:
                hits.append(Hit(path, start, end, min(value, 1.0)))
        return Found(tuple(hits), left_out)


def _exact_search() -> Any:
    try:
        from usearch.index import search
    except ImportError as error:
        raise MissingExtraError("searching an archive", "search") from error
    return search


def open_archive(archive: Path, on_message: OnMessage) -> SearchableArchive:
    """Open an archive for searches; its index is built or brought up to date before.

    Args:
        archive: the folder.
        on_message: is called with what takes long.

    Raises:
        MissingExtraError: pyarrow or usearch is not installed.
        OptionsError: the folder is no archive.
        SonotypeError: there are no embeddings; the index cannot be written.
    """
    folder = archive / FOLDER
    refreshed = refresh(archive, on_message)
    for _ in range(ATTEMPTS):
        try:
            manifest = read_manifest(folder) or refreshed.manifest
            return SearchableArchive(folder, manifest, refreshed.failures)
        except DamagedGraphError as error:
            on_message(f"{folder}: {error}; it is built again")
            refreshed = refresh(archive, on_message, from_zero=True)
        except FileNotFoundError:  # another search has just replaced the files
            refreshed = refresh(archive, on_message)
    return SearchableArchive(folder, refreshed.manifest, refreshed.failures)
