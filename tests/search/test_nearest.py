"""Searches of archives against a comparison of all rows, one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archives import Floats, Row, clustered, nearest, windows, write_part

from sonotype.search import graph, refresh
from sonotype.search import nearest as module
from sonotype.search.nearest import Hit, SearchableArchive, Wanted, open_archive


def archive_of(folder: Path, parts: dict[str, tuple[list[Row], Floats]]) -> SearchableArchive:
    for name, (rows, vectors) in parts.items():
        write_part(folder, name, rows, vectors)
    return open_archive(folder, lambda _: None)


def rows_of(hits: tuple[Hit, ...]) -> list[Row]:
    return [(hit.path, hit.start, hit.end) for hit in hits]


@pytest.fixture
def with_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small archives have a graph, which is built in several steps."""
    monkeypatch.setattr(refresh, "EXACT_ROWS", 100)
    monkeypatch.setattr(graph, "CHUNK", 700)


def two_parts() -> dict[str, tuple[list[Row], Floats]]:
    """40 recordings with windows that overlap, in two partitions."""
    parts = {}
    for number, name in enumerate(("site=a/part-0.parquet", "site=b/day=1/part-0.parquet")):
        rows = [
            row
            for recording in range(20)
            for row in windows(f"{name[5]}/Käfer {recording}.wav", 50, hop=0.5)
        ]
        parts[name] = rows, clustered(len(rows), seed=number)
    return parts


@pytest.mark.parametrize("count", [1, 50, 100])
def test_small_archives_are_searched_exactly(tmp_path: Path, count: int) -> None:
    parts = two_parts()
    archive = archive_of(tmp_path, parts)
    rows = [row for rows, _ in parts.values() for row in rows]
    vectors = np.concatenate([vectors for _, vectors in parts.values()])
    assert not list((tmp_path / "index").glob("*.usearch"))
    for query in clustered(3, seed=9):
        found = archive.search(query[None], Wanted(count))
        assert rows_of(found.hits) == nearest(rows, vectors, query, count)
        assert found.copies == 0


@pytest.mark.usefixtures("with_graph")
def test_the_graph_finds_what_a_comparison_finds(tmp_path: Path) -> None:
    parts = two_parts()
    archive = archive_of(tmp_path, parts)
    rows = [row for rows, _ in parts.values() for row in rows]
    vectors = np.concatenate([vectors for _, vectors in parts.values()])
    assert len(list((tmp_path / "index").glob("*.usearch"))) == 1
    shares = []
    for query in clustered(20, seed=9):
        expected = nearest(rows, vectors, query, 50)
        found = rows_of(archive.search(query[None], Wanted(50)).hits)
        shares.append(len(set(expected) & set(found)) / 50)
        exact = archive.search(query[None], Wanted(50, exact=True))
        assert rows_of(exact.hits) == expected
    assert np.mean(shares) >= 0.95


def test_similarities_are_cosines(tmp_path: Path) -> None:
    vectors = np.array([[3.0, 4.0], [0.0, -2.0], [0.0, 0.0], [np.nan, 1.0]])
    archive = archive_of(tmp_path, {"part-0.parquet": (windows("a.wav", 4), vectors)})
    found = archive.search(np.array([[0.0, 9.0]], np.float32), Wanted())
    by_start = {hit.start: hit.similarity for hit in found.hits}
    assert by_start == pytest.approx({0.0: 0.8, 1.0: -1.0, 2.0: 0.0, 3.0: 0.0}, abs=1e-3)
    few = archive.search(np.array([[0.0, 9.0]], np.float32), Wanted(min_similarity=0.5))
    assert [hit.start for hit in few.hits] == [0.0]


def test_copies_of_the_query_are_left_out_with_what_overlaps_them(tmp_path: Path) -> None:
    vectors = np.array([[1.0, 0.2], [1.0, 0.0], [1.0, 0.1], [1.0, 0.4]])
    rows = [("a.wav", start, start + 1) for start in (0.0, 0.5, 5.0, 9.0)]
    archive = archive_of(tmp_path, {"part-0.parquet": (rows, vectors)})
    query = np.array([[1.0, 0.0]], np.float32)
    found = archive.search(query, Wanted())
    assert ([hit.start for hit in found.hits], found.copies) == ([5.0, 9.0], 1)
    everything = archive.search(query, Wanted(keep_copies=True))
    assert ([hit.start for hit in everything.hits], everything.copies) == ([0.5, 5.0, 9.0], 0)


def test_several_queries_are_averaged_or_the_best_counts(tmp_path: Path) -> None:
    vectors = np.array([[1.0, 1.0, 0.0], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]])
    archive = archive_of(tmp_path, {"part-0.parquet": (windows("a.wav", 3), vectors)})
    queries = np.array([[5.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    mean = archive.search(queries, Wanted(1))
    best = archive.search(queries, Wanted(1, combine="best"))
    assert mean.hits[0].start == 0.0
    assert best.hits[0].start == 1.0
    assert best.hits[0].similarity == pytest.approx(1 / np.sqrt(1.01), abs=1e-3)


def test_many_overlapping_windows_do_not_hide_other_recordings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEAST_CANDIDATES", 4)
    near = np.tile([1.0, 0.0], (300, 1)) + np.linspace(0, 0.3, 300)[:, None] * [0, 1]
    other = np.array([[1.0, 0.5], [1.0, 0.6]])
    long = [("long.wav", index * 0.01, 10.0) for index in range(300)]
    parts = {
        "part-0.parquet": (long, near),
        "part-1.parquet": ([("b.wav", 0.0, 1.0), ("c.wav", 0.0, 1.0)], other),
    }
    found = archive_of(tmp_path, parts).search(
        np.array([[1.0, 0.1]], np.float32), Wanted(3, keep_copies=True)
    )
    assert [hit.path for hit in found.hits] == ["long.wav", "b.wav", "c.wav"]
