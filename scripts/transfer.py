"""Measure the built-in model's features on classes that it was not trained on.

``python scripts/transfer.py ESC-50 --out runs/transfer``

A student like the built-in model is trained on 40 of ESC-50's 50 classes, with teachers trained on
the same classes. The ten other classes are then learnt from a few clips each, with three first
branches: the frozen one of the student, the frozen mn04, and one that is trained from scratch. Each
clip is tested once at every size, and each seed draws other training clips. The same command
resumes a stopped run.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.core.errors import SonotypeError
from sonotype.core.types import LEVELS, Clip
from sonotype.data.readers.source import open_source
from sonotype.evaluation.metrics import Interval
from sonotype.experiments.learning_curve import run_learning_curve
from sonotype.experiments.run_folder import MODEL
from sonotype.experiments.runner import train_or_resume

LEFT_OUT_OF_EACH = 2
"""Classes of each of the five categories."""
SIZES = (4, 8)
SEEDS = (0, 1, 2)
TEACHERS = {"first": ((1, 2), (3, 4)), "second": ((3, 4), (1, 2))}
"""Folds that each teacher is trained on, and folds that it is tested on and labels."""

ENDS = ("low", "high")

STUDENT: dict[str, Any] = {
    "recipe": "student",
    "protocol": "all",
    "checkpoint": "last",
    "precision": "bf16-mixed",
    "epochs": 100,
    "min_steps": 0,
    "n_augmented": 12,
}
"""The built-in model's options, with half as many augmented copies of each clip."""
SCRATCH: dict[str, Any] = {"backbone": "none", "width": 0.125, "learning_rate": 3e-3, "mixup": 0.0}


def main() -> int:
    """Run all steps and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="ESC-50, folds 1 to 4")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings")
    arguments = parser.parse_args()
    out: Path = arguments.out
    clips = open_source(arguments.data).clips
    left_out = choose(clips)
    print(f"left out: {', '.join(sorted(left_out))}")
    known = write_table(
        out / "known.csv", (clip for clip in clips if clip.label("event") not in left_out)
    )
    new = write_table(out / "new.csv", (clip for clip in clips if clip.label("event") in left_out))
    teachers = [
        train(known, out / "teachers" / name, backbone="mn04", train_folds=ours, test_folds=theirs,
              checkpoint="last")
        for name, (ours, theirs) in TEACHERS.items()
    ]  # fmt: skip
    student = train(known, out / "student", teachers=tuple(teachers), **STUDENT)
    branches = {
        "built-in": {"backbone": str(Path(student) / MODEL)},
        "mn04": {"backbone": "mn04"},
        "none": SCRATCH,
    }
    for name, options in branches.items():
        curves = [accuracies(new, out / name / f"seed_{seed}", seed, options) for seed in SEEDS]
        for size in curves[0]:
            values = [curve[size].value for curve in curves]
            low, high = (np.mean([getattr(curve[size], end) for curve in curves]) for end in ENDS)
            print(
                f"{name:<10}{size:>5g} clips  accuracy {np.mean(values):.3f}  "
                f"95 % {low:.3f} {high:.3f}  draws {min(values):.3f} to {max(values):.3f}"
            )
    return 0


def choose(clips: Iterable[Clip]) -> set[str]:
    """Two random classes of each category, always the same."""
    events: dict[str, set[str]] = {}
    for clip in clips:
        category, event = (clip.label(level) for level in LEVELS)
        if category and event:
            events.setdefault(category, set()).add(event)
    rng = np.random.default_rng(0)
    return {
        str(event)
        for _, names in sorted(events.items())
        for event in rng.choice(sorted(names), LEFT_OUT_OF_EACH, replace=False)
    }


def write_table(path: Path, clips: Iterable[Clip]) -> Path:
    """Write the clips as a table that sonotype reads, with their recordings and folds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", *LEVELS, "group", "fold"])
        for clip in clips:
            labels = [clip.label(level) for level in LEVELS]
            writer.writerow([clip.path.resolve(), *labels, clip.group, clip.fold])
    return path


def train(data: Path, run: Path, **options: Any) -> str:
    """Train or resume; returns the run folder."""
    print(f"training {run}")
    train_or_resume(data, run, progress=True, on_message=print, **options)
    return str(run)


def accuracies(data: Path, out: Path, seed: int, options: dict[str, Any]) -> dict[float, Interval]:
    """Accuracy with its interval by the number of clips per class."""
    result = run_learning_curve(
        data, out, sizes=SIZES, progress=True, seed=seed, precision="bf16-mixed", **options
    )
    return {point.clips_per_class: point.accuracy for point in result.curve.points}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
