"""``sonotype.evaluate``: run a classifier on labelled clips and score its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.config import from_dict
from sonotype.core.errors import DataError, DataIssue
from sonotype.core.hierarchy import CategorySource
from sonotype.core.types import IGNORE_INDEX, Clip, Labels
from sonotype.data.digest import clips_seen, contents_of
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.records import counted
from sonotype.data.source_options import SourceOptions
from sonotype.evaluation.compare import average
from sonotype.evaluation.metrics import Scores, score
from sonotype.evaluation.outputs import require_free_folder
from sonotype.evaluation.predictions import Predictions
from sonotype.evaluation.write_report import OUTPUTS, write_report
from sonotype.inference.classifier import Classifier
from sonotype.inference.engine import BATCH_SIZE
from sonotype.inference.load import load
from sonotype.inference.locate import find_model
from sonotype.inference.prediction import Failure, Prediction

SYNTHETIC_NOTE = "synthetic sounds: these scores say nothing about real ones"
SEEN_NOTE = (
    "these are the very recordings that the model was trained on: it knows most of them, and "
    "scores lower on what is new to it"
)
SEEN_FOLDS_NOTE = (
    "folds of the very source that the model was trained on: only those that it was tested on "
    "are new to it"
)


def evaluate(
    model: str | Path | Classifier,
    data: str | Path,
    *,
    out: str | Path | None = None,
    folds: Sequence[int] = (),
    category_source: CategorySource | None = None,
    also: Sequence[str | Path] = (),
    tta_shifts: int | None = None,
    device: str = "auto",
    force: bool = False,
    progress: bool = False,
    **source: Any,
) -> Scores:
    """Score a model on labelled sounds.

    Args:
        model: a model file, the run folder that holds it, or a loaded classifier.
        data: as for training.
        out: folder for ``scores.json``, ``scores.txt``, ``predictions.csv`` and plots, if wanted.
        folds: score only these official folds.
        category_source: how to read the category; ``None`` as the model says.
        also: further models, whose probabilities are averaged with the first one's.
        tta_shifts: average the answers to so many circular shifts of a clip; ``None`` as the model
            says.
        device: where to run; a loaded classifier stays where it is.
        force: replace files of these names in ``out``; inputs are never replaced.
        progress: draw a bar.
        source: fields of :class:`sonotype.data.readers.source.SourceOptions`.

    Raises:
        DataError: faults of the data, or labels that the model does not know.
        ModelFileError: the model file is refused.
        OptionsError: an option that will not do.
    """
    options = from_dict(SourceOptions, source)
    if out is not None:
        read = [find_model(one) for one in (model, *also) if not isinstance(one, Classifier)]
        require_free_folder(Path(out), OUTPUTS, inputs=[Path(data), *read], force=force)
    if isinstance(model, Classifier):
        classifier = model.with_options(tta_shifts=tta_shifts)
    else:
        classifier = load(model, device=device, tta_shifts=tta_shifts)
    source_of_all = open_source(data, options, purpose="evaluation")
    manifest = source_of_all.of_folds(folds)
    members = [classifier, *(load(path, device=device, tta_shifts=tta_shifts) for path in also)]
    answers = average(
        [
            answer(member, manifest, partial=manifest.partial, progress=progress)
            for member in members
        ]
    )
    how = category_source or classifier.category_source
    notes = [SYNTHETIC_NOTE] if manifest.synthetic else []
    notes += _notes_on_seen(members, source_of_all, manifest, folds, progress=progress)
    scores = score(answers, category_source=how, notes=notes)
    if out is not None:
        write_report(scores, answers, Path(out))
    return scores


def _notes_on_seen(
    members: Sequence[Classifier],
    source: Manifest,
    manifest: Manifest,
    folds: Sequence[int],
    *,
    progress: bool,
) -> list[str]:
    """What has to be said where the models have seen some of the clips that are scored.

    Files are read only where a model tells what it was trained on.

    Args:
        members: the models.
        source: all clips of the data.
        manifest: those that are scored.
        folds: that were asked for.
        progress: draw a bar.
    """
    trainings = [member.card.training for member in members]
    lists = [one["seen"] for one in trainings if isinstance(one.get("seen"), list)]
    trained_on = {one.get("fingerprint") for one in trainings} - {None}
    count, notes = 0, []
    if lists:
        paths = [clip.path for clip in manifest.clips]
        contents, _ = contents_of(paths, partial=manifest.partial, progress=progress)
        source = source.with_contents(contents)
        count = clips_seen(frozenset().union(*lists), contents.values())
    told = len(lists) == len(members)
    if trained_on and (count or not told) and source.fingerprint() in trained_on:
        notes.append(SEEN_FOLDS_NOTE if folds else SEEN_NOTE)
    if count:
        who = "the model has" if len(members) == 1 else "the models have"
        notes.append(
            f"{who} seen {count} of {counted(len(manifest.clips), 'clip')}, in training or to "
            "choose the epoch: scores on new clips are lower"
        )
    return notes


def answer(
    classifier: Classifier,
    manifest: Manifest,
    *,
    batch_size: int = BATCH_SIZE,
    partial: bool = False,
    progress: bool = False,
) -> Predictions:
    """The answers of a classifier on every clip of a manifest.

    Args:
        classifier: the model.
        manifest: the labelled clips.
        batch_size: as for :meth:`Classifier.predict_files`.
        partial: of a file that is cut off, score the answer to what is there.
        progress: draw a bar.

    Raises:
        DataError: labels that the model does not know, or sounds that cannot be read, or not to
            their end; all of them.
    """
    refuse_unknown_labels(manifest, classifier.labels)
    # Answers hold what each head said; how the category is read is up to the score.
    heads = classifier.with_options(category_source="head")
    files = [clip.path for clip in manifest.clips]
    answers = list(heads.predict_files(files, batch_size=batch_size, progress=progress))
    issues = [
        DataIssue(one.source, 0, cause)
        for one in answers
        if (cause := one.cause if isinstance(one, Failure) else "" if partial else one.truncated)
    ]
    if issues:
        raise DataError(manifest.name, issues)
    return _collected(manifest.clips, classifier.labels, answers)


def refuse_unknown_labels(manifest: Manifest, labels: Labels) -> None:
    """Raise a ``DataError`` that lists the labels of the data that the model has no output for."""
    categories = {clip.category for clip in manifest.clips} - set(labels.categories)
    events = {clip.event for clip in manifest.clips if clip.event} - set(labels.events)
    issues = [
        DataIssue(str(manifest.name), 0, f"the model has no {kind} {name!r}; it has {_some(known)}")
        for kind, names, known in (
            ("category", categories, labels.categories),
            ("event", events if labels.events else set(), labels.events),
        )
        for name in sorted(names)
    ]
    if issues:
        raise DataError(manifest.name, issues)


def _collected(
    clips: Sequence[Clip], labels: Labels, answers: Sequence[Prediction | Failure]
) -> Predictions:
    predictions = [one for one in answers if isinstance(one, Prediction)]
    events = bool(labels.events)
    return Predictions(
        paths=tuple(str(clip.path) for clip in clips),
        groups=tuple(clip.group for clip in clips),
        category_true=np.array([labels.category_index(clip) for clip in clips]),
        event_true=np.array(
            [labels.event_index(clip) if events else IGNORE_INDEX for clip in clips]
        ),
        category_probability=np.array([one.category_proba for one in predictions], np.float64),
        event_probability=np.array([one.event_proba for one in predictions], np.float64)
        if events
        else None,
        labels=labels,
    )


def _some(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
