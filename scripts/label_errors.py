"""Measure which share of planted label errors different rankings put at the head of the list.

``python scripts/label_errors.py ESC-50 --backbone mn04``

In each draw, 5 % of the clips get a wrong label, and a cross-fitted model of the default recipe
ranks all clips. The errors are: labels swapped at random; labels swapped with the class that is
most often confused; foreign sounds, of one class in five that is otherwise left out, under labels
at random or under the label that fits best. All rankings see the same predictions.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sonotype.core.errors import SonotypeError
from sonotype.core.types import Clip, heads_of
from sonotype.evaluation.predictions import Predictions
from sonotype.evaluation.suspects import best_other, is_foreign, label_scores
from sonotype.experiments.linear_run import (
    LinearData,
    agreement_of,
    calibrated,
    linear_data,
    predictions_of,
)
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import build
from sonotype.experiments.run_options import RunOptions
from sonotype.models.unknown import AXES, UnknownScore
from sonotype.training.linear_fit import fit_folds, held_out_logits
from sonotype.training.unknown_fit import held_out_scores, scores_of, set_threshold

DRAWS = (0, 1, 2, 3, 4)
WRONG, LISTED = 0.05, 0.06
"""Share of the clips with a planted error, and share of the list that is looked at."""
LEFT_OUT = 5
"""One class in so many is foreign."""
LEVEL = "category"
KEEP_KNOWN = 0.95
"""Share of the known clips below the threshold of the unknown score, as by default."""
ERRORS = ("random", "confused", "foreign", "foreign, fitting")
HALVES = 99
"""Seed of the division of the classes into two halves."""

Floats = npt.NDArray[np.floating]
Labels = npt.NDArray[np.str_]
Indices = npt.NDArray[np.integer]


def main() -> int:
    """Run all draws; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="data with official folds, such as ESC-50")
    parser.add_argument("--backbone", default="mn04")
    parser.add_argument("--draws", type=int, nargs="+", default=DRAWS, help="seeds")
    parser.add_argument("--errors", nargs="+", choices=ERRORS, default=ERRORS)
    parser.add_argument("--classes", choices=("all", "first", "second"), default="all",
        help="use all classes, or the first or second half of them in a random order")  # fmt: skip
    arguments = parser.parse_args()
    options = RunOptions.of({"backbone": arguments.backbone, "evaluation": "crossfit"})
    context = open_run(arguments.data, Path("unused"), options, on_message=print)
    built = build(context)
    data = linear_data(context, built)
    level = context.heads[-1].name
    labels = np.array([clip.label(level) for clip in context.manifest.clips])
    classes = half_of(np.unique(labels), arguments.classes)
    kept = np.flatnonzero(np.isin(labels, classes))
    clips = context.manifest.clips
    clean = fit_labels(*take(data, clips, kept), labels[kept])
    found: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for draw in arguments.draws:
        for error in arguments.errors:
            rng = np.random.default_rng(draw)
            used, given = plant(error, kept, labels, clean, rng)
            predictions = fit_labels(*take(data, clips, used), given[used])
            planted = given[used] != labels[used]
            shares = shares_found(predictions, planted, labels[used])
            for ranking, share in shares.items():
                found[ranking][error].append(share)
            texts = (f"{name} {share:.3f}" for name, share in shares.items())
            print(f"draw {draw}, {error}: " + ", ".join(texts), flush=True)
    print(f"\nshare of the errors in the first {LISTED:.0%} of the list, mean [lowest, highest]")
    print(
        " | ".join(["| ranking", *arguments.errors])
        + " |\n"
        + "|---" * (len(arguments.errors) + 1)
        + "|"
    )
    for ranking, by_error in found.items():
        cells = (cell(by_error.get(error, [])) for error in arguments.errors)
        print(" | ".join([f"| {ranking}", *cells]) + " |")
    return 0


def cell(shares: list[float]) -> str:
    """Mean, lowest and highest share."""
    known = [share for share in shares if not np.isnan(share)]
    return f"{np.mean(known):.3f} [{min(known):.3f}, {max(known):.3f}]" if known else "-"


def half_of(classes: Labels, which: str) -> Labels:
    """All classes, or half of them."""
    order = np.random.default_rng(HALVES).permutation(len(classes))
    middle = len(classes) // 2
    halves = {"all": order, "first": order[:middle], "second": order[middle:]}
    return np.sort(classes[halves[which]])


def plant(
    error: str, kept: Indices, labels: Labels, clean: Predictions, rng: np.random.Generator
) -> tuple[Indices, Labels]:
    """The indices of the clips to use, and the labels ``[all clips]`` with planted errors.

    Args:
        error: the kind.
        kept: indices of the clips to draw from.
        labels: of all clips.
        clean: predictions of the kept clips by models of the true labels.
        rng: draws classes, clips and labels.
    """
    given, classes = labels.copy(), np.unique(labels[kept])
    proba = clean.proba[clean.heads[0].name]
    row_of = {int(index): row for row, index in enumerate(kept)}
    if not error.startswith("foreign"):
        confused = np.array([proba[labels[kept] == name].mean(axis=0) for name in classes])
        np.fill_diagonal(confused, 0)
        for index in rng.choice(kept, round(WRONG * len(kept)), replace=False):
            own = int(np.searchsorted(classes, labels[index]))
            others = np.delete(classes, own)
            swapped = classes[confused[own].argmax()]
            given[index] = rng.choice(others) if error == "random" else swapped
        return kept, given
    foreign = rng.choice(classes, len(classes) // LEFT_OUT, replace=False)
    known = ~np.isin(classes, foreign)
    base = kept[~np.isin(labels[kept], foreign)]
    others = kept[np.isin(labels[kept], foreign)]
    added = rng.choice(others, round(WRONG / (1 - WRONG) * len(base)), replace=False)
    for index in added:
        fitting = classes[known][proba[row_of[int(index)], known].argmax()]
        given[index] = rng.choice(classes[known]) if error == "foreign" else fitting
    return np.sort(np.concatenate([base, added])), given


def fit_labels(data: LinearData, clips: Sequence[Clip], labels: Labels) -> Predictions:
    """Held-out predictions of some clips by cross-fitted heads that learn given labels.

    Args:
        data: pooled vectors of these clips, and their folds.
        clips: the clips; their own labels are not used.
        labels: of the clips.
    """
    clips = [replace(one, labels={LEVEL: (str(x),)}) for one, x in zip(clips, labels, strict=True)]
    heads = heads_of(clips)
    target = np.array([heads[0].target(clip) for clip in clips])
    targets = {LEVEL: target}
    fits = fit_folds(data.vectors, targets, heads, data.weights, data.folds)
    logits, scored = held_out_logits(fits, data.vectors, targets, heads)
    heads = calibrated(heads, logits, targets, scored)
    predictions = predictions_of(clips, heads, logits, targets)
    quantities, known = held_out_scores(
        fits, data.vectors, target, heads[0], data.noises, np.zeros(len(clips), dtype=bool)
    )
    score = UnknownScore(len(heads[0].classes), data.vectors.shape[-1], AXES)
    set_threshold(score, quantities[known], KEEP_KNOWN)
    agreement = agreement_of(fits[0].linear, replace(data, targets=targets), predictions)
    return replace(predictions, unknown=scores_of(score, quantities), agreement=agreement)


def take(data: LinearData, clips: Sequence[Clip], used: Indices) -> tuple[LinearData, list[Clip]]:
    """The data of some clips, and these clips."""
    fold_of = np.array([clips[index].fold for index in used])
    folds = tuple(tuple(np.flatnonzero(fold_of == fold).tolist()) for fold in np.unique(fold_of))
    return replace(data, vectors=data.vectors[used], folds=folds), [clips[index] for index in used]


def shares_found(
    predictions: Predictions, planted: npt.NDArray[np.bool_], labels: Labels
) -> dict[str, float]:
    """By ranking the share of the planted errors at the head of its list; what is suspected."""
    most = round(LISTED * len(planted))
    shares = {}
    for name, score in rankings(predictions).items():
        first = np.argsort(-score, kind="stable")[:most]
        shares[name] = float(planted[first].sum() / planted.sum())
    head = predictions.heads[0]
    true, proba = predictions.true[head.name], predictions.proba[head.name]
    other = best_other(proba, true)
    unknown = np.nan_to_num(np.asarray(predictions.unknown))
    foreign = is_foreign(proba[np.arange(len(true)), other], unknown)
    right = np.array(head.classes)[other] == labels
    shares["(named foreign)"] = float(foreign[planted].mean())
    shares["(named the true class)"] = float((right & ~foreign)[planted].mean())
    return shares


def rankings(predictions: Predictions) -> dict[str, Floats]:
    """By name of a ranking the scores ``[clips]``, higher for suspicious labels."""
    name = predictions.heads[0].name
    true, proba = predictions.true[name], predictions.proba[name].astype(np.float64)
    rows, agreement = np.arange(len(true)), predictions.agreement[name]
    given, best = proba[rows, true], proba[rows, best_other(proba, true)]
    typical = np.array([given[true == index].mean() for index in range(proba.shape[1])])
    confident = proba >= typical
    chosen = ~confident[rows, true] & confident.any(axis=1)
    unknown = np.nan_to_num(np.asarray(predictions.unknown))
    return {
        "probability": 1 - given,
        "margin": best - given,
        "log odds": np.log(best) - np.log(given),
        "confident learning": best - given + 2 * chosen,
        "10 nearest clips": 1 - agreement,
        "probability, 10 nearest clips": 1 - given - agreement,
        "unknown score": unknown,
        "probability, unknown score": 1 - given * (1 - unknown),
        "margin, 10 nearest clips": best - given - agreement,
        "suspects": label_scores(proba, true, agreement),
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
