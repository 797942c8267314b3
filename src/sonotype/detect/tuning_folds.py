"""Counts of events on the recordings of each fold, and options that are chosen from such counts.

Counts of recordings add up, so the choice on all recordings but those of one fold needs no other
counts than the choice on all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sonotype.config import EventOptions
from sonotype.core.event_matching import Collars, IntArray
from sonotype.detect.tuning_choice import Indices, choose_thresholds, clearly_best
from sonotype.detect.tuning_counts import (
    GRID,
    ScoredRecording,
    Truth,
    count_thresholds,
    join_recordings,
)


@dataclass(frozen=True, eq=False)
class Choice:
    """Chosen options.

    Attributes:
        common: for all classes together.
        events: of each class.
        thresholds: ``[classes]`` indices of their thresholds in ``GRID``.
    """

    common: EventOptions
    events: tuple[EventOptions, ...]
    thresholds: Indices

    def within(self, step: int) -> bool:
        """Whether the thresholds some steps higher are in ``GRID``."""
        moved = self.thresholds + step
        return bool((moved >= 0).all() and (moved < len(GRID)).all())


def choose_events(
    counts: IntArray, shapes: Sequence[EventOptions], prior: float | None, allowed: float
) -> Choice:
    """The best options for some counts.

    Args:
        counts: ``[shapes, classes, thresholds, 4]``.
        shapes: the options to choose from; the first unless another is clearly better.
        prior: as for :func:`sonotype.detect.tuning_choice.choose_thresholds`.
        allowed: most false alarms.
    """
    best = clearly_best(list(counts))
    thresholds = choose_thresholds(counts[best], prior, allowed)
    shared = choose_thresholds(counts[best], None, np.inf)[0]
    return Choice(
        common=replace(shapes[best], threshold=GRID[shared].item()),
        events=tuple(replace(shapes[best], threshold=GRID[at].item()) for at in thresholds),
        thresholds=thresholds,
    )


@dataclass(frozen=True, eq=False)
class FoldCounts:
    """The recordings of a fold and their counts.

    Attributes:
        recordings: with scores.
        truth: what is in them.
        counts: ``[shapes, classes, thresholds, 4]`` with each of some options.
    """

    recordings: Sequence[ScoredRecording]
    truth: Truth
    counts: IntArray

    @classmethod
    def of(
        cls,
        recordings: Sequence[ScoredRecording],
        classes: Sequence[str],
        shapes: Sequence[EventOptions],
        collars: Collars,
    ) -> FoldCounts:
        """Count the events of some recordings."""
        truth = join_recordings(recordings, classes)
        counts = [
            count_thresholds(recordings, truth, [shape] * len(classes), collars) for shape in shapes
        ]
        return cls(recordings, truth, np.stack(counts))

    def at(self, choice: Choice, steps: Sequence[int], collars: Collars) -> IntArray:
        """``[classes, steps, 4]`` counts at the chosen thresholds, and some steps from them.

        Beyond ``GRID`` the counts are those at its ends, see :meth:`Choice.within`. The scores
        count down to the floor of each chosen threshold, as when events are detected.
        """
        counts = count_thresholds(self.recordings, self.truth, choice.events, collars)
        columns = np.clip(choice.thresholds[:, None] + np.array(steps), 0, len(GRID) - 1)
        found: IntArray = counts[np.arange(len(counts))[:, None], columns]
        return found


def by_fold(recordings: Sequence[ScoredRecording]) -> list[list[ScoredRecording]]:
    """The recordings of each fold."""
    found: dict[int, list[ScoredRecording]] = {}
    for one in recordings:
        found.setdefault(one.fold, []).append(one)
    return list(found.values())


def sum_of(counts: Sequence[IntArray]) -> IntArray:
    """The sum of the counts of all folds."""
    found: IntArray = np.sum(counts, axis=0)
    return found
