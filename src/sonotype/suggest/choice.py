"""Which sounds to label next: unsure ones that stand for many others and differ from each other.

The embeddings of all sounds are divided into as many clusters as there are sounds to choose, by
k-means in which a sound counts by how unsure the model is about it. Of each cluster the sound that
is nearest to its centre is chosen (after Zhdanov, *Diverse mini-batch active learning*, arXiv
1901.05954). Sounds that a model is equally unsure about are often alike, so that their labels say
the same thing; they fall into one cluster. The sound at its centre is typical, not an outlier.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from sonotype.core.types import Head

TINY = 1e-6
"""Least weight of a sound, and least length of an embedding."""

Floats = npt.NDArray[np.floating]
Blocked = Callable[[int], npt.NDArray[np.bool_]]
"""For a chosen sound, which sounds ``[sounds]`` cannot be chosen any more."""


class Choice(NamedTuple):
    """A chosen sound: its index, and the number of sounds in its cluster, itself included."""

    sound: int
    similar: int


def uncertainty(proba: Floats, head: Head) -> Floats:
    """How unsure a model is about each sound, from 0 to 1.

    Of a ``"single"`` head: one minus the difference between the two largest probabilities. Of a
    ``"multi"`` head: that of the class whose probability is nearest to its threshold; from 0 at the
    probabilities 0 and 1 it rises linearly to 1 at the threshold.

    Args:
        proba: ``[sounds, classes]``.
        head: of these classes.

    Shape:
        ``[sounds]``
    """
    if head.problem == "multi":
        limits = np.array(head.limits)
        below = proba / np.maximum(limits, TINY)
        above = (1 - proba) / np.maximum(1 - limits, TINY)
        return np.asarray(np.minimum(below, above).clip(0, 1).max(axis=1))
    if proba.shape[1] < 2:
        return np.asarray(1 - proba[:, 0])
    largest = np.sort(proba, axis=1)[:, -2:]
    return np.asarray(1 - (largest[:, 1] - largest[:, 0]))


def choose(
    embeddings: Floats,
    weights: Floats,
    number: int,
    *,
    blocked: Blocked | None = None,
    seed: int = 0,
) -> list[Choice]:
    """Choose sounds with large weights that differ from each other.

    Args:
        embeddings: ``[sounds, features]``.
        weights: ``[sounds]``, not negative.
        number: of sounds to choose; fewer are chosen if all others are blocked.
        blocked: excludes sounds, such as windows that overlap the chosen one; each sound
            excludes itself in any case.
        seed: of the first centres.

    Returns:
        the choices, that of the cluster with the largest total weight first.
    """
    unit = unit_length(embeddings)
    number = min(number, len(unit))
    weights = np.maximum(weights, TINY)
    means = KMeans(number, n_init=1, random_state=seed)
    with warnings.catch_warnings():
        # Equal sounds, such as digital silence, give fewer clusters.
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = means.fit(unit, sample_weight=weights).labels_
    total = np.bincount(clusters, weights, number)
    size = np.bincount(clusters, minlength=number)
    free = np.ones(len(unit), dtype=bool)
    choices: list[Choice] = []
    for cluster in np.argsort(-total, kind="stable"):
        if not free.any() or not size[cluster]:
            break
        distances = np.square(unit - means.cluster_centers_[cluster]).sum(axis=1)
        sound = int(np.where(free, distances, np.inf).argmin())
        choices.append(Choice(sound, int(size[cluster])))
        free[sound] = False
        if blocked is not None:
            free &= ~blocked(sound)
    return choices


def unit_length(embeddings: Floats) -> Floats:
    """Embeddings ``[sounds, features]`` divided by their lengths; zeros stay zeros."""
    length = np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.asarray(embeddings / np.maximum(length, TINY))
