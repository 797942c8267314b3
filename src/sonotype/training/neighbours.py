"""Agreement of a clip's label with the labels of the nearest clips of other recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sonotype.core.types import IGNORE_INDEX

NEIGHBOURS = 10
REFERENCES = 20_000
"""Most clips that neighbours are taken from; further clips are left out at random."""
ROWS = 1024
"""Clips that are compared with all references at a time."""

Floats = npt.NDArray[np.floating]


def neighbour_agreement(
    embedding: Floats,
    target: npt.NDArray[np.integer],
    groups: Sequence[str],
    *,
    neighbours: int = NEIGHBOURS,
) -> npt.NDArray[np.float64]:
    """Share of the nearest clips of other recordings that have the label of a clip.

    Clips count by their cosine similarity, and not at all if it is negative.

    Args:
        embedding: ``[clips, features]``.
        target: ``[clips]`` class indices; clips with ``IGNORE_INDEX`` are not used.
        groups: the recording of each clip.
        neighbours: how many of the nearest clips count.

    Returns:
        ``[clips]`` from 0 to 1; NaN for clips without a label and without neighbours.
    """
    found = np.full(len(embedding), np.nan)
    labelled = np.flatnonzero(target != IGNORE_INDEX)
    references = labelled
    if len(labelled) > REFERENCES:
        references = np.random.default_rng(0).choice(labelled, REFERENCES, replace=False)
    length = np.linalg.norm(embedding, axis=1, keepdims=True)
    unit = embedding / np.maximum(length, np.finfo(np.float32).tiny)
    recording = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)[1]
    count = min(neighbours, len(references))
    for start in range(0, len(labelled) if count else 0, ROWS):
        rows = labelled[start : start + ROWS]
        similarity = unit[rows] @ unit[references].T
        similarity[recording[rows, None] == recording[references]] = 0
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        weight = np.maximum(np.take_along_axis(similarity, nearest, axis=1), 0)
        same = target[references[nearest]] == target[rows, None]
        total = weight.sum(axis=1)
        found[rows] = np.where(
            total > 0, (weight * same).sum(axis=1) / np.where(total > 0, total, 1), np.nan
        )
    return found
