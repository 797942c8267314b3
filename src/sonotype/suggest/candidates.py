"""Windows of recordings that may be worth a label; memory does not grow with the recordings."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from sonotype.core.types import Head
from sonotype.inference.classifier import Classifier
from sonotype.inference.prediction import Array, Prediction
from sonotype.suggest.choice import uncertainty

LEAST_SOUND = 0.5
"""Share of a window that must lie inside the recording, except in a recording's first window."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A window, or a short sound file as a whole.

    Attributes:
        recording: the sound file.
        start: in seconds.
        end: in seconds; not behind the end of the recording.
        label: the most probable class.
        score: its probability.
        second: the second most probable class; empty if there is one class only.
        second_score: its probability.
        uncertainty: see :func:`~sonotype.suggest.choice.uncertainty`.
        unknown_score: of the prediction; ``None`` if the model has none.
        is_unknown: whether the window is probably of no class.
        embedding: ``[features]``.
    """

    recording: Path
    start: float
    end: float
    label: str
    score: float
    second: str
    second_score: float
    uncertainty: float
    unknown_score: float | None
    is_unknown: bool
    embedding: Array

    def overlaps(self, other: Candidate) -> bool:
        """Whether both have a part of a recording in common."""
        same = self.recording == other.recording
        return same and self.start < other.end and other.start < self.end


class Pool:
    """The candidates with the largest uncertainty, at most ``size`` of them.

    Of equally uncertain ones those that were added first are kept.
    """

    def __init__(self, size: int) -> None:
        self._size, self._number = size, count()
        self._heap: list[tuple[float, int, Candidate]] = []

    def add(self, candidates: Iterable[Candidate]) -> None:
        """Add candidates, and drop the least uncertain if there are too many."""
        for one in candidates:
            entry = (one.uncertainty, -next(self._number), one)
            if len(self._heap) < self._size:
                heapq.heappush(self._heap, entry)
            else:
                heapq.heappushpop(self._heap, entry)

    def candidates(self) -> list[Candidate]:
        """The candidates in the order in which they were added."""
        return [one for _, _, one in sorted(self._heap, key=lambda entry: -entry[1])]


def candidates_of(
    model: Classifier, path: Path, head: Head, hop: float, on_window: Callable[[float], None]
) -> Iterator[Candidate]:
    """The windows of a recording.

    Args:
        model: classifies the windows.
        path: of the recording.
        head: whose classes are to be labelled.
        hop: seconds from one window to the next.
        on_window: gets the end of each window that was classified, in seconds.

    Raises:
        AudioError: the recording cannot be read to its end; after the windows before the error.
    """
    for window in model.predict_windows(path, hop):
        left = window.file_seconds - window.start
        if not window.start or left >= LEAST_SOUND * window.clip_seconds:
            yield _candidate(path, window, head)
        on_window(min(window.end, window.file_seconds))


def _candidate(path: Path, window: Prediction, head: Head) -> Candidate:
    proba = window.proba[head.name]
    first, *others = np.argsort(-proba, kind="stable")[:2].tolist()
    return Candidate(
        recording=path,
        start=window.start,
        end=min(window.end, window.file_seconds),
        label=head.classes[first],
        score=float(proba[first]),
        second=head.classes[others[0]] if others else "",
        second_score=float(proba[others[0]]) if others else 0.0,
        uncertainty=float(uncertainty(proba[None], head)[0]),
        unknown_score=window.unknown_score,
        is_unknown=window.is_unknown,
        # A copy: a row would keep the embeddings of its whole batch.
        embedding=np.array(window.embedding, dtype=np.float32),
    )
