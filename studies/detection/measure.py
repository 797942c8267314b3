"""Measure training from annotations: ``python studies/detection/measure.py FOLDER... --out RUNS``.

Each folder is one that ``compose.py`` wrote. Three models learn from its training recordings: from
annotations with several labels a window, from annotations with one label a window, and from clips
of the same events. All windows of the test recordings are scored: mean average precision of all
windows, and of those in which events overlap, with 95 % intervals by recording, and the differences
to the first model with paired intervals.
"""
# ruff: noqa: T201 - a script prints

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

import sonotype
from sonotype.core.text import align
from sonotype.core.types import IGNORE_INDEX
from sonotype.data.readers.source import open_source
from sonotype.evaluation.bootstrap import interval
from sonotype.evaluation.multilabel import MULTI_METRICS, multi_metrics, resample_multi
from sonotype.evaluation.predictions import Predictions
from sonotype.evaluation.recordings import predict_recordings
from sonotype.experiments.runner import train_or_resume

ROWS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "annotations, several labels": ("train", {"problem": "multi"}),
    "annotations, one label": ("train", {"problem": "single"}),
    "clips, several labels": ("clips", {"problem": "multi"}),
}
"""By name of a model the folder of its data, and its options."""

COLUMNS = (29, 25, 25)
MAP = MULTI_METRICS.index("average_precision")


def main() -> None:
    """Train, score, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True, help="folder for the trainings")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of windows and clips")
    parser.add_argument("--hop", type=float, default=1.0, help="between windows of the test")
    arguments = parser.parse_args()
    found: dict[str, list[Predictions]] = {name: [] for name in ROWS}
    for number, folder in enumerate(arguments.folders):
        recordings = open_source(folder / "test").recordings
        for name, (data, options) in ROWS.items():
            run = arguments.out / f"{number}-{name.replace(', ', '-').replace(' ', '-')}"
            train_or_resume(
                folder / data, run, progress=True, on_message=print,
                seconds=arguments.seconds, **options,
            )  # fmt: skip
            model = sonotype.load(run)
            windows = predict_recordings([model], recordings, hop=arguments.hop).windows
            found[name].append(windows)
            print_events(model, folder / "test", name)
    print_table(found)


def print_events(model: sonotype.Classifier, data: Path, name: str) -> None:
    """Print the scores of detected events."""
    events = sonotype.evaluate(model, data).events
    if events is not None:
        values = (events.event_based, events.segment_based, events.intersection_based)
        texts = ", ".join(f"{one.macro.value:.3f}" for one in values)
        alarms = events.false_alarms_per_hour.value
        print(f"{name}: event-, segment-, intersection-based F1 {texts}; {alarms:.0f} false/h")


def print_table(found: Mapping[str, list[Predictions]]) -> None:
    """Print mean average precisions and differences to the first row."""
    print(align(["mAP", "all windows", "overlapping events"], *COLUMNS))
    first = None
    for name, folders in found.items():
        values = [measured(folders, overlapping=overlapping) for overlapping in (False, True)]
        print(align([name, *(shown(value, draws) for value, draws in values)], *COLUMNS))
        if first is None:
            first = values
            continue
        differences = [
            shown(start[0] - value, start[1] - draws)
            for start, (value, draws) in zip(first, values, strict=True)
        ]
        print(align(["  first row minus this", *differences], *COLUMNS))


def measured(
    folders: list[Predictions], *, overlapping: bool
) -> tuple[float, npt.NDArray[np.float64]]:
    """The mean of the folders' mAP, and its draws ``[resamples]``; equal draws for all models."""
    values, draws = [], []
    for one in folders:
        [head] = one.heads
        true, proba = one.true[head.name], one.proba[head.name]
        used = (true == 1).sum(axis=1) > 1 if overlapping else (true != IGNORE_INDEX).any(axis=1)
        true, proba = true[used], proba[used]
        groups = [group for group, use in zip(one.groups, used, strict=True) if use]
        decided = one.decided(head)[used]
        values.append(multi_metrics(true, proba, decided, np.ones((1, len(true))))[0, MAP])
        draws.append(resample_multi(true, proba, decided, groups, resamples=1000, seed=0)[:, MAP])
    return float(np.mean(values)), np.mean(draws, axis=0)


def shown(value: float, draws: npt.NDArray[np.float64]) -> str:
    """A value with its interval."""
    low, high = interval(draws)
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


if __name__ == "__main__":
    main()
