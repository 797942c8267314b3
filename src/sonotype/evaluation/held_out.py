"""Scores on new data against the held-out scores of training, over the same classes.

The difference of two independent metrics a (new data) and b (held out), with 95 % intervals
[al, ah] and [bl, bh], has the interval (Zou and Donner, "Construction of confidence limits about
effect measures: A general approach", Statistics in Medicine 27, 2008):

    low  = a - b - sqrt((a - al)^2 + (bh - b)^2)
    high = a - b + sqrt((ah - a)^2 + (b - bl)^2)

For symmetric intervals these are the two standard errors, added in squares.

Over some of the classes, accuracy and F1 of a head with one class per clip are those of the clips
of these classes, from the confusion matrix. A model file does not keep the draws of the bootstrap,
so the interval is that over all classes, wider by the square root of the ratio of clips. Of a head
with any number of classes, mAP and F1 are means over the classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sonotype.core.text import counted, wrap
from sonotype.core.types import plural
from sonotype.evaluation.metrics import HeadScores, Interval, Scores, scores_from_json

TITLES = {"accuracy": "accuracy", "f1": "macro F1", "average_precision": "macro mAP"}


@dataclass(frozen=True)
class Change:
    """One metric on new data and on held-out clips of training.

    Attributes:
        value: on the new data, with its 95 % interval.
        held_out: on the held-out clips.
        difference: ``value - held_out``, with its 95 % interval.
    """

    value: Interval
    held_out: Interval
    difference: Interval


@dataclass(frozen=True)
class HeadChange:
    """The metrics of one head on new data and on held-out clips of training.

    Attributes:
        classes: that have clips in both.
        metrics: by name, such as ``accuracy``.
    """

    classes: tuple[str, ...]
    metrics: Mapping[str, Change]


def changes(scores: Scores, held_out: Mapping[str, Any]) -> dict[str, HeadChange]:
    """The changes of each head whose held-out scores are known; coarse levels if read alike.

    Args:
        scores: on new data.
        held_out: ``scores`` of a model card; may be empty.

    Raises:
        SonotypeError: ``held_out`` is neither empty nor scores of sonotype.
    """
    if not held_out:
        return {}
    reference = scores_from_json(held_out)
    found = {}
    for number, (name, head) in enumerate(scores.heads.items()):
        other = reference.heads.get(name)
        finest = number == len(scores.heads) - 1
        alike = finest or scores.category_source == reference.category_source
        if other is None or not alike or (head.ranking is None) != (other.ranking is None):
            continue
        with_clips = {entry.label for entry in other.per_class if entry.support}
        common = [x.label for x in head.per_class if x.support and x.label in with_clips]
        if common:
            new, old = _restricted(head, common), _restricted(other, common)
            found[name] = HeadChange(
                tuple(common),
                {metric: Change(new[metric], old[metric], difference(new[metric], old[metric]))
                 for metric in new},
            )  # fmt: skip
    return found


def difference(a: Interval, b: Interval) -> Interval:
    """``a - b`` of independent metrics, with its interval if both have one."""
    gap = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(gap)
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(gap, gap - below, gap + above)


def _restricted(head: HeadScores, classes: Iterable[str]) -> dict[str, Interval]:
    """The metrics of a head over some of its classes."""
    kept = [head.labels.index(name) for name in classes]
    entries = [head.per_class[index] for index in kept]
    everything = sum(entry.support for entry in head.per_class)
    wider = math.sqrt(everything / sum(entry.support for entry in entries))
    if head.ranking is not None:
        average = [x.average_precision for x in entries if x.average_precision is not None]
        f1 = float(np.mean([entry.f1 for entry in entries]))
        found = {"f1": _around(f1, head.f1, wider)}
        if average:
            mean = float(np.mean(average))
            found["average_precision"] = _around(mean, head.ranking.average_precision, wider)
        return found
    rows = np.array(head.confusion)[kept]
    hits, support, predicted = rows[range(len(kept)), kept], rows.sum(1), rows.sum(0)[kept]
    accuracy, f1 = hits.sum() / support.sum(), (2 * hits / (support + predicted)).mean()
    return {
        "accuracy": _around(float(accuracy), head.accuracy, wider),
        "f1": _around(float(f1), head.f1, wider),
    }


def _around(value: float, known: Interval, wider: float) -> Interval:
    """A metric with the interval of another value of it, made wider; inside 0 to 1."""
    if known.low is None or known.high is None:
        return Interval(value)
    low, high = (
        value - wider * (known.value - known.low),
        value + wider * (known.high - known.value),
    )
    return Interval(value, max(low, 0.0), min(high, 1.0))


def change_lines(found: Mapping[str, HeadChange], items: str = "clips") -> Iterator[str]:
    """A sentence for each head, in lines of at most 80 columns; ``items`` were scored."""
    for name, change in found.items():
        metrics = "; ".join(_change(metric, one) for metric, one in change.metrics.items())
        n = len(change.classes)
        what = counted(n, name) if n == 1 else f"{n} {plural(name)}"
        text = f"against the held-out {items} of training, {what} of both: {metrics}"
        yield from (line.rstrip() for line in wrap(text))


def _change(metric: str, change: Change) -> str:
    """``accuracy 0.810, 0.090 [0.050, 0.130] below 0.900``."""
    gap = change.difference
    sign = 1 if gap.value > 0 else -1
    interval = ""
    if gap.low is not None and gap.high is not None:
        low, high = sorted((sign * gap.low, sign * gap.high))
        interval = f" [{_rounded(low)}, {_rounded(high)}]"
    side = "above" if sign > 0 else "below"
    if _rounded(gap.value) == "0.000":
        return f"{TITLES[metric]} {change.value.value:.3f}, no difference{interval}"
    return (
        f"{TITLES[metric]} {change.value.value:.3f}, {abs(gap.value):.3f}{interval} "
        f"{side} {change.held_out.value:.3f}"
    )


def _rounded(value: float) -> str:
    """Three decimals, without a negative zero."""
    return f"{round(value, 3) + 0.0:.3f}"
