"""Measure how well the default recipe rejects sounds of no class, and how calibrated it is.

``python scripts/unknown_sounds.py ESC-50 --backbone mn04``

In each draw, ten classes are left out and a model learns the others from all folds but one. The
clips of the other fold are known or foreign to it. Synthetic noises, which the model has not seen
either, are foreign too. The calibration is that of models of all classes, for each fold.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import roc_auc_score

from sonotype.core.errors import SonotypeError
from sonotype.core.types import heads_of
from sonotype.data.augment.noises import KINDS, synthetic_noise
from sonotype.data.splits.crossfit import balanced_folds
from sonotype.evaluation.calibration import brier_score, calibration_error, log_loss
from sonotype.experiments.context import BuiltSystem, RunContext
from sonotype.experiments.linear_run import LinearData, fit_to_data, linear_data
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import build
from sonotype.experiments.run_options import RunOptions
from sonotype.features.vectors import NOISES
from sonotype.inference.postprocess import average_shifts
from sonotype.inference.torch_engine import TorchEngine
from sonotype.models.system import System

LEFT_OUT, DRAWS = 10, 5
NOISE_TESTS = 210
Floats = npt.NDArray[np.floating]


def main() -> int:
    """Run all draws; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="data with official folds, such as ESC-50")
    parser.add_argument("--backbone", default="mn04")
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--left-out", type=int, default=LEFT_OUT, help="classes left out in a draw")
    arguments = parser.parse_args()
    options = RunOptions.of({"backbone": arguments.backbone, "evaluation": "none"})
    context = open_run(arguments.data, Path("unused"), options, on_message=print)
    built = build(context)
    data = linear_data(context, built)
    print(calibration(context, built.system, data))
    rejected: defaultdict[str, list[float]] = defaultdict(list)
    rows = []
    for draw in range(arguments.draws):
        row, noises = one_draw(context, built, data, draw, arguments.left_out)
        rows.append(row)
        for kind, share in noises.items():
            rejected[kind].append(share)
        print(f"draw {draw}: " + "  ".join(f"{name} {value:.3f}" for name, value in row.items()))
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    print("mean:   " + "  ".join(f"{name} {value:.3f}" for name, value in means.items()))
    shares = (f"{kind} {float(np.mean(found)):.3f}" for kind, found in rejected.items())
    print("rejected noises: " + "  ".join(shares))
    return 0


def one_draw(
    context: RunContext, built: BuiltSystem, data: LinearData, draw: int, left_out: int
) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics of one draw, and the share of rejected noises by kind."""
    manifest, level = context.manifest, context.heads[-1].name
    labels = np.array([clip.label(level) for clip in manifest.clips])
    names = np.unique(labels)
    foreign = np.random.default_rng(draw).choice(names, left_out, replace=False)
    fold = manifest.folds[draw % len(manifest.folds)]
    tested = np.array([clip.fold == fold for clip in manifest.clips])
    known = ~np.isin(labels, foreign)
    fitted, threshold = fit_subset(context, built.system, data, np.flatnonzero(known & ~tested))
    scores = unknown_scores(fitted, data.vectors[tested])
    is_known = known[tested]
    at_95 = float(np.quantile(scores[is_known], 0.95))
    row = {
        "AUROC": float(roc_auc_score(~is_known, scores)),
        "passed at 95 % kept": float((scores[~is_known] <= at_95).mean()),
        "passed": float((scores[~is_known] <= threshold).mean()),
        "kept": float((scores[is_known] <= threshold).mean()),
    }
    return row, noise_rejection(fitted, built, context, threshold)


def fit_subset(
    context: RunContext, system: System, data: LinearData, learnt: npt.NDArray[np.intp]
) -> tuple[System, float]:
    """The system with heads that are fitted to some clips, and its unknown threshold."""
    clips = tuple(context.manifest.clips[index] for index in learnt)
    manifest = replace(context.manifest, clips=clips)
    heads = heads_of(clips)
    everything = tuple(range(len(clips)))
    subset = replace(
        context, manifest=manifest, split=replace(context.split, train=everything, test=())
    )
    targets = {head.name: np.array([head.target(clip) for clip in clips]) for head in heads}
    folds = balanced_folds(manifest, everything, most=5)
    for head in heads:
        system.classifiers[head.name] = torch.nn.Linear(system.embedding_size, len(head.classes))
    result, _ = fit_to_data(
        subset,
        system,
        replace(data, vectors=data.vectors[learnt], targets=targets, folds=folds),
    )
    if result.unknown_threshold is None:
        raise SonotypeError("too few clips for an unknown score")
    return system, result.unknown_threshold


@torch.inference_mode()
def unknown_scores(system: System, vectors: Floats) -> Floats:
    """Unknown scores of clips, averaged over views, ``[clips]``."""
    system.eval()
    scores = []
    for view in range(vectors.shape[1]):
        logits, embedding = system.heads(torch.from_numpy(vectors[:, view]))
        score = system.unknown_score(logits, embedding)
        scores.append(np.zeros(0) if score is None else score.numpy())
    return np.asarray(np.mean(scores, axis=0))


def noise_rejection(
    system: System, built: BuiltSystem, context: RunContext, threshold: float
) -> dict[str, float]:
    """By kind the share of noises that are rejected; the model was fitted to other noises."""
    engine = TorchEngine(system, context.heads)
    length, rate = built.audio_spec.length, built.audio_spec.sample_rate
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for number in range(NOISES, NOISES + NOISE_TESTS):
        waveform = synthetic_noise(number, length, rate)[None]
        heads: Any = average_shifts(engine, waveform, context.options.score.tta_shifts)
        found[KINDS[number % len(KINDS)]].append(float(heads.unknown[0]) > threshold)
    return {kind: float(np.mean(rejected)) for kind, rejected in found.items()}


def calibration(context: RunContext, system: System, data: LinearData) -> str:
    """Calibration of models of all classes for each fold, before and after the temperature."""
    manifest, head = context.manifest, context.heads[-1]
    before, after = [], []
    for fold in manifest.folds:
        tested = np.array([clip.fold == fold for clip in manifest.clips])
        learnt = np.flatnonzero(~tested)
        clips = tuple(manifest.clips[index] for index in learnt)
        subset = replace(
            context,
            manifest=replace(manifest, clips=clips),
            split=replace(context.split, train=tuple(range(len(clips)))),
        )
        result, _ = fit_to_data(
            subset,
            system,
            replace(
                data,
                vectors=data.vectors[learnt],
                targets={name: target[learnt] for name, target in data.targets.items()},
                folds=balanced_folds(subset.manifest, range(len(clips)), most=5),
            ),
        )
        true = data.targets[head.name][tested]
        for temperature, rows in ((1.0, before), (result.heads[-1].temperature, after)):
            proba = probabilities_of(system, data.vectors[tested], head.name, temperature)
            rows.append(
                (calibration_error(proba, true), brier_score(proba, true), log_loss(proba, true))
            )
    lines = ["mean over folds: calibration error, Brier score, log loss"]
    for name, rows in (("before", before), ("after", after)):
        lines.append(f"  {name:<8}" + "  ".join(f"{value:.4f}" for value in np.mean(rows, axis=0)))
    return "\n".join(lines)


@torch.inference_mode()
def probabilities_of(system: System, vectors: Floats, head: str, temperature: float) -> Floats:
    """Probabilities of clips, averaged over views, ``[clips, classes]``."""
    system.eval()
    views = [
        (system.heads(torch.from_numpy(vectors[:, view]))[0][head] / temperature).softmax(1)
        for view in range(vectors.shape[1])
    ]
    return torch.stack(views).mean(0).double().numpy()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
