"""Compare the default recipe with a plain logistic regression on the same few clips.

``python scripts/linear_probe.py ESC-50 --backbones mn04,builtin --out runs/linear_probe``

Both learn the same clips, drawn from the training folds of a cross-validation, and predict the
test fold. ``default`` is the model of ``sonotype train``. ``probe`` is scikit-learn's logistic
regression on the standardised means of the same feature maps, one copy of each clip, with the
penalty chosen by cross-validation. Without own folds, each recording is the test fold once if there
are at most ten. The table has all data sets and backbones of the folder. The same command resumes a
stopped run.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sonotype.core.errors import SonotypeError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.progress import steps
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.data.manifest import Manifest
from sonotype.data.splits.crossfit import balanced_folds, crossfit_split
from sonotype.data.splits.split import Split
from sonotype.data.splits.training_split import fold_splits
from sonotype.evaluation.compare import RunResults, compare
from sonotype.evaluation.predictions import Predictions, load_predictions, save_predictions
from sonotype.experiments.context import BuiltSystem, RunContext
from sonotype.experiments.learning_curve import subset
from sonotype.experiments.linear_run import LinearData, calibrated, linear_data
from sonotype.experiments.opening import open_run
from sonotype.experiments.pipeline import build
from sonotype.experiments.run_folder import check_same_config, lock_config
from sonotype.experiments.run_options import RunOptions
from sonotype.features.vectors import Vectors
from sonotype.inference.postprocess import probabilities
from sonotype.models.statistics import GlobalMeanPooling
from sonotype.training.linear_fit import fit_folds, fit_linear, held_out_logits
from sonotype.training.provenance import note_on_backbone

SIZES = (1, 2, 4, 8, 16, 24)
DRAWS = 5
MOST_RECORDINGS = 10
"""Recordings up to which each is the test fold once, in data without own folds."""
OTHER_FOLDS = 5
INNER_FOLDS = 5
"""Largest number of folds that choose the penalty of the probe."""
MAX_ITERATIONS = 1000

DEFAULT, PROBE = "default", "probe"
ROWS, TABLE = "rows.json", "linear_probe"
WIDTH = 80
METHOD = (
    f"Accuracy of the finest labels. Difference of {DEFAULT} to {PROBE} in points, with its 95 % "
    "interval by recording, on the same draws of the recordings for both; *: the interval does not "
    "contain zero. In the rows 'mean', each size has the same weight."
)


@dataclass(frozen=True)
class Study:
    """One data set with one backbone.

    Attributes:
        context: of all clips.
        built: the system with its backbone.
        data: the pooled vectors of all clips, in the order of the manifest.
    """

    context: RunContext
    built: BuiltSystem
    data: LinearData

    @property
    def head(self) -> Head:
        """The finest head."""
        return self.context.heads[-1]

    @property
    def manifest(self) -> Manifest:
        """All clips."""
        return self.context.manifest


@dataclass(frozen=True)
class Measurement:
    """Clips to learn and to predict; ``draw`` and ``fold`` are counted from 1."""

    size: int
    draw: int
    fold: int
    train: tuple[int, ...]
    test: tuple[int, ...]

    def folder(self, out: Path) -> Path:
        """Where its predictions are."""
        return out / f"{self.size}_clips" / f"draw_{self.draw}" / f"fold_{self.fold}"


def main() -> int:
    """Run all steps and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, help="labelled sounds, as for sonotype train")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--backbones", default="mn04", help="separated by commas; default: mn04")
    parser.add_argument(
        "--sizes", default=",".join(map(str, SIZES)), help="clips per class, separated by commas"
    )
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"of each size; default: {DRAWS}")
    arguments = parser.parse_args()
    sizes = sorted({int(size) for size in arguments.sizes.split(",")})
    for backbone in arguments.backbones.split(","):
        study = open_study(arguments.data, arguments.out, backbone)
        planned = measurements(study.manifest, sizes, arguments.draws)
        run_all(study, planned)
        write_rows(study, planned, backbone)
    print(write_table(arguments.out))
    return 0


def open_study(data: Path, out: Path, backbone: str) -> Study:
    """Open the data and compute or load the vectors of all clips."""
    options = RunOptions.of({"recipe": "linear", "backbone": backbone, "evaluation": "none"})
    name = f"{data.resolve().stem}_{Path(backbone).stem}"
    context = open_run(data, out / name, options, progress=True, on_message=print)
    check_same_config(context)
    built = build(context)
    lock_config(context)
    print(f"{name}: {len(context.manifest.clips)} clips")
    return Study(context, built, linear_data(context, built))


def measurements(manifest: Manifest, sizes: Sequence[int], draws: int) -> list[Measurement]:
    """All measurements; sizes that no class reaches are left out, all clips are one draw."""
    splits = test_folds(manifest)
    planned = []
    for size, (fold, split) in product(sizes, enumerate(splits, start=1)):
        labels = [tuple(manifest.clips[index].labels.values()) for index in split.train]
        largest = max(Counter(labels).values())
        count = 0 if size > largest else 1 if size == largest else draws
        for draw in range(1, count + 1):
            train = subset(manifest, split.train, size, draw)
            planned.append(Measurement(size, draw, fold, train, split.test))
    return planned


def test_folds(manifest: Manifest) -> list[Split]:
    """The source's own folds, or a recording each where there are few, or five grouped folds."""
    recordings = len({clip.group for clip in manifest.clips})
    folds = recordings if recordings <= MOST_RECORDINGS else OTHER_FOLDS
    return fold_splits(manifest, folds=folds, checkpoint="last")


def run_all(study: Study, planned: Sequence[Measurement]) -> None:
    """Learn and predict what is not there yet."""
    out = study.context.folder
    left = [one for one in planned if not (one.folder(out) / f"{PROBE}.npz").exists()]
    size = 0
    with steps(out.name, len(left)) as bar:
        for one in left:
            with bar.done():
                if one.size != size:
                    size = one.size
                    print(f"{out.name}: {size} clips per class", flush=True)
            for name, proba in (
                (DEFAULT, default_proba(study, one)),
                (PROBE, probe_proba(study, one)),
            ):
                path = one.folder(out) / f"{name}.npz"
                save_predictions(_predictions(study, one, proba), path)


def default_proba(study: Study, one: Measurement) -> Vectors:
    """``[clips, classes]`` probabilities of the test clips by the default recipe.

    The mean over views of probabilities at the temperature from cross-fitting, as in a model file.
    """
    data, head = study.data, study.head
    train, test = list(one.train), list(one.test)
    vectors = data.vectors[train]
    targets = {head.name: data.targets[head.name][train]}
    folds = crossfit_split(study.manifest.take(train)).folds
    fits = fit_folds(vectors, targets, (head,), data.weights, folds)
    logits, scored = held_out_logits(fits, vectors, targets, (head,))
    heads = calibrated((head,), logits, targets, scored)
    linear = fit_linear(vectors, targets, (head,), data.weights)
    views = linear.logits(data.vectors[test])[head.name].transpose(1, 0, 2)
    found = [probabilities({head.name: torch.from_numpy(x)}, heads)[head.name] for x in views]
    mean: Vectors = torch.stack(found).mean(0).numpy()
    return mean


def probe_proba(study: Study, one: Measurement) -> Vectors:
    """``[clips, classes]`` probabilities of the test clips by scikit-learn's regression."""
    means = np.concatenate(
        [
            np.full(pooling.features, isinstance(pooling, GlobalMeanPooling))
            for pooling, _ in study.built.system.pooling.reductions()
        ]
    )
    rows = study.data.vectors[:, 0][:, means]
    found = study.data.targets[study.head.name]
    train = [index for index in one.train if found[index] != IGNORE_INDEX]
    test, target = list(one.test), found[train]
    smallest = min(Counter(target.tolist()).values())
    position = {index: number for number, index in enumerate(train)}
    folds = [
        [position[index] for index in fold]
        for fold in balanced_folds(study.manifest, train, most=min(INNER_FOLDS, smallest))
    ]
    parts = [(np.setdiff1d(np.arange(len(train)), fold), np.array(fold)) for fold in folds]
    inner = [part for part in parts if len(np.unique(target[part[0]])) > 1]
    model: LogisticRegression
    if smallest > 1 and inner:
        model = LogisticRegressionCV(cv=inner, max_iter=MAX_ITERATIONS)
    else:
        model = LogisticRegression(C=1.0, max_iter=MAX_ITERATIONS)
    pipeline = make_pipeline(StandardScaler(), model)
    with warnings.catch_warnings():
        # Few clips of many classes look like a regression; defaults of LogisticRegressionCV change.
        warnings.simplefilter("ignore")
        pipeline.fit(rows[train], target)
    proba = np.zeros((len(test), len(study.head.classes)), np.float32)
    proba[:, model.classes_] = pipeline.predict_proba(rows[test])
    return proba


def _predictions(study: Study, one: Measurement, proba: Vectors) -> Predictions:
    name, clips = study.head.name, study.manifest.take(list(one.test)).clips
    return Predictions(
        paths=tuple(str(clip.path) for clip in clips),
        groups=tuple(clip.group for clip in clips),
        true={name: study.data.targets[name][list(one.test)]},
        proba={name: proba},
        heads=(Head(name, study.head.classes),),
    )


def write_rows(study: Study, planned: Sequence[Measurement], backbone: str) -> None:
    """Compare the predictions at each size, and over all sizes, and write the rows."""
    out, level = study.context.folder, study.head.name
    draws = max(one.draw for one in planned)
    sizes = sorted({one.size for one in planned})
    keyed = {
        name: {
            (one.size, one.fold, one.draw): load_predictions(one.folder(out) / f"{name}.npz")
            for one in planned
        }
        for name in (DEFAULT, PROBE)
    }
    rows = []
    for chosen in [*([size] for size in sizes), *([sizes] if len(sizes) > 1 else [])]:
        default, probe = (
            RunResults(name, _by_key(keyed[name], chosen, draws)) for name in (DEFAULT, PROBE)
        )
        compared = compare([default, probe], PROBE)
        ours, theirs = (row.metrics[level, "accuracy"] for row in compared)
        clips = chosen[0] if len(chosen) == 1 else "mean"
        values = {DEFAULT: ours.value, PROBE: theirs.value, "difference": ours.difference}
        rows.append({"clips": clips, **values})
    note = note_on_backbone(backbone, study.built.seen, study.manifest.clips)
    facts = {"data": study.manifest.name, "backbone": backbone, "note": note, "rows": rows}
    write_text(out / ROWS, json_text(facts, indent=1, default=asdict) + "\n")


def _by_key(
    found: Mapping[tuple[int, int, int], Predictions], sizes: Sequence[int], draws: int
) -> dict[tuple[int | None, int], Predictions]:
    """By fold and seed, one seed for each size and draw; a size with one draw repeats it."""
    return {
        (fold, draws * size + number): found.get((size, fold, number), found[size, fold, 1])
        for size, fold in {(size, fold) for size, fold, _ in found if size in sizes}
        for number in range(1, draws + 1)
    }


def write_table(out: Path) -> str:
    """Write the rows of all data sets and backbones as text and JSON; returns the text."""
    studies = [json.loads(path.read_text("utf-8")) for path in sorted(out.glob(f"*/{ROWS}"))]
    head = ("data", "backbone", "clips", DEFAULT, PROBE, "diff.", "95 %", "")
    lines = [_line(head)]
    for study in studies:
        lines += [_line(_cells(study, row)) for row in study["rows"]]
    notes = [
        f"{study['data']}, {study['backbone']}: {study['note']}."
        for study in studies
        if study["note"]
    ]
    text = "\n".join([*lines, "", *(textwrap.fill(one, WIDTH) for one in (METHOD, *notes))])
    write_text(out / f"{TABLE}.txt", text + "\n")
    write_text(out / f"{TABLE}.json", json_text(studies, indent=1) + "\n")
    return text


def _cells(study: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[str, ...]:
    gap = row["difference"]
    value, low, high = (f"{100 * gap[name]:+.1f}" for name in ("value", "low", "high"))
    mark = "*" if gap["low"] > 0 or gap["high"] < 0 else ""
    scores = (f"{row[name]['value']:.3f}" for name in (DEFAULT, PROBE))
    return (study["data"], study["backbone"], str(row["clips"]), *scores, value, f"{low} {high}",
            mark)  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    """A line of at most ``WIDTH`` columns."""
    data, backbone, clips, default, probe, gap, ends, mark = cells
    backbone = Path(backbone).stem
    return (
        f"{data[:14]:<14}  {backbone[:10]:<10}{clips:>7}{default:>9}{probe:>9}{gap:>8}{ends:>15} "
        f"{mark}"
    ).rstrip()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
