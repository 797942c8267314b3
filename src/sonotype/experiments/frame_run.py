"""Fit the detection of a run: a frame head for its annotated recordings, and how to make events."""

from __future__ import annotations

from dataclasses import replace

from sonotype.core.annotations import AnnotatedRecording
from sonotype.core.errors import StoppedError
from sonotype.detect.tuning import tune_events
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
    head = context.heads[0]
    try:
        fit = fit_frame_head(
            built.system,
            built.audio_spec.length,
            recordings,
            head.classes,
            _folds(context),
            seed=context.options.train.seed,
            progress=context.progress,
        )
        built.system.set_frame_head(fit.head)
        detection = _tuned(fit, head.name, head.classes)
    except KeyboardInterrupt:
        raise StoppedError(
            f"{context.folder}: interrupted; continue with --resume {context.folder}"
        ) from None
    return replace(fitted, detection=detection)


def _tuned(fit: FrameFit, level: str, classes: tuple[str, ...]) -> Detection:
    """The settings that fit the held-out scores best."""
    tracks = [
        ScoredRecording(
            str(one.recording.path),
            one.times,
            one.scores,
            one.recording.events,
            one.recording.spans,
        )
        for one in fit.held_out
    ]
    events, report = tune_events(tracks, classes)
    return Detection(level, events, fit.head.scales, tuned=report_json(report))


def _training_recordings(context: RunContext) -> list[AnnotatedRecording]:
    """The recordings with training windows, and those of which no other subset has a window."""
    others = {clip.group for clip in context.clips("val", "test")}
    return [
        one for one in context.manifest.recordings if (one.group or str(one.path)) not in others
    ]


def _folds(context: RunContext) -> dict[str, int]:
    """The fold of each group of recordings."""
    from sonotype.experiments.linear_run import folds_of

    clips = context.clips("train")
    return {
        clips[index].group: number
        for number, fold in enumerate(folds_of(context))
        for index in fold
    }
