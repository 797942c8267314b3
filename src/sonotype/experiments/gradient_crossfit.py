"""Cross-fitting of networks that are trained by gradient descent.

One training for each fold predicts the clips of that fold; these predictions give the scores and
the temperatures. The network of the model is trained on all clips, for the median of the epochs
that were best in the folds.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy.special import expit, logit

from sonotype.core.errors import StoppedError
from sonotype.core.types import IGNORE_INDEX, Heads
from sonotype.data.splits.crossfit import Folds
from sonotype.data.splits.split import Split
from sonotype.evaluation.calibration import (
    TINY,
    fit_sigmoid_temperature,
    fit_temperature,
    tempered,
)
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.experiments.context import RunContext
from sonotype.experiments.linear_run import fit_thresholds
from sonotype.experiments.run_folder import MODEL, PREDICTIONS
from sonotype.experiments.runner import run_many
from sonotype.modelfile.model_file import read_card

EPSILON = np.finfo(np.float64).eps
FOLDS = "folds"
"""Folder of the trainings of the folds, in the run folder."""


def fold_contexts(context: RunContext) -> dict[str, RunContext]:
    """A run for each fold: it tests, the next one validates, and the others are for training."""
    folds, keep_last = context.split.folds, context.options.train.checkpoint == "last"
    split_options = replace(context.options.split, evaluation="holdout")
    options = replace(context.options, split=split_options)
    return {
        f"fold {number + 1} of {len(folds)}": replace(
            context,
            split=_split(context.split, folds, number, keep_last=keep_last),
            options=options,
            folder=context.folder / FOLDS / f"fold_{number + 1}",
            verbose=False,
        )
        for number in range(len(folds))
    }


def _split(split: Split, folds: Folds, number: int, *, keep_last: bool) -> Split:
    test = folds[number]
    # Of two folds, the other one is needed for training.
    val = () if keep_last or len(folds) < 3 else folds[(number + 1) % len(folds)]
    train = tuple(sorted(set(split.train) - set(test) - set(val)))
    return replace(split, train=train, val=val, test=test, folds=(), notes=())


def crossfit(context: RunContext) -> tuple[RunContext, Predictions]:
    """Train and predict each fold; finished folds are kept.

    Returns:
        the run on all clips, with the number of epochs that the folds need; and the predictions
        of all clips, not yet calibrated

    Raises:
        FailedRunsError: folds failed; the next call runs these again.
        StoppedError: interrupted.
    """
    contexts = fold_contexts(context)
    if not run_many(contexts, "cross-fitting", same_options=True, on_message=context.on_message):
        raise StoppedError(
            f"{context.folder}: interrupted; continue with --resume {context.folder}"
        )
    folders = [one.folder for one in contexts.values()]
    epochs = [read_card(folder / MODEL).training["best_epoch"] for folder in folders]
    train = replace(
        context.options.train,
        epochs=max(1, round(float(np.median(epochs)))),
        min_steps=0,
        checkpoint="last",
    )
    predictions = concatenate(
        [_scorable(one, load_predictions(one.folder / PREDICTIONS)) for one in contexts.values()]
    )
    return replace(context, options=replace(context.options, train=train)), predictions


def _scorable(context: RunContext, predictions: Predictions) -> Predictions:
    """The predictions of a fold, without the labels that its network has not learnt."""
    learnt = context.clips("train", "val")
    true = {}
    for head in predictions.heads:
        names = {name for clip in learnt for name in clip.labels.get(head.name, ())}
        known = np.array([name in names for name in head.classes] + [False])  # the last: no label
        found = predictions.true[head.name]
        scorable = known[found] if head.problem == "single" else known[:-1]
        true[head.name] = np.where(scorable, found, IGNORE_INDEX)
    return replace(predictions, true=true)


def calibrate(context: RunContext, predictions: Predictions) -> tuple[Heads, Predictions]:
    """Heads with temperatures and thresholds that fit held-out predictions, and these predictions.

    Args:
        context: of the run.
        predictions: at temperature 1, of the folds one after the other.
    """
    limits = np.cumsum([0, *map(len, context.split.folds)]).tolist()
    folds = tuple(tuple(range(start, end)) for start, end in pairwise(limits))
    return fit_thresholds(context, with_temperatures(predictions), folds)


def with_temperatures(predictions: Predictions) -> Predictions:
    """Held-out predictions at the temperatures that fit them best.

    Args:
        predictions: at temperature 1.
    """
    heads, proba = [], {}
    for head in predictions.heads:
        true, raw = predictions.true[head.name], predictions.proba[head.name]
        known = true >= 0
        temperature = 1.0
        if head.problem == "multi":
            logits = logit(np.clip(raw.astype(np.float64), TINY, 1 - EPSILON))
            if known.any():
                temperature = fit_sigmoid_temperature(logits, true)
            proba[head.name] = expit(logits / temperature)
        else:
            if known.any():
                temperature = fit_temperature(raw[known], true[known])
            proba[head.name] = tempered(raw, temperature)
        heads.append(replace(head, temperature=temperature))
    return replace(predictions, proba=proba, heads=tuple(heads), present={})
