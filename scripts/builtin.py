"""Make the built-in model: ``python scripts/builtin.py ESC-50 --out runs/builtin``.

The script runs the study of teachers and students, and trains one more student on every clip, with
the teachers that have not seen the clip. Linear heads on the student's own statistics are fitted to
the same clips; the model averages them with the student. All that is fitted to predictions (the
temperatures, the threshold of the unknown score) and the scores come from the study's students, and
linear heads on these, for the fold that both have not seen. The model is saved in half precision as
a file of the package. The same command resumes a stopped run.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sonotype.core.errors import SonotypeError
from sonotype.core.types import IGNORE_INDEX, Heads
from sonotype.evaluation.calibration import calibration_error, fit_temperature, tempered
from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.evaluation.report import render
from sonotype.evaluation.thresholds import with_thresholds
from sonotype.experiments.context import BuiltSystem, RunContext
from sonotype.experiments.ensemble_run import mean_predictions
from sonotype.experiments.gradient_crossfit import with_temperatures
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import Plan, read_plan
from sonotype.experiments.linear_run import (
    THRESHOLD,
    LinearData,
    calibrated,
    linear_data,
    predictions_of,
)
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import build
from sonotype.experiments.run_card import build_card
from sonotype.experiments.run_folder import MODEL, PREDICTIONS
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import train_or_resume
from sonotype.modelfile.model_file import load_model, save_model
from sonotype.models.members import Members, member_of
from sonotype.models.summary import summarise
from sonotype.training.linear_fit import FoldFit, fit_folds, fit_linear, held_out_logits
from sonotype.training.result import FitResult
from sonotype.training.unknown_fit import (
    fit_geometry,
    held_out_scores,
    scores_of,
    set_threshold,
)

ROOT = Path(__file__).resolve().parent.parent
STUDY, ROW = ROOT / "studies" / "builtin.toml", "distilled"
ASSET = ROOT / "src" / "sonotype" / "assets" / "builtin.safetensors"
LINEAR: Mapping[str, Any] = {"recipe": "linear", "seconds": 5.0, "evaluation": "none"}
LARGEST = 3_000_000
SCORES_OF = (
    "of the recipe: the predictions for each of folds 1 to 4 are from a student and linear heads "
    "that were trained, like their teachers, without that fold; the model itself was trained on "
    "all four"
)
NOT_FOR = "not for commercial use, because of its data; not where a wrong prediction does harm"

Floats = npt.NDArray[np.floating]


def main() -> int:
    """Run all steps; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ESC-50, folds 1 to 4")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    arguments = parser.parse_args()
    plan, study = read_plan(STUDY), arguments.out
    if not run_study(
        plan, arguments.data, study, jobs=arguments.jobs, progress=True, on_message=print
    ):
        return 130
    everything = study / "everything"
    train_on_everything(plan, arguments.data, study, everything)
    runs = {run.fold: study / run.folder for run in plan.row(ROW).runs() if run.fold}
    pack(arguments.data, runs, everything / MODEL, study / "linear")
    return 0


def train_on_everything(plan: Plan, data: Path, study: Path, run: Path) -> None:
    """A student as in the study, trained on every clip."""
    teachers = tuple(str(study / teacher.folder) for teacher in plan.teachers(ROW))
    options = {**plan.row(ROW).options, "protocol": "all", "teachers": teachers}
    train_or_resume(data, run, progress=True, on_message=print, **options)


def pack(data: Path, runs: Mapping[int, Path], student: Path, folder: Path) -> None:
    """Add linear heads and the unknown score, calibrate, score, write the file, print a summary.

    Args:
        data: the labelled clips.
        runs: by fold the run of the student that was tested on it.
        student: the model file of the student that was trained on all folds.
        folder: for files of the linear heads.
    """
    networks = concatenate([load_predictions(run / PREDICTIONS) for run in runs.values()])
    held_out = held_out_linear(data, {fold: run / MODEL for fold, run in runs.items()}, folder)
    own = {head.name: head.temperature for head in held_out.predictions.heads}
    networks = with_temperatures(networks)
    joint = mean_predictions(held_out.predictions, networks)
    report_calibration(joint, held_out.folds)
    predictions = with_temperatures(joint)
    heads = with_thresholds(predictions)

    context, built = open_linear(data, student, folder)
    clips = linear_data(context, built)
    head = held_out.predictions.heads[-1]
    target = clips.targets[head.name]
    linear = fit_linear(clips.vectors, clips.targets, context.heads, clips.weights)
    linear.load_into(built.system)
    unknown = fit_geometry(linear, clips.vectors, target, len(head.classes), clips.noises)
    set_threshold(unknown, held_out.quantities, context.options.score.keep_known)
    built.system.set_unknown(head.name, unknown.to(torch.float32))
    member = member_of(load_model(student)[0])
    member.divide_logits({head.name: head.temperature for head in networks.heads})
    built.system.set_members(Members([member], own))

    predictions = dataclasses.replace(
        predictions,
        heads=heads,
        unknown=scores_of(unknown, held_out.quantities),
        unknown_threshold=THRESHOLD,
    )
    card = build_card(context, built, FitResult(None, None, False, heads, THRESHOLD))
    scores = score(predictions, category_source=card.category_source, notes=(SCORES_OF, NOT_FOR))
    card = dataclasses.replace(card, scores=scores_to_json(scores))
    save_model(ASSET, built.system, card, half=True)
    size = ASSET.stat().st_size
    print(f"\n{render(scores, classes=len(head.classes))}\n\n{summarise(built.system)}\n")
    print(f"{ASSET}: {size:,} bytes")
    if size > LARGEST:
        sys.exit(f"error: {size:,} bytes are more than {LARGEST:,}")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What linear heads on the students give for the clips of the folds that they have not seen.

    Attributes:
        predictions: calibrated.
        quantities: of the unknown score, ``[clips, 3]``.
        folds: ``[clips]``.
    """

    predictions: Predictions
    quantities: Floats
    folds: npt.NDArray[np.int_]


def held_out_linear(data: Path, students: Mapping[int, Path], folder: Path) -> HeldOut:
    """Fit linear heads on each student to the clips of the other folds, and predict its fold."""
    logits: dict[str, Floats] = {}
    quantities = np.zeros((0, 3))
    for fold, student in students.items():
        context, built = open_linear(data, student, folder)
        clips = linear_data(context, built)
        fit = fit_without(context, clips, fold)
        head = context.heads[-1]
        target = clips.targets[head.name]
        found, _ = held_out_logits([fit], clips.vectors, clips.targets, context.heads)
        scores, _ = held_out_scores(
            [fit], clips.vectors, target, head, clips.noises, clips.negative
        )
        if not logits:
            logits = {name: np.zeros_like(values) for name, values in found.items()}
            quantities = np.full_like(scores, np.nan)
        for name, values in found.items():
            logits[name][fit.tested] = values[fit.tested]
        quantities[fit.tested] = scores[fit.tested]
    tested = ~np.isnan(quantities[:, 0])
    true = {name: np.where(tested, one, IGNORE_INDEX) for name, one in clips.targets.items()}
    heads: Heads = calibrated(context.heads, logits, clips.targets, dict.fromkeys(logits, tested))
    train = context.clips("train")
    folds = np.array([clip.fold for clip in train])
    return HeldOut(predictions_of(train, heads, logits, true), quantities, folds)


def open_linear(data: Path, student: Path, folder: Path) -> tuple[RunContext, BuiltSystem]:
    """A run of linear heads on the frozen blocks of a student."""
    context = open_run(data, folder, RunOptions.of({**LINEAR, "backbone": str(student)}))
    return context, build(context)


def fit_without(context: RunContext, clips: LinearData, fold: int) -> FoldFit:
    """Linear heads, fitted to the clips of all folds but one."""
    tested = [number for number, clip in enumerate(context.clips("train")) if clip.fold == fold]
    [fit] = fit_folds(clips.vectors, clips.targets, context.heads, clips.weights, [tested])
    return fit


def report_calibration(predictions: Predictions, folds: npt.NDArray[np.int_]) -> None:
    """Print the calibration error of the mean, on each fold with the temperature of the others."""
    for head in predictions.heads:
        raw, true = np.asarray(predictions.proba[head.name]), predictions.true[head.name]
        known, after = true != IGNORE_INDEX, np.array(raw)
        for fold in np.unique(folds):
            rest = known & (folds != fold)
            after[folds == fold] = tempered(
                raw[folds == fold], fit_temperature(raw[rest], true[rest])
            )
        before, found = (calibration_error(one[known], true[known]) for one in (raw, after))
        print(
            f"{head.name}: calibration error {before:.3f}, and {found:.3f} on each fold with the "
            "temperature of the others"
        )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
