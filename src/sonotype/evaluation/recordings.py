"""Run a classifier on annotated recordings, and compare windows and events with the annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sonotype.config import EventOptions
from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.detections import ScoreBlock
from sonotype.core.errors import DataError, DataIssue
from sonotype.core.progress import track
from sonotype.core.text import listed
from sonotype.core.types import Head, Heads
from sonotype.data.windows import WindowOptions, labelled_windows
from sonotype.detect.change_points import box_scores, box_times, boxes
from sonotype.detect.detect_options import DetectOptions
from sonotype.detect.detector import Detector, default_hop, within
from sonotype.detect.event_finder import find_events
from sonotype.detect.score_sources import block_of_windows, joined, scores_of
from sonotype.evaluation.event_records import RecordingDetections
from sonotype.evaluation.predictions import Predictions
from sonotype.inference.classifier import Classifier
from sonotype.inference.ensemble import Ensemble
from sonotype.inference.sliding_outputs import check_hop

LOWEST_SCORE = 0.01
"""Scores below it are no box."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class RecordingPredictions:
    """Results for some annotated recordings.

    Attributes:
        windows: predictions for all windows about which something is known.
        detections: events and scores over time of each recording.
        notes: to show beside the scores.
    """

    windows: Predictions
    detections: tuple[RecordingDetections, ...]
    notes: tuple[str, ...] = ()


def predict_recordings(
    members: Sequence[Classifier],
    recordings: Sequence[AnnotatedRecording],
    *,
    hop: float | None = None,
    min_overlap: float = 0.5,
    progress: bool = False,
) -> RecordingPredictions:
    """Scores over time, events, and labelled windows of some recordings.

    Coarse levels are read in the way of the first model.

    Args:
        members: the models, with equal heads; their probabilities are averaged.
        recordings: with their events.
        hop: seconds from one window to the next; default:
            :func:`sonotype.detect.detector.default_hop` for windows, and frames for events, if the
            models have them.
        min_overlap: share of an event in a window from which the window has its label.
        progress: draw a bar.

    Raises:
        AudioError: a recording cannot be read.
        DataError: the models have none of the classes.
        OptionsError: a hop that is too small, or longer than a window; models whose labels or
            windows differ.
    """
    if hop is not None:
        check_hop(hop)
    ensemble = Ensemble(members)
    head = head_of(ensemble.heads, recordings)
    seconds = ensemble.audio_spec.seconds
    detector = Detector(ensemble, DetectOptions(hop=hop or 0.0, level=head.name))
    step = hop or default_hop(seconds)
    options = WindowOptions(seconds, step, min_overlap, level=head.name)
    names: list[str] = []
    groups: list[str] = []
    true: list[int | list[int]] = []
    proba: list[Floats] = []
    detections = []
    for recording in track(recordings, "recordings", len(recordings), show=progress):
        windows = [
            (one.start, one.proba[head.name], scores_of(one, head.name))
            for one in ensemble.predict_windows(recording.path, step)
        ]
        starts, values, scores = zip(*windows, strict=True)
        group = recording.own_group
        clips = {
            clip.start: clip for clip in labelled_windows(recording, head.index, options, starts)
        }
        used = [index for index, start in enumerate(starts) if start in clips]
        for index in used:
            clip = clips[starts[index]]
            names.append(clip.name)
            true.append(head.target(clip))
        groups += [group] * len(used)
        proba.append(np.stack(values)[used])
        if detector.from_frames:
            block = joined(list(detector.score_blocks(recording.path)))
        else:
            block = block_of_windows(starts, scores, seconds, recording.seconds)
        found = within(
            find_events(block.times, block.scores, head.classes, detector.events),
            float(block.times[-1]),
        )
        shown = shown_scores(block, detector.events)
        detections.append(
            RecordingDetections(
                name=str(recording.path),
                group=group,
                spans=recording.spans,
                reference=tuple(e for e in recording.events if e.label in head.index),
                detected=tuple(found),
                times=shown.times,
                scores=shown.scores,
            )
        )
    predictions = Predictions(
        tuple(names),
        tuple(groups),
        {head.name: np.array(true, dtype=np.int64).reshape(-1, len(head.classes))},
        {head.name: np.concatenate(proba).astype(np.float64)},
        (head,),
    )
    notes = _notes(recordings, head, 0.0 if detector.from_frames else seconds)
    return RecordingPredictions(predictions, tuple(detections), notes)


def shown_scores(block: ScoreBlock, events: Sequence[EventOptions]) -> ScoreBlock:
    """Scores without a threshold, for PSDS: those of frames, or of boxes with change points."""
    if not all(options.method == "change_point" for options in events):
        return block
    found = [
        boxes(block.times, score, options, LOWEST_SCORE)
        for score, options in zip(block.scores.T.astype(np.float64), events, strict=True)
    ]
    times = box_times(float(block.times[-1]), found)
    return ScoreBlock(times, box_scores(times, found))


def head_of(heads: Heads, recordings: Sequence[AnnotatedRecording]) -> Head:
    """The head with the most of the recordings' classes, as one of any number of labels.

    Raises:
        DataError: the model has none of the classes.
    """
    labels = sorted({event.label for one in recordings for event in one.events})
    head = max(heads, key=lambda head: len(head.index.keys() & set(labels)))
    if labels and not head.index.keys() & set(labels):
        cause = f"the model has no class {listed(labels, 12)}; it has {listed(head.classes, 12)}"
        raise DataError("labels", [DataIssue(str(recordings[0].path.parent), 0, cause)])
    if head.problem == "multi":
        return head
    return Head(head.name, head.classes, "multi", thresholds=head.thresholds)


def unknown_events(recordings: Sequence[AnnotatedRecording], head: Head) -> list[str]:
    """A note on events of classes that the model does not have, if there are any."""
    others = [e.label for one in recordings for e in one.events if e.label not in head.index]
    if not others:
        return []
    names = listed(sorted(set(others)), 12)
    return [f"{len(others)} events of classes that the model does not have are ignored: {names}"]


def _notes(recordings: Sequence[AnnotatedRecording], head: Head, seconds: float) -> tuple[str, ...]:
    """Notes on events of classes that the model does not have, and on short events."""
    notes = unknown_events(recordings, head)
    events = [event for one in recordings for event in one.events]
    lengths = [event.end - event.start for event in events if event.label in head.index]
    if lengths and (middle := float(np.median(lengths))) < seconds / 2:
        notes.append(
            f"half of the events are shorter than {middle:.2g} s, but detected events last about "
            f"as long as a window ({seconds:g} s): event-based scores are low; shorter windows "
            "(sonotype train --seconds) are nearer to the times"
        )
    return tuple(notes)
