"""Trained runs side by side: scores, the classes and clips that differ, calibration, cost.

The first run is the baseline. :mod:`sonotype.evaluation.compare` computes all intervals; runs that
were scored on the same clips are compared clip by clip.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from sonotype.core.errors import ModelFileError, OptionsError
from sonotype.core.hierarchy import CATEGORY_SOURCES, CategorySource
from sonotype.core.json_text import read_json
from sonotype.core.text import listed
from sonotype.evaluation.bootstrap import METRICS
from sonotype.evaluation.compare import (
    Key,
    RunResults,
    TableRow,
    clip_names,
    compare,
)
from sonotype.evaluation.metrics import Scores, score
from sonotype.evaluation.predictions import Predictions, concatenate, load_predictions
from sonotype.experiments.run_folder import (
    CONFIG,
    MAY_DIFFER,
    PREDICTIONS,
    SCORES,
    config_of_folder,
    held_out_file,
    seconds_of,
)
from sonotype.inference.load import ONNX_SUFFIX
from sonotype.inference.locate import NAMES
from sonotype.modelfile.card import ModelCard
from sonotype.modelfile.model_file import read_card
from sonotype.report.compared import (
    ClassChange,
    ComparedLevel,
    ComparedRun,
    Comparison,
    DifferentClip,
    Outcomes,
)
from sonotype.report.repeat import set_options
from sonotype.report.run_record import knows_recordings

MOST_RUNS = 6
SINGLE: Key = (None, 0)
FOLD_RUNS = "fold_*"
"""Folders of the runs of a cross-validation."""


@dataclass(frozen=True)
class _Opened:
    """The predictions of a run and their scores."""

    name: str
    folder: Path
    predictions: Predictions
    scores: Scores
    notes: tuple[str, ...]

    @property
    def source(self) -> CategorySource:
        return self.scores.category_source  # type: ignore[return-value]


def compare_runs(folders: Sequence[str | Path]) -> Comparison:
    """Compare runs with the first one.

    Args:
        folders: two to six run folders, or folders of cross-validations.

    Raises:
        DataError: predictions cannot be read.
        OptionsError: too few or too many runs, a run without held-out predictions, or runs that
            have no level of labels with the same classes.
    """
    paths = [Path(folder) for folder in folders]
    if not 2 <= len(paths) <= MOST_RUNS:
        raise OptionsError(f"2 to {MOST_RUNS} runs can be compared, got {len(paths)}")
    names = _short_names(paths)
    runs = [_open(name, path) for name, path in zip(names, paths, strict=True)]
    levels, notes = _shared_levels(runs)
    results = [RunResults(run.name, {SINGLE: run.predictions}, run.source) for run in runs]
    rows = compare(results, runs[0].name)
    options, unknown = _all_options(runs)
    return Comparison(
        tuple(
            _describe(run, _changes(options[0], own))
            for run, own in zip(runs, options, strict=True)
        ),
        tuple(_level(level, runs, rows) for level in levels),
        (*notes, *unknown, *_pairing_notes(runs, rows)),
    )


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ.

    Raises:
        OptionsError: a folder is named twice.
    """
    full = [path.absolute().resolve() for path in paths]
    if twice := sorted({str(path) for path in full if full.count(path) > 1}):
        raise OptionsError(f"{listed(twice)}: is named twice; name different runs")
    for parts in range(1, max(len(path.parts) for path in full) + 1):
        names = ["/".join(path.parts[-parts:]) for path in full]
        if len(set(names)) == len(names):
            break
    return names


def _open(name: str, folder: Path) -> _Opened:
    folds = sorted(folder.glob(f"{FOLD_RUNS}/{PREDICTIONS}"), key=_fold_order)
    if folds and not (folder / CONFIG).exists():
        if not (folder / SCORES).exists():
            raise OptionsError(
                f"{folder}: is an unfinished cross-validation; run the same sonotype crossval again"
            )
        predictions = concatenate([load_predictions(path) for path in folds])
    else:
        predictions = load_predictions(held_out_file(folder))
    source, notes = _recorded(folder / SCORES)
    if several := [head.name for head in predictions.heads if head.problem == "multi"]:
        raise OptionsError(
            f"{folder}: its clips can have any number of labels ({', '.join(several)}); only runs "
            "with one label for each clip can be compared"
        )
    scores = score(predictions, category_source=source, resamples=0)
    return _Opened(name, folder, predictions, scores, notes)


def _fold_order(path: Path) -> tuple[int, str]:
    """``fold_10`` comes after ``fold_9``."""
    return len(path.parent.name), path.parent.name


def _recorded(path: Path) -> tuple[CategorySource, tuple[str, ...]]:
    """How the category was read, and the notes, from ``scores.json``."""
    try:
        found = read_json(path)
        found = found.get("pooled", found)
        source, notes = found["category_source"], tuple(found["notes"])
        if source not in CATEGORY_SOURCES or not all(isinstance(note, str) for note in notes):
            raise ValueError("category_source or notes is of another kind")
        return source, notes
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise OptionsError(f"{path} cannot be read ({error}); score the run again") from None


@dataclass(frozen=True)
class _Options:
    """What a run was trained on and how: all options, and the names of those that were chosen."""

    data: str
    fingerprint: str
    values: Mapping[str, str]
    chosen: frozenset[str]


def _all_options(runs: Sequence[_Opened]) -> tuple[list[_Options | None], list[str]]:
    """The options of the runs, and a note for each run whose options cannot be read."""
    found: list[_Options | None] = []
    notes = []
    for run in runs:
        try:
            found.append(_options(run.folder))
        except OptionsError as error:
            found.append(None)
            notes.append(f"the options of {run.name} are not compared: {error}")
    return found, notes


def _options(folder: Path) -> _Options | None:
    """Of a cross-validation those of its first fold; ``None`` if they are not known."""
    configs = [folder / CONFIG, *sorted(folder.glob(f"{FOLD_RUNS}/{CONFIG}"))]
    config = next((path for path in configs if path.exists()), None)
    if config is None:
        return None
    data, options = config_of_folder(config.parent)
    values = {name: _text(value) for name, value in options.flat().items()}
    fingerprint = str(read_json(config).get("fingerprint"))
    return _Options(data, fingerprint, values, frozenset(set_options(options)) - MAY_DIFFER)


def _changes(first: _Options | None, own: _Options | None) -> dict[str, tuple[str, str]] | None:
    """Options that differ, without those that only follow from another recipe or network."""
    if first is None or own is None:
        return None
    changes = {
        name: (first.values[name], own.values[name])
        for name in first.values
        if name in first.chosen | own.chosen and first.values[name] != own.values[name]
    }
    if first.fingerprint == own.fingerprint:
        return changes
    if first.data == own.data:
        return {"data": (first.data, f"{own.data}, other clips or labels")} | changes
    return {"data": (first.data, own.data)} | changes


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)


def _describe(run: _Opened, changes: Mapping[str, tuple[str, str]] | None) -> ComparedRun:
    folds = sorted(run.folder.glob(FOLD_RUNS)) if not (run.folder / CONFIG).exists() else []
    seconds = [seconds_of(folder) for folder in folds or [run.folder]]
    models = [folder / name for folder in folds or [run.folder] for name in NAMES]
    model = next((path for path in models if path.is_file()), None)
    return ComparedRun(
        name=run.name,
        folder=str(run.folder),
        clips=run.scores.clips,
        groups=run.scores.groups,
        grouped=knows_recordings(_card_of(model), run.scores.groups, run.scores.clips),
        notes=run.notes,
        seconds=sum(seconds) if all(seconds) else None,
        model_bytes=None if model is None else model.stat().st_size,
        changes=changes,
    )


def _card_of(model: Path | None) -> ModelCard | None:
    """The card of a model file; ``None`` if it cannot be read, or is an exported one."""
    if model is None or model.suffix == ONNX_SUFFIX:
        return None
    try:
        return read_card(model)
    except ModelFileError:
        return None


def _shared_levels(runs: Sequence[_Opened]) -> tuple[list[str], list[str]]:
    """Levels that all runs score with the same classes, and notes on the others.

    Raises:
        OptionsError: there is no such level.
    """
    classes = [{head.name: set(head.classes) for head in run.predictions.heads} for run in runs]
    shared, notes = [], []
    for level in dict.fromkeys(name for found in classes for name in found):
        problems = [
            text
            for run, found in zip(runs, classes, strict=True)
            if (text := _mismatch(run, level, classes[0].get(level), found.get(level)))
        ]
        if problems:
            notes.append(f"the level {level} is not compared: {'; '.join(problems)}")
        else:
            shared.append(level)
    if not shared:
        raise OptionsError(
            f"the runs have no level with the same classes ({'; '.join(notes)}); compare runs that "
            "were trained on the same classes"
        )
    return shared, notes


def _mismatch(run: _Opened, level: str, first: set[str] | None, own: set[str] | None) -> str:
    """Why a level of a run cannot be compared; empty if it can."""
    if own is None:
        return f"{run.name} does not have it"
    if level not in run.scores.heads:
        return f"no clip of {run.name} has a label of it"
    if first is None or own == first:
        return ""
    texts = [
        f"{verb} {listed(sorted(names), 5)}"
        for verb, names in (("also has", own - first), ("does not have", first - own))
        if names
    ]
    return f"{run.name} {' and '.join(texts)}"


def _pairing_notes(runs: Sequence[_Opened], rows: Sequence[TableRow]) -> Iterable[str]:
    for run, row in zip(runs[1:], rows[1:], strict=True):
        if not all(metric.paired for metric in row.metrics.values()):
            own, first = (set(clip_names(one.predictions)) for one in (run, runs[0]))
            yield (
                f"{run.name} was scored on other clips than {runs[0].name} ({len(own & first)} "
                "shared): its differences are unpaired, and their intervals are wider"
            )


def _level(level: str, runs: Sequence[_Opened], rows: Sequence[TableRow]) -> ComparedLevel:
    first = runs[0]
    heads = [run.scores.heads[level] for run in runs]
    return ComparedLevel(
        name=level,
        classes=len(heads[0].labels),
        metrics=tuple({name: row.metrics[level, name] for name in METRICS} for row in rows),
        calibration=tuple(head.calibration for head in heads),
        changes=tuple(_class_changes(level, first, run) for run in runs[1:]),
        outcomes=tuple(
            _outcomes(level, first, run) if row.metrics[level, METRICS[0]].paired else None
            for run, row in zip(runs[1:], rows[1:], strict=True)
        ),
    )


def _class_changes(level: str, first: _Opened, run: _Opened) -> tuple[ClassChange, ...]:
    """The classes that have clips in both runs."""
    before, after = (
        {one.label: one for one in opened.scores.heads[level].per_class if one.support}
        for opened in (first, run)
    )
    found = [
        ClassChange(label, (old.support, after[label].support), old.f1, after[label].f1)
        for label, old in before.items()
        if label in after
    ]
    return tuple(sorted(found, key=lambda one: (one.change, one.label)))


def _outcomes(level: str, first: _Opened, run: _Opened) -> Outcomes:
    """Who is right on which clips."""
    lost, gained, both, neither, other_labels = [], [], 0, 0, 0
    pairs = zip(_by_clip(first, level), _by_clip(run, level), strict=True)
    for (path, true, ours), (_, other_true, theirs) in pairs:
        if true is None or true != other_true:
            other_labels += true != other_true
        elif ours == theirs:
            both, neither = both + (ours == true), neither + (ours != true)
        elif ours == true:
            lost.append(DifferentClip(path, true, theirs))
        elif theirs == true:
            gained.append(DifferentClip(path, true, ours))
        else:
            neither += 1
    different = len(lost) + len(gained)
    p_value = binomtest(len(gained), different).pvalue if different else None
    return Outcomes(
        both, tuple(lost), tuple(gained), neither, other_labels,
        None if p_value is None else float(p_value),
    )  # fmt: skip


def _by_clip(run: _Opened, level: str) -> list[tuple[str, str | None, str]]:
    """Path below the common folder, true and predicted label of every clip, in a fixed order."""
    predictions = run.predictions
    head = next(head for head in predictions.heads if head.name == level)
    names = clip_names(predictions)
    true = predictions.true[level]
    predicted = predictions.read(run.source)[level].argmax(axis=1)
    order = sorted(range(len(names)), key=lambda index: names[index])
    return [
        (
            names[index][0],
            head.classes[true[index]] if true[index] >= 0 else None,
            head.classes[predicted[index]],
        )
        for index in order
    ]
