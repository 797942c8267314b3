"""A learning curve: the same training on fewer and more clips of each class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.core.errors import OptionsError, StoppedError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.progress import steps
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.records import counted
from sonotype.data.splits.split import Split, cross_validation
from sonotype.data.splits.subsets import without_validation
from sonotype.evaluation.evaluate import SYNTHETIC_NOTE
from sonotype.evaluation.plots import plot_curve
from sonotype.evaluation.power_law import Curve, learning_curve, render_curve
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.experiments.cross_validation import refuse_parts
from sonotype.experiments.failed_runs import FailedRunsError
from sonotype.experiments.grid_table import require_own
from sonotype.experiments.pipeline import inspect, with_backbone
from sonotype.experiments.run_folder import PREDICTIONS
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import (
    STOPPED,
    check_same_config,
    figures_of,
    finished,
    run_planned,
)
from sonotype.training.callbacks import OnMessage

SIZES = (1, 2, 4, 8, 16)
DRAWS = 4
CURVE = "curve"


@dataclass(frozen=True)
class CurveResult:
    """A finished learning curve.

    Attributes:
        curve: its figures.
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
    on_message: OnMessage = lambda _: None,
    **options: Any,
) -> CurveResult:
    """Train on so many clips of each class, for several sizes and for all, and draw the curve.

    Every clip is tested once at every size: the folds of a cross-validation test in turn, and each
    turn draws its training clips anew from the folds that are left. Smaller sizes are parts of
    larger ones, and clips are drawn from as many recordings as possible. No epoch is chosen, since
    a handful of clips leaves nothing to choose it on: the last one counts.

    Args:
        data: as for training.
        out: folder; finished trainings in it are kept.
        sizes: clips per class, beside all of them.
        draws: folds, where the source has none of its own.
        more: the advice is about so many more clips of a class.
        progress: draw bars.
        on_message: gets a line now and then.
        options: as for training, those of the split excepted.

    Raises:
        OptionsError: options that will not do, or ``out`` holds a curve with others.
        FailedRunsError: trainings failed; the others are kept. The next call runs these again.
        StoppedError: interrupted; the same call goes on.
    """
    folder = Path(out)
    _check(sizes, options)
    require_own(folder, [f"{CURVE}.{kind}" for kind in ("png", "txt", "json")], [Path(data)])
    chosen = RunOptions.of({**options, "checkpoint": "last"})
    manifest = open_source(data, chosen.source)
    splits = cross_validation(manifest, folds=draws, seed=chosen.train.seed)
    manifest = inspect(manifest, progress=progress)
    if manifest.copies:
        splits = cross_validation(manifest, folds=draws, seed=chosen.train.seed)
    fingerprint = manifest.fingerprint()
    chosen = with_backbone(chosen, progress=progress, on_message=on_message)
    whole = [without_validation(parts) for parts in splits]
    wanted = _wanted(manifest, whole, sizes, chosen.train.seed)
    planned_runs = [(size, draw, parts) for size, draws_of in wanted for draw, parts in draws_of]
    for size, draw, parts in planned_runs:
        check_same_config(_place(folder, size, draw), chosen, fingerprint, manifest, parts)
    failures: dict[str, str] = {}
    with steps("trainings", len(planned_runs), show=progress) as bar:
        for number, (size, draw, parts) in enumerate(planned_runs, start=1):
            place = _place(folder, size, draw)
            if not finished(place):
                failure = run_planned(
                    manifest, parts, place, chosen,
                    data=data, fingerprint=fingerprint,
                )  # fmt: skip
                if failure == STOPPED:
                    raise StoppedError(f"{folder}: interrupted; the same command goes on from here")
                if failure:
                    failures[str(place)] = failure
            line = f"{number:>3}/{len(planned_runs)}  {size} clips a class, turn {draw}"
            with bar.done():
                state = figures_of(place) if finished(place) else f"failed: {failure}"
                on_message(f"{line}  {state}")
    if failures:
        raise FailedRunsError(counted(len(planned_runs), "training"), failures)
    return _publish(manifest, whole, wanted, folder, more)


def subset(manifest: Manifest, train: Sequence[int], size: int, seed: int) -> tuple[int, ...]:
    """Positions of so many training clips of each class, or of all that it has.

    A class is an event where the clip has one, else its category. For one seed a smaller subset is
    part of a larger one. A class's clips come from as many recordings as possible: first one of
    each recording, in a random order, then a second of each.
    """
    classes: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for index in train:
        classes[_class(manifest, index)].append(index)
    taken: list[int] = []
    for number, (_, members) in enumerate(sorted(classes.items())):
        rng = np.random.default_rng([seed, number])
        shuffled = [members[place] for place in rng.permutation(len(members))]
        seen: Counter[str] = Counter()
        ranked = []
        for index in shuffled:
            group = manifest.clips[index].group
            ranked.append((seen[group], index))
            seen[group] += 1
        order = [index for _, index in sorted(ranked, key=lambda entry: entry[0])]
        taken += order[:size]
    return tuple(sorted(taken))


def _class(manifest: Manifest, index: int) -> tuple[str, str]:
    clip = manifest.clips[index]
    return clip.category, clip.event or ""


Wanted = list[tuple[str, list[tuple[int, Split]]]]
"""For each size, by its name, the turns with their parts."""


def _wanted(manifest: Manifest, splits: Sequence[Split], sizes: Sequence[int], seed: int) -> Wanted:
    largest = max(
        max(Counter(_class(manifest, index) for index in parts.train).values()) for parts in splits
    )
    wanted: Wanted = []
    for size in sorted({*sizes}):
        if size < largest:
            draws = [
                (draw, replace(parts, train=subset(manifest, parts.train, size, seed + draw)))
                for draw, parts in enumerate(splits, start=1)
            ]
            wanted.append((str(size), draws))
    wanted.append(("all", list(enumerate(splits, start=1))))
    return wanted


def _place(folder: Path, size: str, draw: int) -> Path:
    return folder / "runs" / f"{size}_clips" / f"draw_{draw}"


def _check(sizes: Sequence[int], options: dict[str, Any]) -> None:
    if not sizes or min(sizes) < 1:
        raise OptionsError(f"sizes is {tuple(sizes)}; numbers of clips from 1 are wanted")
    refuse_parts(options)
    if options.get("checkpoint", "last") != "last":
        raise OptionsError("a learning curve keeps the last epoch; leave out checkpoint")


def _publish(
    manifest: Manifest, splits: Sequence[Split], wanted: Wanted, folder: Path, more: int
) -> CurveResult:
    answers: dict[float, Predictions] = {}
    classes = len({_class(manifest, index) for index in range(len(manifest.clips))})
    for size, draws in wanted:
        clips = float(np.mean([len(parts.train) for _, parts in draws])) / classes
        answers[clips] = concatenate(
            [load_predictions(_place(folder, size, draw) / PREDICTIONS) for draw, _ in draws]
        )
    events = all(one.event_probability is not None for one in answers.values())
    curve = learning_curve(answers, _counts(manifest, splits, events=events), more=more)
    report = render_curve(curve)
    if manifest.synthetic:
        report = f"note: {SYNTHETIC_NOTE}\n\n{report}"
    plot_curve(curve, folder / f"{CURVE}.png", f"{manifest.name}: how many clips are needed")
    write_text(folder / f"{CURVE}.txt", report + "\n")
    write_text(folder / f"{CURVE}.json", json_text(asdict(curve), indent=1) + "\n")
    return CurveResult(curve, report, folder / f"{CURVE}.png")


def _counts(manifest: Manifest, splits: Sequence[Split], *, events: bool) -> dict[str, float]:
    """Training clips of each event, or category, the mean over turns."""
    clips = [manifest.clips[index] for parts in splits for index in parts.train]
    counts = Counter(name for clip in clips if (name := clip.event if events else clip.category))
    return {name: count / len(splits) for name, count in counts.items()}
