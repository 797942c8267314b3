"""The files of a finished run, written without a training, and trainings without plots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heads import predicted

from sonotype.data.splits.split_file import write_split
from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import save_predictions
from sonotype.experiments.context import RunContext
from sonotype.experiments.pipeline import TrainResult
from sonotype.experiments.run_folder import lock_config
from sonotype.experiments.runner import Result

ONE_SCORE = '{"heads": {"category": {"f1": {"value": 1.0}}}}'
"""The least ``scores.json`` of a finished run."""


def result_of(folder: Path, *, interrupted: bool = False) -> TrainResult:
    return TrainResult(folder, folder / "model.safetensors", {}, "", 1, None, interrupted)


def write_run(
    context: RunContext, wrong: Callable[[RunContext, int], bool] = lambda *_: False
) -> TrainResult:
    """Replaces :func:`pipeline.run`; the events are correct, except for the clips in ``wrong``."""
    heads, clips, folder = context.heads, context.clips("test"), context.folder
    true = [np.array([head.target(clip) for clip in clips]) for head in heads]
    shift = np.array([wrong(context, index) for index in range(len(clips))], dtype=int)
    classes = [len(head.classes) for head in heads]
    found = [*true[:-1], (true[-1] + shift) % classes[-1]]
    predictions = predicted(
        heads,
        true,
        [np.eye(n)[indices] for n, indices in zip(classes, found, strict=True)],
        [str(clip.path) for clip in clips],
        [clip.group for clip in clips],
    )
    lock_config(context)
    write_split(folder / "split.csv", context.manifest, context.split)
    save_predictions(predictions, folder / "predictions.npz")
    scores = scores_to_json(score(predictions, resamples=0))
    (folder / "model.safetensors").touch()
    (folder / "scores.json").write_text(json.dumps(scores))
    return result_of(folder)


def pretend(context: RunContext) -> Result:
    """Replaces :func:`runner.run_or_resume`."""
    write_run(context)
    return None


@pytest.fixture(scope="module", autouse=True)
def no_plots() -> Iterator[None]:
    """Drawing takes longer than a tiny training; the files of the plots are empty."""

    def touch(*arguments: Any, **_: Any) -> None:
        path = next(value for value in arguments if isinstance(value, Path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    with pytest.MonkeyPatch.context() as patched:
        for name in ("plot_confusion", "plot_per_class", "plot_history"):
            patched.setattr(f"sonotype.evaluation.write_report.{name}", touch)
        yield
