"""Recordings with reference and detected events, as the scores of detection take them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sonotype.core.annotations import Event
from sonotype.core.detections import DetectedEvent
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.event_matching import IntArray, cut, microseconds
from sonotype.core.text import counted, listed


@dataclass(frozen=True, eq=False)
class RecordingDetections:
    """What a model detected in one recording, and what is there.

    Attributes:
        name: for messages.
        group: recordings of one group are resampled together; empty for a group of its own.
        spans: the parts that were listened to, as (start, end) in seconds.
        reference: the events that are there.
        detected: the events at the operating point of the model.
        times: ``[frames + 1]`` boundaries of the score frames in seconds; empty without scores.
        scores: ``[frames, classes]`` scores of the frames, for PSDS.
    """

    name: str
    group: str
    spans: tuple[tuple[float, float], ...]
    reference: tuple[Event, ...]
    detected: tuple[DetectedEvent, ...]
    times: npt.NDArray[np.float64]
    scores: npt.NDArray[np.floating]


def require_valid(recordings: Sequence[RecordingDetections], classes: Sequence[str]) -> None:
    """Refuse recordings that cannot be scored.

    Raises:
        DataError: lists all invalid spans, events and frame scores.
        OptionsError: no recordings, or no or repeated classes.
    """
    if not recordings:
        raise OptionsError("there are no recordings to score: choose a split or a fold with some")
    if not classes or len(set(classes)) < len(classes):
        raise OptionsError(f"classes must be different names, got {listed(classes) or 'none'}")
    issues: list[DataIssue] = []
    known = set(classes)
    for one in recordings:
        for start, end in one.spans:
            if not _is_interval(start, end):
                issues.append(DataIssue(one.name, 0, f"span {start} to {end} s: not an interval"))
        for event in one.reference:
            if not _is_interval(event.start, event.end):
                cause = f"event {event.label} from {event.start} to {event.end} s: not an interval"
                issues.append(DataIssue(event.file or one.name, event.line, cause))
        for found in one.detected:
            title = f"detected event {found.label} from {found.start} to {found.end} s"
            if not _is_interval(found.start, found.end):
                issues.append(DataIssue(one.name, 0, f"{title}: not an interval"))
            if not 0 <= found.score <= 1:
                cause = f"{title}: the score must be from 0 to 1, got {found.score}"
                issues.append(DataIssue(one.name, 0, cause))
            if found.label not in known:
                issues.append(DataIssue(one.name, 0, f"{title}: not a class of the model"))
        if cause := _frame_issue(one, len(classes)):
            issues.append(DataIssue(one.name, 0, cause))
    if issues:
        raise DataError("detections", issues)


def _is_interval(start: float, end: float) -> bool:
    return math.isfinite(start) and math.isfinite(end) and start < end


def _frame_issue(recording: RecordingDetections, classes: int) -> str:
    times, scores = np.asarray(recording.times), np.asarray(recording.scores)
    if not times.size:
        return ""
    if times.ndim != 1 or scores.shape != (len(times) - 1, classes):
        return (
            f"frame scores of shape {scores.shape} with {times.size} times: must be "
            f"({times.size - 1}, {classes}), one time more than frames"
        )
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        return "the times of the score frames must be finite and increase"
    if wrong := int((~np.isfinite(scores)).any(axis=1).sum()):
        return f"the scores of {counted(wrong, 'frame')} of {len(scores)} are not finite"
    return ""


def events_of(
    recording: RecordingDetections, classes: Sequence[str], spans: IntArray, shortest: int
) -> tuple[list[IntArray], list[IntArray]]:
    """Reference and detected events cut to the spans, ``[n, 2]`` microseconds for each class."""
    found = []
    for events in (recording.reference, recording.detected):
        all_times = microseconds([(event.start, event.end) for event in events])
        pieces, indices = cut(all_times, spans, shortest)
        labels = np.array([event.label for event in events], dtype=object)[indices]
        found.append([pieces[labels == label] for label in classes])
    return found[0], found[1]
