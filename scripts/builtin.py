"""Make the built-in model: ``python scripts/builtin.py ESC-50 --out runs/builtin``.

The script runs the study of teachers and students, and trains one more student on every clip, with
the teachers that have not seen the clip. The temperatures are fitted on the predictions of the
study's students for the folds that they have not seen, and stored in the heads of the model. The
model is saved in half precision as a file of the package. The same command resumes a stopped run.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonotype.core.errors import SonotypeError
from sonotype.core.types import LEVELS
from sonotype.evaluation.calibration import calibration_error, fit_temperature, tempered
from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.evaluation.report import render
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import Plan, read_plan
from sonotype.experiments.run_folder import MODEL, PREDICTIONS
from sonotype.experiments.runner import train_or_resume
from sonotype.modelfile.model_file import load_model, save_model
from sonotype.models.summary import summarise

ROOT = Path(__file__).resolve().parent.parent
STUDY, ROW = ROOT / "studies" / "builtin.toml", "distilled"
ASSET = ROOT / "src" / "sonotype" / "assets" / "builtin.safetensors"
LARGEST = 3_000_000
SCORES_OF = (
    "of the recipe: the predictions for each of folds 1 to 4 are from a student that was trained, "
    "like its teachers, without that fold; the model itself was trained on all four"
)
NOT_FOR = (
    "not for commercial use, because of its data; not for sounds outside its fifty classes, which "
    "it assigns to the nearest one; not where a wrong prediction does harm"
)


def main() -> int:
    """Run all steps; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ESC-50, folds 1 to 4")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at a time")
    arguments = parser.parse_args()
    plan = read_plan(STUDY)
    if not run_study(
        plan, arguments.data, arguments.out,
        jobs=arguments.jobs, progress=True, on_message=print,
    ):  # fmt: skip
        return 130
    run = arguments.out / "everything"
    train_on_everything(plan, arguments.data, arguments.out, run)
    pack(plan, arguments.out, run / MODEL)
    return 0


def train_on_everything(plan: Plan, data: Path, study: Path, run: Path) -> None:
    """A student as in the study, trained on every clip."""
    teachers = tuple(str(study / teacher.folder) for teacher in plan.teachers(ROW))
    options = {**plan.row(ROW).options, "protocol": "all", "teachers": teachers}
    train_or_resume(data, run, progress=True, on_message=print, **options)


def pack(plan: Plan, study: Path, model: Path) -> None:
    """Calibrate, add the scores of the study, write the file, and print a summary."""
    folds = [load_predictions(study / run.folder / PREDICTIONS) for run in plan.row(ROW).runs()]
    predictions = concatenate(folds)
    temperature = {level: temperature_of(folds, level) for level in LEVELS}
    system, card = load_model(model)
    heads = tuple(
        dataclasses.replace(head, temperature=temperature[head.name]) for head in card.heads
    )
    proba = {
        level: tempered(predictions.proba[level], value).astype(np.float32)
        for level, value in temperature.items()
    }
    calibrated = dataclasses.replace(predictions, heads=heads, proba=proba)
    scores = score(calibrated, category_source=card.category_source, notes=(SCORES_OF, NOT_FOR))
    card = dataclasses.replace(card, heads=heads, scores=scores_to_json(scores))
    save_model(ASSET, system, card, half=True)
    size = ASSET.stat().st_size
    classes = len(heads[-1].classes)
    print(f"\n{render(scores, classes=classes)}\n\n{summarise(system)}\n")
    print(f"{ASSET}: {size:,} bytes")
    if size > LARGEST:
        sys.exit(f"error: {size:,} bytes are more than {LARGEST:,}")


def temperature_of(folds: Sequence[Predictions], level: str) -> float:
    """The temperature of a head, fitted on all folds.

    Prints the calibration error, measured on each fold with the temperature of the others.
    """
    before = [np.asarray(fold.proba[level]) for fold in folds]
    true = [np.asarray(fold.true[level]) for fold in folds]

    def fitted(left_out: int | None) -> float:
        kept = [index for index in range(len(folds)) if index != left_out]
        chosen = (np.concatenate([values[index] for index in kept]) for values in (before, true))
        return fit_temperature(*chosen)

    after = [tempered(fold, fitted(index)) for index, fold in enumerate(before)]
    errors = [
        calibration_error(np.concatenate(each), np.concatenate(true)) for each in (before, after)
    ]
    temperature = fitted(None)
    print(
        f"{level}: temperature {temperature:.3f}; calibration error {errors[0]:.3f}, and "
        f"{errors[1]:.3f} on each fold with the temperature of the others"
    )
    return temperature


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
