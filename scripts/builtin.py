"""Make the built-in model from nothing: ``python scripts/builtin.py ESC-50 --out runs/builtin``.

Teachers and students of the study, then one more student that learns every clip, each from those
teachers that have not heard it. It is calibrated on the answers of the study's students, each to
the fold that it has not heard, packed in half precision, and put among the package's files.
Killed, the same command goes on.
"""
# ruff: noqa: T201 - a script talks to whoever runs it

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sonotype.core.errors import SonotypeError
from sonotype.evaluation.calibration import (
    calibration_error,
    divide_logits,
    fit_temperature,
    tempered,
)
from sonotype.evaluation.metrics import score, scores_to_json
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.evaluation.report import render
from sonotype.experiments.grid import run_study
from sonotype.experiments.grid_plan import Plan, read_plan
from sonotype.experiments.run_folder import MODEL, PREDICTIONS
from sonotype.experiments.run_once import run_or_resume
from sonotype.modelfile.model_file import load_model, save_model
from sonotype.models.summary import summarise

ROOT = Path(__file__).resolve().parent.parent
STUDY, ROW = ROOT / "studies" / "builtin.toml", "taught"
ASSET = ROOT / "src" / "sonotype" / "assets" / "builtin.safetensors"
LARGEST = 3_000_000
LEVELS = ("category", "event")
SCORES_OF = (
    "of the recipe: each of folds 1 to 4 was answered by a student that was trained, like its "
    "teachers, without it; the model itself has learnt from all four"
)
NOT_FOR = (
    "not for commercial use, as its data are not; nor for sounds of other kinds, of which it names "
    "the nearest of its fifty; nor where a wrong answer does harm"
)


def main() -> int:
    """Run all of it; the exit code."""
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
    """A student as the study's, which hears every clip."""
    teachers = tuple(str(study / planned.folder) for planned in plan.teachers(ROW))
    options = {**plan.row(ROW).options, "protocol": "all", "teachers": teachers}
    run_or_resume(data, run, progress=True, on_message=print, **options)


def pack(plan: Plan, study: Path, model: Path) -> None:
    """Calibrate, put the study's scores beside, write the file, and say what it is."""
    folds = [
        load_predictions(study / planned.folder / PREDICTIONS)
        for planned in plan.row(ROW).planned_runs()
    ]
    answers = concatenate(folds)
    temperature = {level: temperature_of(folds, level) for level in LEVELS}
    system, card = load_model(model)
    divide_logits(system, **temperature)
    calibrated = dataclasses.replace(
        answers,
        **{
            f"{level}_probability": tempered(probability(answers, level), value).astype(np.float32)
            for level, value in temperature.items()
        },
    )
    scores = score(calibrated, category_source=card.category_source, notes=(SCORES_OF, NOT_FOR))
    training = {**card.training, "temperature": temperature}
    card = dataclasses.replace(card, scores=scores_to_json(scores), training=training)
    save_model(ASSET, system, card, half=True)
    size = ASSET.stat().st_size
    classes = len(card.labels.events)
    print(f"\n{render(scores, classes=classes)}\n\n{summarise(system)}\n")
    print(f"{ASSET}: {size:,} bytes")
    if size > LARGEST:
        sys.exit(f"error: {size:,} bytes are more than {LARGEST:,}")


def temperature_of(folds: Sequence[Predictions], level: str) -> float:
    """The temperature of a head on all folds, and a line on what it does.

    What it does is measured on each fold with the temperature of the others.
    """
    before = [probability(one, level) for one in folds]
    true = [getattr(one, f"{level}_true") for one in folds]

    def fitted(left_out: int | None) -> float:
        kept = [index for index in range(len(folds)) if index != left_out]
        chosen = (np.concatenate([values[index] for index in kept]) for values in (before, true))
        return fit_temperature(*chosen)

    after = [tempered(one, fitted(index)) for index, one in enumerate(before)]
    errors = [
        calibration_error(np.concatenate(one), np.concatenate(true)) for one in (before, after)
    ]
    temperature = fitted(None)
    print(
        f"{level}: temperature {temperature:.3f}; calibration error {errors[0]:.3f}, and "
        f"{errors[1]:.3f} on each fold with the temperature of the others"
    )
    return temperature


def probability(answers: Predictions, level: str) -> np.ndarray:
    """What a head answered, ``[clips, classes]``."""
    return np.asarray(getattr(answers, f"{level}_probability"))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
