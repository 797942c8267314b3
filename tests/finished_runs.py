"""The files of a finished run, written without a training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sonotype.data.splits.split_file import lock_split
from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import Predictions, save_predictions
from sonotype.experiments.context import RunContext
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.run_folder import lock_config
from sonotype.experiments.runner import Result

ONE_SCORE = '{"category": {"f1": {"value": 1.0}}, "event": null}'
"""The least ``scores.json`` of a finished run."""


def result_of(folder: Path, *, interrupted: bool = False) -> TrainResult:
    return TrainResult(folder, folder / "model.safetensors", {}, "", 1, None, interrupted)


def write_run(
    context: RunContext, wrong: Callable[[RunContext, int], bool] = lambda *_: False
) -> TrainResult:
    """Replaces :func:`pipeline.run`; the events are correct, except for the clips in ``wrong``."""
    labels, clips, folder = context.labels, context.clips("test"), context.folder
    category = np.array([labels.category_index(clip) for clip in clips])
    event = np.array([labels.event_index(clip) for clip in clips])
    shift = np.array([wrong(context, index) for index in range(len(clips))], dtype=int)
    predictions = Predictions(
        tuple(str(clip.path) for clip in clips),
        tuple(clip.group for clip in clips),
        category,
        event,
        np.eye(len(labels.categories))[category],
        np.eye(len(labels.events))[(event + shift) % len(labels.events)],
        labels,
    )
    lock_config(context)
    lock_split(folder / "split.csv", context.manifest, context.split)
    save_predictions(predictions, folder / "predictions.npz")
    scores = scores_to_json(score(predictions, resamples=0))
    (folder / "model.safetensors").touch()
    (folder / "scores.json").write_text(json.dumps(scores))
    return result_of(folder)


def pretend(context: RunContext) -> Result:
    """Replaces :func:`runner.run_or_resume`."""
    write_run(context)
    return None
