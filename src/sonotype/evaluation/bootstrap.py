"""Percentile bootstrap of macro scores over whole recordings, without a loop over resamples.

Clips of one recording are alike, and so are the answers on them. What varies from one sample of
the world to another is therefore the recording, and recordings, not clips, are drawn with
replacement (the cluster bootstrap: Davison and Hinkley, "Bootstrap Methods and their Application",
1997, section 3.8; for classifiers, Ferrer and Riera, "Confidence Intervals for evaluation in
machine learning").

Derivation. Draw G of G groups with replacement and let m[g] be how often group g came up, so that
m ~ multinomial(G; 1/G, ..., 1/G). The confusion matrix of the resample is the sum over groups of
m[g] times the matrix of group g: a clip i counts w[i] = m[group of i] times. The scores need only
its diagonal and its margins, per class c:

    hits[c]      = sum of w[i] over clips with true = predicted = c
    support[c]   = sum of w[i] over clips with true = c
    predicted[c] = sum of w[i] over clips with predicted = c

    precision = hits / predicted (0 where nothing was predicted)    recall = hits / support
    F1 = 2 hits / (support + predicted)            accuracy = sum of hits / sum of support

A class without a true clip in a resample has no recall there; it is left out of that resample's
macro means, as a class without a true clip in the part is left out of the score itself.

Two things to know of the percentile interval. It knows only of the mistakes that it saw: with no
mistake at all it shrinks to a point, which says little (the text report says what is not ruled
out). And with few recordings a class the resampled macro scores lean low: on simulated answers
with 4 recordings for each of 50 classes, the 95 % interval of the macro F1 held the true figure in
91 % of the cases, that of the accuracy in 95 %.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

METRICS = ("accuracy", "precision", "recall", "f1")
"""Order of the last axis of :func:`resample`; all but accuracy are macro means."""

CONFIDENCE = 0.95
CHUNK = 2**21
"""Most weights held at once; 16 MiB as 64-bit floats, whatever the number of clips or classes."""

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.integer]


def draws(
    groups: int, resamples: int, seed: int, rows: int | None = None
) -> Iterator[npt.NDArray[np.int64]]:
    """Yield how often each group was drawn, as ``[at most rows, groups]`` counts.

    All in all there are ``resamples`` rows, the same ones however many come at a time.
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
        chunk: most weights held at once; no influence on the result.

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


def figures(true: IntArray, predicted: IntArray) -> FloatArray:
    """``[4]`` scores of the clips as they are, in the order of ``METRICS``."""
    classes = int(max(true.max(), predicted.max())) + 1
    scores: FloatArray = _scores(np.ones((1, len(true))), true, predicted, classes)[0]
    return scores


def _scores(weights: FloatArray, true: IntArray, predicted: IntArray, classes: int) -> FloatArray:
    """``[rows, 4]`` scores for ``[rows, n]`` weights of the clips."""
    right = true == predicted
    hits = _sum_by_class(weights[:, right], true[right], classes)
    support = _sum_by_class(weights, true, classes)
    claimed = _sum_by_class(weights, predicted, classes)
    present = support > 0
    # Counts are whole numbers: max(count, 1) only ever replaces a zero, below a zero.
    per_class = (
        hits / np.maximum(claimed, 1),
        hits / np.maximum(support, 1),
        2 * hits / np.maximum(support + claimed, 1),
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
