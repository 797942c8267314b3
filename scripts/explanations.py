"""Measure how faithful the maps of ``sonotype explain`` are: curves and scores of masked clips.

``python scripts/explanations.py ESC-50 --out runs/explanations``

A model of the default recipe is trained without one fold, and explains clips of that fold: the
class that it predicts, right or wrong. On the first fold, the power that makes a mask of a map is
chosen, for the highest average increase. The table is of the second fold. Both trainings and all
scores of clips are kept in the folder, and the same command resumes a stopped run.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import sonotype
from sonotype.core.errors import SonotypeError
from sonotype.core.io import write_text
from sonotype.core.types import Clip
from sonotype.data.readers.source import open_source
from sonotype.evaluation.bootstrap import draws
from sonotype.experiments.runner import train_or_resume
from sonotype.explain.faithfulness import Removal, area, curve, mask_scores, masks_of
from sonotype.explain.methods import FUNCTIONS, METHODS, POWER, MethodName
from sonotype.explain.network import Network, Target

LEVELS = ("category", "event")
POWERS = (0.25, 0.5, 1.0, 2.0)
SLOW = {"occlusion": 4}
"""Methods that explain one clip in so many."""
RESAMPLES = 2000

CURVES = ("deletion", "insertion", "deletion, median", "insertion, median")
SCORES = ("increase", "drop", "gain", "faithfulness", "fidelity", "kept")
PER_CENT = ("increase", "drop", "gain")

Row = dict[str, Any]


@dataclass(frozen=True)
class Explained:
    """A clip, its log-mels and the class that the network predicts for it."""

    clip: Clip
    network: Network
    log_mels: list[Tensor]
    target: Target


def main() -> int:
    """Run all steps; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="data with official folds, such as ESC-50")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--model", help="explain DATA by this model, or by '', the built-in one; "
        "with the powers of the package, and without training")  # fmt: skip
    parser.add_argument("--backbone", default="mn04")
    parser.add_argument("--folds", type=int, nargs=2, default=(1, 2),
        help="fold to choose the powers on, and fold of the table")  # fmt: skip
    parser.add_argument("--clips", type=int, nargs=2, default=(50, 100), help="clips of each fold")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    arguments = parser.parse_args()
    clips = open_source(arguments.data).clips
    few, many = arguments.clips
    methods, out = arguments.methods, arguments.out
    if arguments.model is not None:
        powers = dict.fromkeys(methods, POWER)
        network, tested = Network.of(sonotype.load(arguments.model or None)), drawn(clips, many)
    else:
        choice, test = ([clip for clip in clips if clip.fold == fold] for fold in arguments.folds)
        network = network_without(arguments.folds[0], clips, arguments)
        powers = {method: choose(method, drawn(choice, few), network, out) for method in methods}
        network, tested = network_without(arguments.folds[1], clips, arguments), drawn(test, many)
    found = {method: scored(method, tested, network, [powers[method]], out) for method in methods}
    print(table(found, powers))
    if "mask" in methods:
        print(control(tested[:few], network, powers["mask"]))
    return 0


def choose(method: MethodName, clips: Sequence[Clip], network: Network, out: Path) -> float:
    """The power with the highest average increase."""
    rows = scored(method, clips, network, POWERS, out)
    increases = {power: mean_of(rows, f"increase at {power:g}") for power in POWERS}
    best = max(increases, key=lambda power: increases[power])
    shown = ", ".join(f"{power:g}: {100 * value:.1f}" for power, value in increases.items())
    print(f"{method}: AI by power {shown}; uses {best:g}", flush=True)
    return best


def network_without(fold: int, clips: Sequence[Clip], arguments: argparse.Namespace) -> Network:
    """The network of a model that is trained on all folds but one, or that was."""
    run = arguments.out / f"without_fold_{fold}"
    data = run.with_suffix(".csv")
    data.parent.mkdir(parents=True, exist_ok=True)
    with data.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", *LEVELS, "group", "fold"])
        for clip in clips:
            if clip.fold != fold:
                labels = [clip.label(level) for level in LEVELS]
                writer.writerow([clip.path.resolve(), *labels, clip.group, clip.fold])
    train_or_resume(data, run, backbone=arguments.backbone, progress=True, on_message=print)
    return Network.of(sonotype.load(run))


def drawn(clips: Sequence[Clip], number: int) -> list[Clip]:
    """Random clips, always the same."""
    order = np.random.default_rng(0).permutation(len(clips))[:number]
    return [clips[index] for index in order]


def explained(clips: Sequence[Clip], network: Network) -> Iterator[Explained]:
    """The clips with their predicted classes."""
    for clip in clips:
        log_mels = network.log_mels(network.clip(clip.path))
        yield Explained(clip, network, log_mels, network.target(log_mels))


def scored(
    method: MethodName,
    clips: Sequence[Clip],
    network: Network,
    powers: Sequence[float],
    out: Path,
) -> list[Row]:
    """A row of scores for each clip, read from the folder if it is there."""
    clips = clips[:: SLOW.get(method, 1)]
    powers_text = "_".join(f"{power:g}" for power in powers)
    path = out / f"{method}_fold_{clips[0].fold}_{len(clips)}_clips_{powers_text}.json"
    if path.exists():
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
        return rows
    rows = [row_of(method, one, powers) for one in explained(clips, network)]
    write_text(path, json.dumps(rows, indent=1))
    return rows


def row_of(method: MethodName, one: Explained, powers: Sequence[float]) -> Row:
    """The scores of a clip; with several powers those of the mask for each of them alone."""
    importance = FUNCTIONS[method](one.network, one.log_mels, one.target)
    row: Row = {"clip": one.clip.path.name, "group": one.clip.group}
    for power in powers:
        masks = masks_of(importance, power)
        scores = mask_scores(one.network, one.log_mels, masks, one.target)
        row |= {f"{name} at {power:g}": value for name, value in asdict(scores).items()}
    if len(powers) > 1:
        return row
    for name in CURVES:
        removal: Removal = "median" if "median" in name else "floor"
        values = curve(
            one.network, one.log_mels, importance, one.target,
            insert=name.startswith("insertion"), removal=removal,
        )  # fmt: skip
        row |= {name: area(values), f"curve of {name}": values.tolist()}
    return row


def control(clips: Sequence[Clip], network: Network, power: float) -> str:
    """Whether a mask can make any class probable: that of a random other class, for each clip."""
    rng = np.random.default_rng(0)
    before, after, own = [], [], []
    for one in explained(clips, network):
        others = np.delete(np.arange(len(one.target.head.classes)), one.target.index)
        other = replace(one.target, index=int(rng.choice(others)))
        masks = masks_of(FUNCTIONS["mask"](network, one.log_mels, other), power)
        scores = mask_scores(network, one.log_mels, masks, other)
        proba = network.proba(one.log_mels, other.head)[0]
        before.append(proba[other.index].item())
        after.append(before[-1] * (1 - scores.drop) + scores.gain * (1 - before[-1]))
        own.append(scores.fidelity)
    return (
        f"\nmask for a random other class, {len(own)} clips: mean probability of that class "
        f"{np.mean(before):.3f} in the clip, {np.mean(after):.3f} in the part kept (median "
        f"{np.median(after):.3f}, above 0.5 in {np.mean(np.array(after) > 0.5):.0%}); the class of "
        f"the clip stays the most probable in {np.mean(own):.0%}"
    )


def table(found: Mapping[MethodName, list[Row]], powers: Mapping[MethodName, float]) -> str:
    """A row for each method: means, with 95 % intervals over recordings."""
    names = (*CURVES, *SCORES)
    lines = [
        " | ".join(["| map", "clips", "power", *names]) + " |",
        "|---" * (len(names) + 3) + "|",
    ]
    for method, rows in found.items():
        cells = [method, str(len(rows)), f"{powers[method]:g}"]
        for name in names:
            key = name if name in CURVES else f"{name} at {powers[method]:g}"
            scale, digits = (100, 1) if name in PER_CENT else (1, 3)
            low, high = interval(rows, key)
            mean, low, high = (scale * value for value in (mean_of(rows, key), low, high))
            cells.append(f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def mean_of(rows: Sequence[Row], key: str) -> float:
    """The mean over clips."""
    return float(np.mean([row[key] for row in rows]))


def interval(rows: Sequence[Row], key: str) -> tuple[float, float]:
    """95 % percentile bootstrap over recordings."""
    groups = np.unique([row["group"] for row in rows], return_inverse=True)[1]
    values = np.array([row[key] for row in rows], dtype=np.float64)
    sums, counts = np.bincount(groups, values), np.bincount(groups)
    times: npt.NDArray[np.int64] = next(draws(len(counts), RESAMPLES, 0))
    low, high = np.percentile(times @ sums / (times @ counts), (2.5, 97.5))
    return float(low), float(high)


if __name__ == "__main__":
    try:
        torch.set_num_threads(1)
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
