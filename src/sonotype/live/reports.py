"""Which events are reported: a pause between events of a class, and events that begin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sonotype.core.detections import DetectedEvent, ScoreBlock


@dataclass(frozen=True)
class Report:
    """An event to report.

    Attributes:
        event: with its times in seconds since the start.
        time: of its start, in seconds since 1970.
        begins: whether it goes on, so that its end is that of the scores so far.
    """

    event: DetectedEvent
    time: float
    begins: bool = False


class Pause:
    """Leaves out events that begin too soon after the last reported one of their class.

    Args:
        seconds: from the end of the reported event to the start of the next one; 0 for no pause.

    Attributes:
        left_out: number of events by class.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._ends = seconds, dict[str, float]()
        self.left_out: Counter[str] = Counter()

    def lets(self, event: DetectedEvent) -> bool:
        """Whether to report an event; events of a class come in order of time."""
        last = self._ends.get(event.label)
        if self._seconds and last is not None and event.start < last + self._seconds:
            self.left_out[event.label] += 1
            return False
        self._ends[event.label] = event.end
        return True

    def extend(self, label: str, end: float) -> None:
        """Say that the last reported event of a class goes on until this time."""
        self._ends[label] = end


class Onsets:
    """Finds where a score reaches its threshold, before the event is complete.

    Args:
        classes: names, in the order of the columns of the scores.
        thresholds: of each class.
        pause: leaves out events; it counts from where the score of a reported event falls.
    """

    def __init__(self, classes: Sequence[str], thresholds: Sequence[float], pause: Pause) -> None:
        self._pause = pause
        self._classes, self._thresholds = tuple(classes), np.array(thresholds)
        self._above = np.zeros(len(self._classes), np.bool_)
        self._reported = self._above.copy()

    def add(self, block: ScoreBlock) -> list[DetectedEvent]:
        """The events to report that begin in a block, each as long as its first frame."""
        found = []
        for index, scores in enumerate(block.scores):
            above = scores >= self._thresholds
            self._reported &= above
            start, end = block.times[index : index + 2].tolist()
            for column in np.flatnonzero(self._reported).tolist():
                self._pause.extend(self._classes[column], end)
            for column in np.flatnonzero(above & ~self._above).tolist():
                event = DetectedEvent(start, end, self._classes[column], float(scores[column]))
                if self._pause.lets(event):
                    self._reported[column] = True
                    found.append(event)
            self._above = above
        return found
