"""Why detection finds nothing, or too much: statistics of the scores of an archive.

The memory does not grow with the archive: counts for each class, a histogram of its scores, and the
few moments that come nearest to a threshold.

Log-odds, ln(p / (1 - p)), measure the distance of a score from a threshold: they distinguish 0.001
from 0.01 as they distinguish 0.5 from 0.9. The other thresholds that are tried have 1/9, 1/3, 3 and
9 times the odds of a threshold: for 0.5 these are 0.1, 0.25, 0.75 and 0.9.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.core.detections import DetectedRecording, ScoreBlock
from sonotype.detect.explain_advice import advise
from sonotype.detect.explain_summary import (
    NEAR,
    ODDS,
    SAME,
    ClassSummary,
    Level,
    Moment,
    Summary,
    summary_to_json,
)
from sonotype.detect.explain_text import render
from sonotype.detect.maxima import FloatArray, Maxima

MOMENTS = 5
"""Moments without an event that are kept."""

SEPARATION = 3.0
"""Least distance in seconds between two such moments, and from an event of the class."""

CELLS = 2**22
"""Columns times classes that are kept of an open recording: 16 MB."""

CHUNK = 4096
"""Frames that are counted at a time: their masks fit in the cache."""

LEAST = 1e-6
"""Scores nearer to 0 or to 1 count as this near in log-odds."""

EDGES = np.arange(-8.0, 8.1, 0.5)
"""Edges of the bins of the histogram in log-odds; the outer bins have no outer edge."""


@dataclass
class _OpenRecording:
    """Of a recording whose blocks arrive: its maxima, and the levels that its last frame reached.

    ``last`` is ``[levels, classes]``.
    """

    maxima: Maxima
    last: npt.NDArray[np.bool_]


@dataclass
class _Counts:
    """Sums over frames; the axes are levels and classes."""

    frames: npt.NDArray[np.int64]
    runs: npt.NDArray[np.int64]
    reached: npt.NDArray[np.int64]
    background: FloatArray
    highest: FloatArray
    histogram: npt.NDArray[np.int64]
    total: int = 0
    events: dict[str, int] = field(default_factory=dict)


class Explanation:
    """Collects scores and events of recordings and explains them.

    Args:
        classes: names of the classes.
        thresholds: ``[classes]`` probabilities from which a class counts as present.
        unit: what has a score, for the text.
    """

    def __init__(
        self, classes: Sequence[str], thresholds: npt.ArrayLike, unit: str = "frame"
    ) -> None:
        self._classes, self._unit = tuple(classes), unit
        self._thresholds = np.asarray(thresholds, dtype=np.float64)
        self._levels = levels_of(self._thresholds)
        levels, n = self._levels.shape
        self._counts = _Counts(
            np.zeros((levels, n), dtype=np.int64),
            np.zeros((levels, n), dtype=np.int64),
            np.zeros(levels, dtype=np.int64),
            np.zeros(n),
            np.zeros(n),
            np.zeros((n, len(EDGES) - 1), dtype=np.int64),
            events=dict.fromkeys(self._classes, 0),
        )
        self._open: dict[Path, _OpenRecording] = {}
        self._moments: list[tuple[float, int, Moment]] = []
        self._order = itertools.count()
        self._recordings, self._errors, self._seconds = 0, 0, 0.0

    def add(self, path: Path, block: ScoreBlock) -> None:
        """Add the next frames of a recording; blocks of several recordings may alternate."""
        if path not in self._open:
            columns = max(2, CELLS // len(self._classes))
            last = np.zeros(self._levels.shape, dtype=np.bool_)
            self._open[path] = _OpenRecording(Maxima(len(self._classes), columns), last)
        recording = self._open[path]
        recording.maxima.add(block)
        for first in range(0, len(block.scores), CHUNK):
            self._count(recording, block.scores[first : first + CHUNK])

    def finish_recording(self, recording: DetectedRecording) -> None:
        """Add the events of a recording whose blocks have all been added under its path.

        The labels of the events are names of the classes.
        """
        opened = self._open.pop(recording.path, None)
        self._recordings += 1
        self._errors += bool(recording.error)
        self._seconds += recording.seconds
        for event in recording.events:
            self._counts.events[event.label] += 1
        if opened is not None:
            self._keep_moments(recording, opened.maxima)

    def summary(self) -> Summary:
        """The statistics of the recordings so far."""
        counts = self._counts
        reached = counts.reached.tolist()
        return Summary(
            self._recordings,
            self._errors,
            self._seconds,
            counts.total,
            reached[SAME],
            reached[NEAR] - reached[SAME],
            tuple(map(self._class_summary, range(len(self._classes)))),
            tuple(moment for _, _, moment in sorted(self._moments, reverse=True)),
            self._unit,
        )

    def text(self) -> str:
        """The explanation: at most 80 columns and about 45 lines."""
        return render(self.summary(), EDGES.tolist())

    def to_json(self) -> dict[str, Any]:
        """The statistics and the advice as dicts, lists, numbers and strings."""
        summary = self.summary()
        return summary_to_json(summary, EDGES.tolist(), advise(summary))

    def _class_summary(self, index: int) -> ClassSummary:
        counts, label = self._counts, self._classes[index]
        quiet = counts.total - int(counts.reached[SAME])
        columns = (self._levels, counts.frames, counts.runs)
        return ClassSummary(
            label,
            float(self._thresholds[index]),
            counts.events[label],
            float(counts.highest[index]),
            float(counts.background[index] / quiet) if quiet else None,
            tuple(map(Level, *(column[:, index].tolist() for column in columns))),
            tuple(counts.histogram[index].tolist()),
        )

    def _count(self, recording: _OpenRecording, scores: npt.NDArray[np.floating]) -> None:
        counts = self._counts
        counts.total += len(scores)
        np.maximum(counts.highest, scores.max(axis=0), out=counts.highest)
        for number, level in enumerate(self._levels):
            above = scores >= level
            starts = above.copy()
            starts[1:] &= ~above[:-1]
            starts[0] &= ~recording.last[number]
            recording.last[number] = above[-1]
            reached = above.any(axis=1)
            counts.frames[number] += _column_sums(above)
            counts.runs[number] += _column_sums(starts)
            counts.reached[number] += int(reached.sum())
            if number == SAME:
                counts.background += scores[~reached].sum(axis=0, dtype=np.float64)
        bins = len(EDGES) - 1
        which = ((log_odds(scores) - EDGES[0]) / (EDGES[1] - EDGES[0])).astype(np.int64)
        which = which.clip(0, bins - 1) + bins * np.arange(len(self._classes))
        flat = np.bincount(which.ravel(), minlength=counts.histogram.size)
        counts.histogram += flat.reshape(counts.histogram.shape)

    def _keep_moments(self, recording: DetectedRecording, maxima: Maxima) -> None:
        """Keep the highest moments, relative to the threshold, that have no event of the class."""
        edges = maxima.edges
        margins = log_odds(maxima.values) - log_odds(self._thresholds).astype(np.float32)
        indices = {label: index for index, label in enumerate(self._classes)}
        for event in recording.events:
            margins[_around(edges, event.start, event.end), indices[event.label]] = -np.inf
        for _ in range(MOMENTS):
            column, index = np.unravel_index(margins.argmax(), margins.shape)
            margin = float(margins[column, index])
            full = len(self._moments) == MOMENTS
            if margin == -np.inf or (full and margin <= self._moments[0][0]):
                return
            moment = Moment(
                str(recording.path),
                float(edges[column]),
                self._classes[index],
                float(maxima.values[column, index]),
                float(self._thresholds[index]),
            )
            entry = (margin, -next(self._order), moment)
            (heapq.heappushpop if full else heapq.heappush)(self._moments, entry)
            margins[_around(edges, moment.seconds, float(edges[column + 1]))] = -np.inf


def levels_of(thresholds: FloatArray) -> FloatArray:
    """``[levels, classes]`` thresholds with the odds of ``ODDS``, rounded to be typed.

    The thresholds themselves are not rounded. A threshold of 0 or 1 has no others.
    """
    usable = thresholds.clip(LEAST, 1 - LEAST)
    odds = usable / (1 - usable) * np.asarray(ODDS)[:, None]
    rounded = [_rounded(value) for value in (odds / (1 + odds)).flat]
    levels: FloatArray = np.array(rounded).reshape(odds.shape)
    levels[:, usable != thresholds] = thresholds[usable != thresholds]
    levels[SAME] = thresholds
    return levels


def log_odds(scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """ln(p / (1 - p)) in the precision of the scores."""
    clipped = scores.clip(LEAST, 1 - LEAST)
    values: npt.NDArray[Any] = np.log(clipped / (1 - clipped))
    return values


def _rounded(value: float) -> float:
    """Two significant digits of the probability, or of its distance from 1 if that is less."""
    if value <= 0.5:
        return float(f"{value:.2g}")
    return float(f"{1 - float(f'{1 - value:.2g}'):.10g}")


def _column_sums(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """``[columns]`` number of true values; faster than the sum of a mask."""
    sums: npt.NDArray[np.int32] = mask.view(np.uint8).sum(axis=0, dtype=np.int32)
    return sums


def _around(edges: FloatArray, start: float, end: float) -> slice:
    """The columns that lie in a time span, or less than ``SEPARATION`` from it."""
    first = int(np.searchsorted(edges, start - SEPARATION, side="right")) - 1
    last = int(np.searchsorted(edges, end + SEPARATION, side="left"))
    return slice(max(0, first), last)
