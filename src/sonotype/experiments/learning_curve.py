"""A learning curve: the same training on fewer and more clips of each class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.core.errors import OptionsError, StoppedError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.data.manifest import Manifest
from sonotype.data.splits.split import Split
from sonotype.data.splits.training_split import fold_splits
from sonotype.evaluation.evaluate import SYNTHETIC_NOTE
from sonotype.evaluation.plots import plot_curve
from sonotype.evaluation.power_law import Curve, learning_curve, render_curve
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.experiments.context import RunContext, ignore
from sonotype.experiments.grid_plan import RUNS
from sonotype.experiments.grid_table import require_own
from sonotype.experiments.pipeline import open_and_split
from sonotype.experiments.run_folder import PREDICTIONS
from sonotype.experiments.run_options import RunOptions, require_no_split_options
from sonotype.experiments.runner import run_many
from sonotype.training.callbacks import OnMessage

SIZES = (1, 2, 4, 8, 16)
DRAWS = 4
CURVE = "curve"


@dataclass(frozen=True)
class CurveResult:
    """A finished learning curve.

    Attributes:
        curve: its numbers.
        report: the same as text.
        plot: the picture.
    """

    curve: Curve
    report: str
    plot: Path


def run_learning_curve(
    data: str | Path,
    out: str | Path,
    *,
    sizes: Sequence[int] = SIZES,
    draws: int = DRAWS,
    more: int = 20,
    progress: bool = False,
    on_message: OnMessage = ignore,
    **options: Any,
) -> CurveResult:
    """Train on several numbers of clips per class, and on all clips, and plot the scores.

    Every clip is tested once at every size: each draw tests on one fold of a cross-validation, and
    draws its training clips from the other folds. Smaller sizes are subsets of larger ones, and
    clips are drawn from as many recordings as possible. The last epoch is kept, because a handful
    of clips leaves none to select an epoch on.

    Args:
        data: as for training.
        out: folder; finished runs in it are kept.
        sizes: clips per class, in addition to all of them.
        draws: number of folds, for a source without official folds.
        more: the advice is about this number of additional clips per class.
        progress: draw bars.
        on_message: is called with lines of text.
        options: as for training, without those of the split.

    Raises:
        OptionsError: invalid options, or ``out`` holds a curve with others.
        FailedRunsError: runs failed; the others are kept. The next call runs these again.
        StoppedError: interrupted; the same call resumes.
    """
    folder = Path(out)
    _check(sizes, options)
    require_own(folder, [f"{CURVE}.{suffix}" for suffix in ("png", "txt", "json")], [Path(data)])
    chosen = RunOptions.of({**options, "checkpoint": "last"})
    seed = chosen.train.seed

    def make_splits(manifest: Manifest) -> dict[str, Split]:
        splits = fold_splits(manifest, folds=draws, checkpoint="last", seed=seed)
        return {
            f"{size}_clips/draw_{draw}": split
            for size, split_of_draw in _splits_by_size(manifest, splits, sizes, seed).items()
            for draw, split in enumerate(split_of_draw, start=1)
        }

    runs = open_and_split(
        data, folder / RUNS, chosen, make_splits, progress=progress, on_message=on_message
    )
    silent = {
        name: replace(context, progress=False, on_message=ignore) for name, context in runs.items()
    }
    finished = run_many(
        silent, "learning curve", same_options=True, progress=progress, on_message=on_message
    )
    if not finished:
        raise StoppedError(f"{folder}: interrupted; run the same command again to resume")
    return _write_curve(list(runs.values()), folder, more)


def subset(manifest: Manifest, train: Iterable[int], size: int, seed: int) -> tuple[int, ...]:
    """Indices of ``size`` training clips of each class, or of all if it has fewer.

    A class is a label of the finest level on which the clip has one. With one seed, a smaller
    subset is contained in a larger one. The clips of a class come from as many recordings as
    possible: the first of each recording, in random order, then the second of each.
    """
    classes: defaultdict[tuple[tuple[str, ...], ...], list[int]] = defaultdict(list)
    for index in train:
        classes[_class_of(manifest, index)].append(index)
    taken: list[int] = []
    for number, (_, members) in enumerate(sorted(classes.items())):
        rng = np.random.default_rng([seed, number])
        shuffled = [members[position] for position in rng.permutation(len(members))]
        seen: Counter[str] = Counter()
        ranked = []
        for index in shuffled:
            group = manifest.clips[index].group
            ranked.append((seen[group], index))
            seen[group] += 1
        order = [index for _, index in sorted(ranked, key=lambda entry: entry[0])]
        taken += order[:size]
    return tuple(sorted(taken))


def _class_of(manifest: Manifest, index: int) -> tuple[tuple[str, ...], ...]:
    return tuple(manifest.clips[index].labels.values())


def _splits_by_size(
    manifest: Manifest, splits: Sequence[Split], sizes: Sequence[int], seed: int
) -> dict[str, list[Split]]:
    """The splits of each draw by size; sizes that no class exceeds are left out, ``all`` is last.

    Args:
        manifest: the clips.
        splits: of the draws, with all training clips.
        sizes: clips per class.
        seed: of the first draw.
    """
    largest = max(
        max(Counter(_class_of(manifest, index) for index in split.train).values())
        for split in splits
    )
    by_size = {
        str(size): [
            replace(split, train=subset(manifest, split.train, size, seed + draw))
            for draw, split in enumerate(splits, start=1)
        ]
        for size in sorted({*sizes})
        if size < largest
    }
    return {**by_size, "all": list(splits)}


def _check(sizes: Sequence[int], options: Mapping[str, Any]) -> None:
    if not sizes or min(sizes) < 1:
        raise OptionsError(f"sizes is {tuple(sizes)}; give positive numbers of clips")
    require_no_split_options(options)
    if options.get("checkpoint", "last") != "last":
        raise OptionsError("a learning curve keeps the last epoch; leave out checkpoint")


def _write_curve(runs: Sequence[RunContext], folder: Path, more: int) -> CurveResult:
    """Compute the curve from the predictions of all runs, and write it."""
    manifest = runs[0].manifest
    classes = len({_class_of(manifest, index) for index in range(len(manifest.clips))})
    predictions: dict[float, Predictions] = {}
    for _, same_size in groupby(runs, key=lambda run: run.folder.parent):
        draws = list(same_size)
        clips = float(np.mean([len(run.split.train) for run in draws])) / classes
        predictions[clips] = concatenate([load_predictions(r.folder / PREDICTIONS) for r in draws])
    level = predictions[clips].heads[-1].name
    counts = _mean_counts(manifest, [run.split for run in draws], level)
    curve = learning_curve(predictions, counts, more=more)
    report = render_curve(curve)
    if manifest.synthetic:
        report = f"note: {SYNTHETIC_NOTE}\n\n{report}"
    plot_curve(curve, folder / f"{CURVE}.png", f"{manifest.name}: how many clips are needed")
    write_text(folder / f"{CURVE}.txt", report + "\n")
    write_text(folder / f"{CURVE}.json", json_text(asdict(curve), indent=1) + "\n")
    return CurveResult(curve, report, folder / f"{CURVE}.png")


def _mean_counts(manifest: Manifest, splits: Sequence[Split], level: str) -> dict[str, float]:
    """Training clips of each label of a level, averaged over the draws."""
    clips = [manifest.clips[index] for split in splits for index in split.train]
    counts = Counter(name for clip in clips for name in clip.labels.get(level, ()))
    return {name: count / len(splits) for name, count in counts.items()}
