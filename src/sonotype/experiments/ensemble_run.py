"""Add attention networks to linear heads: an ensemble of one network for each fold.

Each network learns all folds but one. The held-out predictions of a fold are the mean of those of
its linear heads and of its network; the model averages the final heads with all networks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.config import to_dict
from sonotype.core.errors import OptionsError, StoppedError
from sonotype.core.types import IGNORE_INDEX
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.experiments.context import BuiltSystem, RunContext
from sonotype.experiments.gradient_crossfit import calibrate, fold_contexts
from sonotype.experiments.linear_run import folds_of
from sonotype.experiments.opening import require_single
from sonotype.experiments.run_folder import MODEL, PREDICTIONS
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import run_many
from sonotype.modelfile.model_file import load_model
from sonotype.models.members import Members, member_of
from sonotype.training.result import FitResult

MEMBER: Mapping[str, Any] = {
    "recipe": "modern",
    "n_augmented": 5,
    "time_shift": 2.5,
    "epochs": 30,
    "min_steps": 400,
    "checkpoint": "last",
}
"""Training of a network: the setting that scored best in cross-validation before linear heads."""

SHARED = frozenset(
    {"backbone", "event_head", "pool_blocks", "seconds", "pad", "crop", "trim"}
    | {"class_weights", "seed", "device", "workers", "cache", "cache_gb"}
)
"""Options of the system and its training that the networks share with the linear heads."""


def add_members(
    context: RunContext, built: BuiltSystem, fitted: FitResult, held_out: Predictions
) -> tuple[FitResult, Predictions]:
    """Train a network for each fold, and give them to the system.

    Finished networks are kept in the run folder, so that a stopped run continues.

    Args:
        context: of the run.
        built: with fitted linear heads.
        fitted: the result of these.
        held_out: their calibrated predictions of the training clips.

    Returns:
        the result and the predictions of the ensemble, calibrated.

    Raises:
        FailedRunsError: trainings failed; the next call runs these again.
        StoppedError: interrupted.
    """
    runs = fold_contexts(_members_context(context))
    if not run_many(
        runs, "ensemble", same_options=True, progress=context.progress,
        on_message=context.on_message,
    ):  # fmt: skip
        raise StoppedError(
            f"{context.folder}: interrupted; continue with --resume {context.folder}"
        )
    folders = [run.folder for run in runs.values()]
    heads, predictions = calibrate(
        context, concatenate([load_predictions(folder / PREDICTIONS) for folder in folders])
    )
    temperatures = {head.name: head.temperature for head in heads}
    members = []
    for folder in folders:
        members.append(member_of(load_model(folder / MODEL)[0]))
        members[-1].divide_logits(temperatures)
    own = {head.name: head.temperature for head in fitted.heads}
    built.system.set_members(Members(members, own))
    heads, mean = calibrate(context, mean_predictions(held_out, predictions))
    return dataclasses.replace(fitted, heads=heads), mean


def require_folds(context: RunContext) -> None:
    """Raise an ``OptionsError`` if the training clips make no folds, or have several labels."""
    require_single(context.manifest, "an ensemble")
    if not folds_of(context):
        raise OptionsError(
            "ensemble needs a network for each fold, and these clips make no folds: give two or "
            "more recordings of each class, or leave out ensemble"
        )


def _members_context(context: RunContext) -> RunContext:
    """The run whose folds are the networks' trainings."""
    options, train = context.options, context.split.train
    kept = {**to_dict(options.system), **to_dict(options.train)}
    values = {
        **{name: value for name, value in kept.items() if name in SHARED},
        **to_dict(options.source),
        **MEMBER,
        "tta_shifts": options.score.tta_shifts,
    }
    folds = tuple(tuple(train[position] for position in fold) for fold in folds_of(context))
    return dataclasses.replace(
        context,
        options=RunOptions.of(values),
        split=dataclasses.replace(context.split, test=(), folds=folds),
    )


def mean_predictions(linear: Predictions, networks: Predictions) -> Predictions:
    """The mean probabilities of clips that both have predicted, at a temperature of 1."""
    row_of = {path: row for row, path in enumerate(networks.paths)}
    rows = np.array([row_of.get(path, -1) for path in linear.paths])
    known = rows >= 0

    def mean(name: str) -> npt.NDArray[np.floating]:
        proba = np.array(linear.proba[name])
        proba[known] = (proba[known] + np.asarray(networks.proba[name])[rows[known]]) / 2
        return proba

    return dataclasses.replace(
        linear,
        proba={head.name: mean(head.name) for head in linear.heads},
        true={name: np.where(known, true, IGNORE_INDEX) for name, true in linear.true.items()},
        heads=tuple(dataclasses.replace(head, temperature=1.0) for head in linear.heads),
    )
