"""Compare ways to choose the clips to label next: how many labels does a model need?

``python scripts/label_choice.py ESC-50 --out runs/label_choice``

Each fold of the data is the test fold once; the other folds are a pool of clips without labels. The
first labels are one clip of each class, or as many random clips. In each round, linear heads are
fitted to the labelled clips, and a strategy chooses 50 more clips of the pool. The table has the
number of labels with which the test accuracy first reaches 90 % and 95 % of the accuracy with all
labels of the pool, interpolated between rounds. The same command resumes a stopped run.

Strategies: ``random``; ``margin``, the smallest difference between the two best probabilities;
``diversity``, the clusters of ``sonotype suggest`` with equal weights; ``suggest``, the choice of
``sonotype suggest``.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from sonotype.core.errors import SonotypeError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.text import align
from sonotype.core.types import Head
from sonotype.experiments.context import RunContext
from sonotype.experiments.linear_run import DEFAULT_TEMPERATURE, LinearData, linear_data
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import build
from sonotype.experiments.run_folder import check_same_config, lock_config
from sonotype.experiments.run_options import RunOptions
from sonotype.suggest.choice import choose, uncertainty
from sonotype.training.linear_fit import LinearHeads, fit_linear

BATCH, DRAWS = 50, 5
SHARES = (0.9, 0.95)
STARTS = ("class", "random")
CURVES, TABLE = "curves.json", "label_choice"
WIDTHS = (8, 12, -15, -15, -15, -15)

Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.intp]
Strategy = Callable[[Floats, Floats, int, np.random.Generator], Iterable[int]]
"""Chooses clips by their uncertainty ``[clips]`` and their embeddings ``[clips, features]``."""


def random_choice(unsure: Floats, embeddings: Floats, n: int, rng: np.random.Generator) -> Indices:
    """Any clips."""
    return rng.choice(len(unsure), n, replace=False)


def margin(unsure: Floats, embeddings: Floats, n: int, rng: np.random.Generator) -> Indices:
    """The clips about which the model is least sure."""
    return np.argsort(-unsure, kind="stable")[:n]


def weighted(power: float) -> Strategy:
    """The choice of ``sonotype suggest``, with weights of ``uncertainty ** power``."""

    def chosen(
        unsure: Floats, embeddings: Floats, n: int, rng: np.random.Generator
    ) -> Iterable[int]:
        seed = int(rng.integers(2**31))
        return [one.sound for one in choose(embeddings, unsure**power, n, seed=seed)]

    return chosen


STRATEGIES: dict[str, Strategy] = {
    "random": random_choice,
    "margin": margin,
    "diversity": weighted(0),
    "suggest": weighted(1),
}


@dataclass(frozen=True)
class Study:
    """The clips of a data set as vectors.

    Attributes:
        context: of all clips.
        data: in the order of the manifest.
    """

    context: RunContext
    data: LinearData

    @property
    def head(self) -> Head:
        """The finest head."""
        return self.context.heads[-1]

    @property
    def target(self) -> npt.NDArray[np.integer]:
        """``[clips]`` class indices."""
        return self.data.targets[self.head.name]

    def fit(self, clips: Sequence[int]) -> LinearHeads:
        """Heads that learn some clips."""
        rows = list(clips)
        targets = {self.head.name: self.target[rows]}
        return fit_linear(self.data.vectors[rows], targets, (self.head,), self.data.weights)

    def proba(self, linear: LinearHeads, clips: Sequence[int]) -> Floats:
        """``[clips, classes]`` mean probabilities over the views of clips."""
        logits = linear.logits(self.data.vectors[list(clips)])[self.head.name]
        mean: Floats = softmax(logits / DEFAULT_TEMPERATURE, axis=-1).mean(axis=1)
        return mean

    def accuracy(self, linear: LinearHeads, clips: Sequence[int]) -> float:
        """Share of some clips whose class is found."""
        right = self.proba(linear, clips).argmax(axis=1) == self.target[list(clips)]
        return float(right.mean())


def main() -> int:
    """Run what is missing and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="labelled sounds with folds, such as ESC-50")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--backbone", default="mn04")
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"default: {DRAWS}")
    parser.add_argument("--starts", default=",".join(STARTS), help="class, random, or both")
    parser.add_argument("--strategies", default=",".join(STRATEGIES), help="separated by commas")
    arguments = parser.parse_args()
    study = open_study(arguments.data, arguments.out / "vectors", arguments.backbone)
    path = arguments.out / CURVES
    curves = json.loads(path.read_text("utf-8")) if path.exists() else {}
    folds = sorted({clip.fold for clip in study.context.manifest.clips if clip.fold is not None})
    draws, starts = range(1, arguments.draws + 1), arguments.starts.split(",")
    for fold in folds:
        if f"all {fold}" not in curves:
            pool, test = split(study, fold)
            curves[f"all {fold}"] = study.accuracy(study.fit(pool), test)
    for key in product(starts, draws, folds, arguments.strategies.split(",")):
        name = " ".join(map(str, key))
        if name not in curves:
            curves[name] = curve(study, *key, curves[f"all {key[2]}"])
            write_text(path, json_text(curves, indent=1) + "\n")
            print(name, " ".join(f"{value:.3f}" for value in curves[name]), flush=True)
    text = "\n".join(table(curves, len(study.head.classes)))
    write_text(arguments.out / f"{TABLE}.txt", text + "\n")
    print(text)
    return 0


def open_study(data: Path, out: Path, backbone: str) -> Study:
    """Open the data and compute or load the vectors of all clips; one view of each is fast."""
    options = RunOptions.of({"recipe": "linear", "backbone": backbone, "evaluation": "none"})
    context = open_run(data, out, options, progress=True, on_message=print)
    check_same_config(context)
    built = build(context)
    lock_config(context)
    data = linear_data(context, built)
    return Study(context, replace(data, vectors=data.vectors[:, :1]))


def split(study: Study, fold: int) -> tuple[list[int], list[int]]:
    """The clips of the other folds, and those of a fold."""
    folds = np.array([clip.fold for clip in study.context.manifest.clips])
    return np.flatnonzero(folds != fold).tolist(), np.flatnonzero(folds == fold).tolist()


def curve(
    study: Study, start: str, draw: int, fold: int, strategy: str, full: float
) -> list[float]:
    """Test accuracies of all rounds, until the largest share of ``full`` is reached."""
    rng = np.random.default_rng([fold, draw])
    pool, test = split(study, fold)
    labelled = first_labels(study, pool, start, rng)
    found = []
    while True:
        linear = study.fit(labelled)
        found.append(study.accuracy(linear, test))
        rest = sorted(set(pool) - set(labelled))
        if found[-1] >= max(SHARES) * full or not rest:
            return found
        unsure = uncertainty(study.proba(linear, rest), study.head)
        embeddings = linear.embed(study.data.vectors[rest, 0])
        number = min(BATCH, len(rest))
        chosen = STRATEGIES[strategy](unsure, embeddings, number, rng)
        labelled = labelled + [rest[index] for index in chosen]


def first_labels(
    study: Study, pool: Sequence[int], start: str, rng: np.random.Generator
) -> list[int]:
    """One clip of each class, or as many of any class."""
    if start == "random":
        return list(map(int, rng.choice(pool, len(study.head.classes), replace=False)))
    by_class = defaultdict(list)
    for index in pool:
        by_class[int(study.target[index])].append(index)
    return [int(rng.choice(by_class[number])) for number in sorted(by_class)]


def labels_needed(found: Sequence[float], first: int, accuracy: float) -> float:
    """Number of labels at which a curve first reaches an accuracy; linear between rounds."""
    for number, value in enumerate(found):
        if value >= accuracy:
            if not number:
                return float(first)
            before = found[number - 1]
            part = (accuracy - before) / (value - before)
            return first + BATCH * (number - 1 + part)
    return float("nan")


def table(curves: dict[str, list[float]], first: int) -> list[str]:
    """Mean and standard deviation of the labels needed, by start and strategy, in two halves.

    The weights were chosen on the first half of the folds.

    Args:
        curves: accuracies of the rounds by start, draw, fold and strategy; and with all labels.
        first: number of labels of the first round.
    """
    full = {int(name.split()[1]): value for name, value in curves.items() if name.startswith("all")}
    folds = sorted(full)
    halves = folds[: len(folds) // 2], folds[len(folds) // 2 :]
    heads = [f"{share:.0%}, {_span(half)}" for half in halves for share in SHARES]
    lines = [align(["start", "strategy", *heads], *WIDTHS)]
    runs = [name.split() for name in curves if not name.startswith("all")]
    for start, strategy in dict.fromkeys((run[0], run[3]) for run in runs):
        cells = []
        for half, share in product(halves, SHARES):
            needed = [
                labels_needed(curves[" ".join(run)], first, share * float(full[int(run[2])]))
                for run in runs
                if (run[0], run[3]) == (start, strategy) and int(run[2]) in half
            ]
            cells.append(f"{np.mean(needed):.0f} ± {np.std(needed):.0f}" if needed else "")
        lines.append(align([start, strategy, *cells], *WIDTHS))
    return lines


def _span(folds: Sequence[int]) -> str:
    return f"folds {folds[0]}-{folds[-1]}" if len(folds) > 1 else f"fold {folds[0]}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
