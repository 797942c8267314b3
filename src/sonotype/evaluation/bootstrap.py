"""Percentile bootstrap of macro scores over whole recordings, without a loop over resamples.

Clips of one recording are similar, and so are the predictions for them. The independent samples are
therefore the recordings, and recordings, not clips, are drawn with replacement (the cluster
bootstrap: Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8; for
classifiers, Ferrer and Riera, "Confidence Intervals for evaluation in machine learning").

Derivation. Draw G of G groups with replacement and let m[g] be the number of times that group g is
drawn: m ~ multinomial(G; 1/G, ..., 1/G). The confusion matrix of the resample is the sum over
groups of m[g] times the matrix of group g: a clip i counts w[i] = m[group of i] times. The scores
need only its diagonal and its margins, for each class c:

    hits[c]      = sum of w[i] over clips with true = predicted = c
    support[c]   = sum of w[i] over clips with true = c
    predicted[c] = sum of w[i] over clips with predicted = c

    precision = hits / predicted (0 if the class is never predicted)    recall = hits / support
    F1 = 2 hits / (support + predicted)            accuracy = sum of hits / sum of support

A class without a true clip in a resample has no recall there; it is excluded from that resample's
macro means, like a class without a true clip from the score itself.

Limits of the percentile interval. Without a single error it shrinks to a point, although a small
error rate is possible (the text report states which). With few recordings of a class the resampled
macro scores are biased low: in simulations with 4 recordings of each of 50 classes, the 95 %
interval contained the true macro F1 in 91 % of the cases, and the true accuracy in 95 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

METRICS = ("accuracy", "precision", "recall", "f1")
"""Order of the last axis of :func:`resample`; all but accuracy are macro means."""

CONFIDENCE = 0.95
CHUNK = 2**21
"""Largest number of weights in memory; 16 MiB as float64 for any number of clips or classes."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


def draws(
    groups: int, resamples: int, seed: int, rows: int | None = None
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield ``[at most rows, groups]`` numbers of times that each group is drawn.

    In total there are ``resamples`` rows; ``rows`` does not influence them.
    """
    generator = np.random.default_rng(seed)
    rows = rows or resamples
    even = np.full(groups, 1 / groups)
    for start in range(0, resamples, rows):
        yield generator.multinomial(groups, even, size=min(rows, resamples - start))


def resample(
    true: IntArray,
    predicted: IntArray,
    groups: Sequence[str],
    *,
    resamples: int,
    seed: int,
    chunk: int = CHUNK,
) -> FloatArray:
    """Scores of ``resamples`` draws of the groups.

    Args:
        true: ``[n]`` class indices.
        predicted: ``[n]`` class indices.
        groups: ``n`` names of the recordings.
        resamples: number of draws.
        seed: the same seed gives the same draws.
        chunk: largest number of weights in memory; no influence on the result.

    Shape:
        ``[resamples, 4]``, in the order of ``METRICS``.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    classes = int(max(true.max(), predicted.max())) + 1
    rows = max(1, chunk // max(len(true), classes))
    scores = [
        _scores(counts[:, group].astype(np.float64), true, predicted, classes)
        for counts in draws(len(names), resamples, seed, rows)
    ]
    return np.concatenate(scores)


def compute_metrics(true: IntArray, predicted: IntArray) -> FloatArray:
    """``[4]`` metrics without resampling, in the order of ``METRICS``."""
    classes = int(max(true.max(), predicted.max())) + 1
    scores: FloatArray = _scores(np.ones((1, len(true))), true, predicted, classes)[0]
    return scores


def _scores(weights: FloatArray, true: IntArray, predicted: IntArray, classes: int) -> FloatArray:
    """``[rows, 4]`` scores for ``[rows, n]`` weights of the clips."""
    right = true == predicted
    hits = _sum_by_class(weights[:, right], true[right], classes)
    support = _sum_by_class(weights, true, classes)
    claims = _sum_by_class(weights, predicted, classes)
    present = support > 0
    # Counts are integers: max(count, 1) only replaces a 0 whose numerator is 0 too.
    per_class = (
        hits / np.maximum(claims, 1),
        hits / np.maximum(support, 1),
        2 * hits / np.maximum(support + claims, 1),
    )
    accuracy = hits.sum(axis=1) / support.sum(axis=1)
    macro = [np.where(present, one, 0).sum(axis=1) / present.sum(axis=1) for one in per_class]
    return np.stack([accuracy, *macro], axis=1)


def _sum_by_class(weights: FloatArray, labels: IntArray, classes: int) -> FloatArray:
    """``[rows, classes]`` sums of ``[rows, n]`` weights over the clips of each class."""
    rows = len(weights)
    bins = np.arange(rows)[:, None] * classes + labels
    sums = np.bincount(bins.ravel(), weights.ravel(), minlength=rows * classes)
    return sums.astype(np.float64, copy=False).reshape(rows, classes)


def interval(values: FloatArray) -> FloatArray:
    """``[2, ...]`` lower and upper end of the 95 % percentile interval over the first axis."""
    tail = 100 * (1 - CONFIDENCE) / 2
    return np.asarray(np.percentile(values, [tail, 100 - tail], axis=0), dtype=np.float64)
