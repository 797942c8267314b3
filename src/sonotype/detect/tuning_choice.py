"""Which thresholds are best, from the counts of events at every threshold.

:mod:`sonotype.detect.tuning` explains the choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sonotype.core.event_matching import IntArray
from sonotype.detect.filters import FloatArray
from sonotype.detect.tuning_counts import ALARMS, FOUND, RIGHT, TRUE

Indices = npt.NDArray[np.intp]

MARGIN = 0.03
"""By which the F1 of other options must be higher: the usual error of the difference for 20
recordings."""
PRIOR = 32
"""Number of events over all classes that count as events of each class."""
LIMIT_SHARE = 0.5
"""Share of the limit on false alarms that must be met: other recordings have more alarms."""
LIMIT_STEPS = 2
"""For the same reason the limit must be met at thresholds this number of steps lower."""
COSTS = (0.0, *np.geomspace(0.02, 1000, 80).tolist())


def clearly_best(counts: Sequence[IntArray]) -> int:
    """Index of the options with the highest F1 if it is clearly above that of the first."""
    best = [_f1(_smooth(one).sum(axis=0)).max().item() for one in counts]
    highest = int(np.argmax(best))
    return highest if best[highest] > best[0] + MARGIN else 0


def choose_thresholds(counts: IntArray, prior: float | None, allowed: float) -> Indices:
    """``[classes]`` indices of the thresholds; one for all if there is no prior.

    Args:
        counts: ``[classes, thresholds, 4]``.
        prior: number of events, distributed like those of all classes, added to each class.
        allowed: most false alarms in all recordings together.
    """
    alarms = counts[:, :, ALARMS]
    counts = counts.copy()
    counts[:, :LIMIT_STEPS, ALARMS] = alarms[:, :1]
    counts[:, LIMIT_STEPS:, ALARMS] = alarms[:, :-LIMIT_STEPS]
    smooth = _smooth(counts)
    total = smooth.sum(axis=0)
    f1 = _f1(total).max()
    if prior is None:
        shared = np.broadcast_to(total, smooth.shape)
    else:
        shared = smooth + prior / total[0, TRUE] * total
    chosen: Indices = np.zeros(len(counts), dtype=np.intp)
    for _ in range(5):
        chosen = _middle_best(_gain(shared, f1, 0.0))
        f1 = _f1(at_thresholds(smooth, chosen).sum(axis=0))
    if np.isinf(allowed):
        return chosen
    for cost in COSTS:
        chosen = _middle_best(_gain(shared, f1, cost))
        if at_thresholds(counts, chosen)[:, ALARMS].sum() <= allowed:
            break
    return chosen


def _gain(counts: FloatArray, f1: float, cost: float) -> FloatArray:
    """``[classes, thresholds]`` what a threshold adds; see :mod:`sonotype.detect.tuning`."""
    gain: FloatArray = (
        2 * counts[..., RIGHT]
        - f1 * (counts[..., FOUND] + counts[..., TRUE])
        - cost * counts[..., ALARMS]
    )
    return gain


def _middle_best(gain: FloatArray) -> Indices:
    """``[classes]`` the best threshold; of equal neighbours the middle one."""
    equal = gain >= gain.max(axis=1, keepdims=True) - 1e-9
    first = equal.argmax(axis=1)
    later = np.arange(gain.shape[1]) > first[:, None]
    beyond = np.pad(later & ~equal, ((0, 0), (0, 1)), constant_values=True)
    middle: Indices = (first + beyond.argmax(axis=1) - 1) // 2
    return middle


def _smooth(counts: IntArray) -> FloatArray:
    """Mean over three neighbouring thresholds, without the false detections of absent classes.

    The recordings may have no labels of a class without events. Its false alarms are kept.
    """
    counts = counts.copy()
    counts[counts[:, 0, TRUE] == 0, :, FOUND] = 0
    padded = np.pad(counts, ((0, 0), (1, 1), (0, 0)), mode="edge")
    smooth: FloatArray = (padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]) / 3
    return smooth


def _f1(counts: FloatArray) -> FloatArray:
    found: FloatArray = 2 * counts[..., RIGHT] / (counts[..., FOUND] + counts[..., TRUE])
    return found


def at_thresholds(counts: npt.NDArray[np.generic], indices: Indices) -> npt.NDArray[np.generic]:
    """``[classes, 4]`` counts at one threshold for each class."""
    return counts[np.arange(len(counts)), indices]
