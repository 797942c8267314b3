"""The statistics that explain a detection: their types, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sonotype.core.json_text import json_text, json_value

ODDS = (1 / 9, 1 / 3, 1.0, 3.0, 9.0)
"""Odds of the thresholds that are tried, relative to those of the threshold of a class."""

NEAR, SAME = 1, 2
"""Indices of the level that counts as near, and of the threshold itself."""


@dataclass(frozen=True)
class Level:
    """A threshold that was tried.

    Attributes:
        threshold: the probability.
        frames: number of frames with at least this score.
        runs: number of runs of such frames; no smoothing, no shortest duration.
    """

    threshold: float
    frames: int
    runs: int


@dataclass(frozen=True)
class ClassSummary:
    """Statistics of a class.

    Attributes:
        label: the class.
        threshold: from which it counts as present.
        events: number of detected events.
        highest: highest score.
        background: mean score over the frames in which no class reaches its threshold; ``None``
            without such a frame.
        levels: one for each of ``ODDS``.
        histogram: number of frames in bins of log-odds.
    """

    label: str
    threshold: float
    events: int
    highest: float
    background: float | None
    levels: tuple[Level, ...]
    histogram: tuple[int, ...]


@dataclass(frozen=True)
class Moment:
    """A high score without an event of the class.

    Attributes:
        path: the sound file.
        seconds: its time. In a very long recording with many classes, that of the first of some
            consecutive frames.
        label: the class.
        score: its score.
        threshold: of the class.
    """

    path: str
    seconds: float
    label: str
    score: float
    threshold: float


@dataclass(frozen=True)
class Summary:
    """Statistics of an archive.

    Attributes:
        recordings: number of recordings.
        errors: recordings that could not be read, or not to their end.
        seconds: their length.
        frames: number of frames with scores.
        above: frames in which a class reaches its threshold.
        near: other frames in which a class comes near its threshold.
        classes: of each class.
        moments: those nearest to a threshold, or above it, without an event; the highest first.
        unit: what a frame is: a frame of a frame head, or the time that a window stands for.
    """

    recordings: int
    errors: int
    seconds: float
    frames: int
    above: int
    near: int
    classes: tuple[ClassSummary, ...]
    moments: tuple[Moment, ...]
    unit: str = "frame"

    @property
    def events(self) -> int:
        """Number of detected events."""
        return sum(entry.events for entry in self.classes)


def summary_to_json(summary: Summary, edges: Sequence[float], advice: list[str]) -> dict[str, Any]:
    """The statistics and the advice as dicts, lists, numbers and strings.

    Args:
        summary: the statistics.
        edges: of the bins of the histograms in log-odds.
        advice: sentences.
    """
    plain: dict[str, Any] = json_value(json_text(asdict(summary)))
    return {**plain, "events": summary.events, "log_odds": list(edges), "advice": advice}
