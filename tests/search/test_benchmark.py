"""The benchmark of the search, in the small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from archives import clustered

from benchmarks.search import (
    COUNT,
    compare_settings,
    compose,
    exact_nearest,
    read_vectors,
    row_recall,
    timed,
    write_archive,
)
from sonotype.search.flat_files import unit_length
from sonotype.search.nearest import open_archive

FEATURES = 16


@pytest.fixture
def vectors(tmp_path: Path) -> np.ndarray:
    np.save(tmp_path / "0000.npy", unit_length(clustered(300, FEATURES)))
    return read_vectors(tmp_path, 500)


def test_the_archive_holds_the_embeddings_and_moved_copies(
    vectors: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.search.SECONDS", 2)
    assert vectors.shape == (500, FEATURES)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    write_archive(vectors, tmp_path / "archive")
    opened = open_archive(tmp_path / "archive", lambda _: None)
    assert opened.rows == 500
    queries = unit_length(clustered(3, FEATURES, seed=5))
    assert row_recall(opened, vectors, queries) >= 0.98
    assert timed(opened, queries[0], exact=True)[1] == timed(opened, queries[0], exact=False)[1]


def test_settings_are_compared(vectors: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    queries = unit_length(clustered(3, FEATURES, seed=5))
    expected = np.argsort(-(vectors @ queries[0]))[:COUNT]
    assert exact_nearest(vectors, queries[0], COUNT).tolist() == expected.tolist()
    compare_settings(vectors, queries)
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "i8 " in line]
    assert all(float(row[6]) > 0.9 for row in rows)


def test_recordings_are_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.search.SECONDS", 10)
    rng = np.random.default_rng(0)
    sound = compose([rng.standard_normal(16_000).astype(np.float32)], rng)
    assert sound.shape == (160_000,)
    assert np.isfinite(sound).all()
