"""A learning curve: the same training on fewer and more clips of each class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.config import CurveOptions, from_dict
from sonotype.core.errors import OptionsError, StoppedError
from sonotype.core.io import refuse_link, write_text
from sonotype.core.json_text import json_text
from sonotype.core.progress import OnMessage, track
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
from sonotype.experiments.linear_run import calibrated, linear_data, predictions_of
from sonotype.experiments.opening import open_and_split, require_single
from sonotype.experiments.pipeline import build
from sonotype.experiments.run_folder import PREDICTIONS
from sonotype.experiments.run_options import RunOptions, require_no_split_options
from sonotype.experiments.runner import run_many
from sonotype.training.linear_fit import fit_linear

CURVE = "curve"


@dataclass(frozen=True)
class CurveResult:
    """A finished learning curve: its numbers, the same as text, and the plot."""

    curve: Curve
    report: str
    plot: Path


def run_learning_curve(
    data: str | Path,
    out: str | Path,
    *,
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
        progress: draw bars.
        on_message: is called with lines of text.
        options: fields of :class:`CurveOptions`, and options as for training, without those of the
            split.

    Raises:
        OptionsError: invalid options, or ``out`` holds a curve with others.
        FailedRunsError: runs failed; the others are kept. The next call runs these again.
        StoppedError: interrupted; the same call resumes.
    """
    folder = Path(out)
    require_no_split_options(options)
    own = {
        item.name: options.pop(item.name) for item in fields(CurveOptions) if item.name in options
    }
    how = from_dict(CurveOptions, own)
    if options.get("checkpoint", "last") != "last":
        raise OptionsError("a learning curve keeps the last epoch; leave out checkpoint")
    chosen = RunOptions.of(options)
    if chosen.train.ensemble:
        raise OptionsError("a learning curve is that of a single model; leave out ensemble")
    chosen = replace(chosen, train=replace(chosen.train, checkpoint="last"))
    require_own(folder, [f"{CURVE}.{suffix}" for suffix in ("png", "txt", "json")], [Path(data)])

    def make_splits(manifest: Manifest) -> dict[str, Split]:
        require_single(manifest, "a learning curve")
        return splits_by_size(manifest, how, chosen.train.seed)

    refuse_link(folder / RUNS)
    runs = open_and_split(
        data, folder / RUNS, chosen, make_splits, progress=progress, on_message=on_message
    )
    if chosen.train.recipe == "linear":
        return _write_curve(runs, _linear_predictions(runs), folder, how.more)
    silent = {
        name: replace(context, progress=False, on_message=ignore) for name, context in runs.items()
    }
    if not run_many(
        silent, "learning curve", same_options=True, progress=progress, on_message=on_message
    ):
        raise StoppedError(f"{folder}: interrupted; run the same command again to resume")
    predictions = {name: load_predictions(run.folder / PREDICTIONS) for name, run in runs.items()}
    return _write_curve(runs, predictions, folder, how.more)


def _linear_predictions(runs: Mapping[str, RunContext]) -> dict[str, Predictions]:
    """Predictions of linear heads for each size and draw, from the vectors of all clips.

    Raises:
        StoppedError: interrupted; the vectors are cached.
    """
    first = next(iter(runs.values()))
    everything = tuple(range(len(first.manifest.clips)))
    context = replace(first, split=replace(first.split, train=everything, test=()))
    try:
        data = linear_data(context, build(context))
        found = {}
        for name, run in track(runs.items(), "learning curve", show=first.progress):
            train, test = np.array(run.split.train), list(run.split.test)
            learnt = {level: target[train] for level, target in data.targets.items()}
            balanced = run.options.train.class_weights
            linear = fit_linear(
                data.vectors[train], learnt, run.heads, data.weights, class_weights=balanced
            )
            found[name] = predictions_of(
                run.clips("test"),
                calibrated(run.heads, {}, {}, {}),
                linear.logits(data.vectors[test]),
                {level: target[test] for level, target in data.targets.items()},
            )
    except KeyboardInterrupt:
        raise StoppedError("interrupted; run the same command again") from None
    return found


def splits_by_size(manifest: Manifest, how: CurveOptions, seed: int) -> dict[str, Split]:
    """The split of each size and draw, by name; ``all`` is the last size.

    Sizes that no class exceeds are left out. Each draw has its own seed.
    """
    draws = fold_splits(manifest, folds=how.draws, checkpoint="last", seed=seed)
    largest = max(
        count
        for draw in draws
        for labels, count in Counter(_classes(manifest, draw.train)).items()
        if labels
    )
    sizes = sorted({size for size in how.sizes if size < largest})
    splits = {
        f"{size}_clips/draw_{number}": replace(
            draw, train=subset(manifest, draw.train, size, seed + number)
        )
        for size in sizes
        for number, draw in enumerate(draws, start=1)
    }
    return splits | {f"all_clips/draw_{number}": draw for number, draw in enumerate(draws, start=1)}


def subset(manifest: Manifest, train: Iterable[int], size: int, seed: int) -> tuple[int, ...]:
    """Indices of ``size`` training clips of each class, or of all if it has fewer.

    A class is a label of the finest level on which the clip has one. With one seed, a smaller
    subset is contained in a larger one. The clips of a class come from as many recordings as
    possible: the first of each recording, in random order, then the second of each.
    """
    train = list(train)
    members: defaultdict[tuple[tuple[str, ...], ...], list[int]] = defaultdict(list)
    for name, index in zip(_classes(manifest, train), train, strict=True):
        members[name].append(index)
    taken: list[int] = []
    for number, (_, indices) in enumerate(sorted(members.items())):
        rng = np.random.default_rng([seed, number])
        seen: Counter[str] = Counter()
        ranked = []
        for position in rng.permutation(len(indices)):
            group = manifest.clips[indices[position]].group
            ranked.append((seen[group], indices[position]))
            seen[group] += 1
        ranked.sort(key=lambda entry: entry[0])
        taken += [index for _, index in ranked[:size]]
    return tuple(sorted(taken))


def _classes(manifest: Manifest, indices: Iterable[int]) -> list[tuple[tuple[str, ...], ...]]:
    return [tuple(manifest.clips[index].labels.values()) for index in indices]


def _write_curve(
    runs: Mapping[str, RunContext], found: Mapping[str, Predictions], folder: Path, more: int
) -> CurveResult:
    """Compute the curve from the predictions of all runs, by name, and write it."""
    by_size: defaultdict[str, list[str]] = defaultdict(list)
    for name in runs:
        by_size[name.partition("/")[0]].append(name)
    first = next(iter(runs.values()))
    manifest = first.manifest
    classes = len({*_classes(manifest, range(len(manifest.clips)))} - {()})
    predictions: dict[float, Predictions] = {}
    for draws in by_size.values():
        trained = [bool(c.labels) for name in draws for c in runs[name].clips("train")]
        clips = sum(trained) / len(draws) / classes
        predictions[clips] = concatenate([found[name] for name in draws])
    level = predictions[clips].heads[-1].name
    counts = _mean_counts(manifest, [runs[name].split for name in draws], level)
    curve = learning_curve(predictions, counts, more=more)
    report = render_curve(curve)
    if manifest.synthetic:
        report = f"note: {SYNTHETIC_NOTE}\n\n{report}"
    plot_curve(curve, folder / f"{CURVE}.png", f"{manifest.name}: how many clips are needed")
    write_text(folder / f"{CURVE}.txt", report + "\n")
    source = {"data": str(Path(first.data).resolve()), "fingerprint": first.fingerprint}
    write_text(folder / f"{CURVE}.json", json_text(source | asdict(curve), indent=1) + "\n")
    return CurveResult(curve, report, folder / f"{CURVE}.png")


def _mean_counts(manifest: Manifest, splits: Sequence[Split], level: str) -> dict[str, float]:
    """Training clips of each label of a level, averaged over the draws."""
    clips = [manifest.clips[index] for split in splits for index in split.train]
    counts = Counter(name for clip in clips for name in clip.labels.get(level, ()))
    return {name: count / len(splits) for name, count in counts.items()}
