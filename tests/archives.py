"""Small archives of embeddings, as ``sonotype embed`` writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Floats = npt.NDArray[np.floating]
Row = tuple[str, float, float]
"""Recording, start and end."""

INFO: dict[str, Any] = {
    "command": "embed", "model": "builtin", "model_sha256": "0" * 64,
    "window_seconds": 1.0, "hop": 1.0,
}  # fmt: skip


def write_part(archive: Path, name: str, rows: Sequence[Row], vectors: Floats, **info: Any) -> Path:
    """A part of an archive; ``info`` replaces values of its metadata."""
    vectors = np.asarray(vectors, dtype=np.float32)
    values = pa.array(vectors.ravel(), pa.float32())
    columns = {
        "path": pa.array([path for path, _, _ in rows], pa.string()),
        "start": pa.array([start for _, start, _ in rows], pa.float64()),
        "end": pa.array([end for _, _, end in rows], pa.float64()),
        "embedding": pa.FixedSizeListArray.from_arrays(values, vectors.shape[1]),
    }
    metadata = {"sonotype": json.dumps(INFO | info)}
    path = archive / "rows" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(table, path, row_group_size=100)
    return path


def windows(recording: str, number: int, hop: float = 1.0, seconds: float = 1.0) -> list[Row]:
    """The rows of the windows of a recording."""
    return [(recording, index * hop, index * hop + seconds) for index in range(number)]


def nearest(rows: Sequence[Row], vectors: Floats, query: Floats, count: int) -> list[Row]:
    """The slow and obvious search: compare every row, and leave out what overlaps a better one.

    The index has vectors of float16; of nearly equal rows it could choose another one otherwise.
    """
    unit = np.asarray(vectors, np.float32)
    unit = (unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float16)
    similarity = unit.astype(np.float64) @ (query / np.linalg.norm(query))
    found: list[Row] = []
    for index in np.argsort(-similarity, kind="stable"):
        path, start, end = rows[index]
        if not any(path == p and start < e and s < end for p, s, e in found):
            found.append(rows[index])
        if len(found) == count:
            break
    return found


def clustered(number: int, features: int = 32, *, seed: int = 0) -> Floats:
    """Vectors in clusters, as those of sounds are."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(number // 50, 1), features))
    return centres[rng.integers(len(centres), size=number)] + 0.5 * rng.standard_normal(
        (number, features)
    )
