"""Put a classifier to labelled clips and collect its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sonotype.data.manifest import Manifest
from sonotype.errors import DataError, Fault
from sonotype.evaluation.answers import Answers
from sonotype.inference.classifier import BATCH, Classifier
from sonotype.inference.prediction import Failure, Prediction
from sonotype.types import NO_EVENT, Clip, Labels

SYNTHETIC_NOTE = "synthetic sounds: these scores say nothing about real ones"


def answer(
    classifier: Classifier,
    manifest: Manifest,
    *,
    batch_size: int = BATCH,
    partial: bool = False,
    progress: bool = False,
) -> Answers:
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
    heads = Classifier(
        classifier.engine, classifier.card, category_from="head", shifts=classifier.shifts
    )
    files = [clip.path for clip in manifest.clips]
    answers = list(heads.predict_files(files, batch_size=batch_size, progress=progress))
    faults = [
        Fault(one.source, 0, cause)
        for one in answers
        if (cause := one.cause if isinstance(one, Failure) else "" if partial else one.truncated)
    ]
    if faults:
        raise DataError(manifest.name, faults)
    return _collected(manifest.clips, classifier.labels, answers)


def refuse_unknown_labels(manifest: Manifest, labels: Labels) -> None:
    """Raise a ``DataError`` that lists the labels of the data that the model has no output for."""
    categories = {clip.category for clip in manifest.clips} - set(labels.categories)
    events = {clip.event for clip in manifest.clips if clip.event} - set(labels.events)
    faults = [
        Fault(str(manifest.name), 0, f"the model has no {kind} {name!r}; it has {_some(known)}")
        for kind, names, known in (
            ("category", categories, labels.categories),
            ("event", events if labels.events else set(), labels.events),
        )
        for name in sorted(names)
    ]
    if faults:
        raise DataError(manifest.name, faults)


def _collected(
    clips: Sequence[Clip], labels: Labels, answers: Sequence[Prediction | Failure]
) -> Answers:
    predictions = [one for one in answers if isinstance(one, Prediction)]
    events = bool(labels.events)
    return Answers(
        paths=tuple(str(clip.path) for clip in clips),
        groups=tuple(clip.group for clip in clips),
        category_true=np.array([labels.category_index(clip) for clip in clips]),
        event_true=np.array([labels.event_index(clip) if events else NO_EVENT for clip in clips]),
        category_probability=np.array(
            [list(one.category_probabilities.values()) for one in predictions]
        ),
        event_probability=np.array([list(one.event_probabilities.values()) for one in predictions])
        if events
        else None,
        labels=labels,
    )


def _some(names: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
