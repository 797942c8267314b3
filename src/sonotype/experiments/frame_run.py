"""Fit the detection of a run: a frame head for its annotated recordings, and how to make events."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import replace

from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.errors import StoppedError
from sonotype.core.types import Head
from sonotype.detect.tuning import BASE, tune_events
from sonotype.detect.tuning_counts import ScoredRecording
from sonotype.experiments.context import BuiltSystem, RunContext
from sonotype.experiments.tune_report import report_json
from sonotype.modelfile.detection import Detection
from sonotype.sliding.system_frames import has_frames
from sonotype.training.frame_fit import FrameFit, fit_frame_head
from sonotype.training.result import FitResult


def add_detection(context: RunContext, built: BuiltSystem, fitted: FitResult) -> FitResult:
    """Give the system of a run a frame head, and its result the settings of detection.

    Nothing changes if the run has no annotated recordings, or a pooling with trained weights.

    Raises:
        AudioError: a recording cannot be read.
        StoppedError: interrupted.
    """
    recordings = _training_recordings(context)
    if fitted.interrupted or not recordings or not has_frames(built.system):
        return fitted
    head, folds = context.heads[0], _folds(context, recordings)
    try:
        fit = fit_frame_head(
            built.system,
            built.audio_spec.length,
            recordings,
            head.classes,
            folds,
            seed=context.options.train.seed,
            progress=context.progress,
        )
        built.system.set_frame_head(fit.head)
        detection = _tuned(context, fit, head, folds)
    except KeyboardInterrupt:
        raise StoppedError(
            f"{context.folder}: interrupted; continue with --resume {context.folder}"
        ) from None
    return replace(fitted, detection=detection)


def _tuned(context: RunContext, fit: FrameFit, head: Head, folds: Mapping[str, int]) -> Detection:
    """The settings that fit the held-out scores best; the usual ones if there are none."""
    tracks = [
        ScoredRecording.of(one.recording, one.times, one.scores, folds) for one in fit.held_out
    ]
    if not any(event.label in head.index for one in tracks for event in one.events):
        context.on_message(
            textwrap.fill(
                "the thresholds of events are the usual ones: there are not enough recordings to "
                "choose them on some that the model has not learnt from",
                80,
            )
        )
        return Detection(head.name, (BASE,) * len(head.classes), fit.head.scales)
    events, report = tune_events(tracks, head.classes)
    return Detection(head.name, events, fit.head.scales, tuned=report_json(report))


def _training_recordings(context: RunContext) -> list[AnnotatedRecording]:
    """The recordings with training windows, and those of which no other subset has a window."""
    others = {clip.group for clip in context.clips("val", "test")}
    return [one for one in context.manifest.recordings if one.own_group not in others]


def _folds(context: RunContext, recordings: list[AnnotatedRecording]) -> dict[str, int]:
    """The fold of each group of recordings, also of those without a training window."""
    from sonotype.experiments.linear_run import folds_of

    clips = context.clips("train")
    folds = folds_of(context)
    found = {clips[index].group: number for number, fold in enumerate(folds) for index in fold}
    groups = dict.fromkeys(one.own_group for one in recordings)
    learnt = {clip.group for clip in clips}
    others = [group for group in groups if group not in learnt] if folds else []
    return found | {group: number % len(folds) for number, group in enumerate(others)}
