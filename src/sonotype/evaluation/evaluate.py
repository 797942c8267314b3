"""``sonotype.evaluate``: run a classifier on labelled clips and score its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sonotype.config import from_dict
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.hierarchy import CategorySource
from sonotype.core.prefetch import prefetch
from sonotype.core.progress import track
from sonotype.core.text import listed
from sonotype.core.types import Clip, Heads
from sonotype.data.augment.augmented_copies import ORIGINAL, Waveforms
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.source_options import SourceOptions
from sonotype.evaluation.compare import average
from sonotype.evaluation.held_out import changes
from sonotype.evaluation.metrics import Scores, score
from sonotype.evaluation.other_names import renamed, without_foreign
from sonotype.evaluation.outputs import require_free_folder
from sonotype.evaluation.predictions import FloatArray, Predictions
from sonotype.evaluation.psds import require_sed
from sonotype.evaluation.recordings import predict_recordings
from sonotype.evaluation.seen import find_seen
from sonotype.evaluation.sound_events import EventScoreOptions, score_events
from sonotype.evaluation.write_report import outputs_of, write_report
from sonotype.inference.classifier import Classifier
from sonotype.inference.engine import BATCH_SIZE
from sonotype.inference.load import load
from sonotype.inference.locate import find_model
from sonotype.inference.prediction import Failure, Prediction

SYNTHETIC_NOTE = "synthetic sounds: these scores say nothing about real ones"


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
    hop: float | None = None,
    event_options: EventScoreOptions | None = None,
    psds: bool = False,
    rename: Mapping[str, str] | None = None,
    unseen: bool = False,
    **source: Any,
) -> Scores:
    """Score a model on labelled sounds, or on annotated recordings.

    Annotated recordings are scored by window, and by event: see
    :mod:`sonotype.evaluation.sound_events`. Clips of classes that the model does not have test its
    unknown score (:mod:`sonotype.evaluation.other_names`). Scores on new clips are compared with
    the held-out scores of training (:mod:`sonotype.evaluation.held_out`).

    Args:
        model: a model file, the run folder that holds it, or a loaded classifier.
        data: as for training.
        out: folder for ``scores.json``, ``scores.txt``, ``predictions.csv`` and plots, if any.
        folds: score only these official folds.
        category_source: how to read the category; default: the model's.
        also: further models; the probabilities of all models are averaged.
        tta_shifts: number of circular shifts of a clip to average over; default: the model's.
        device: where to run; a loaded classifier stays where it is.
        force: replace existing outputs in ``out``; inputs are never replaced.
        progress: draw a bar.
        hop: annotated recordings: seconds from one window to the next; default: a quarter of a
            window, at most 1 s.
        event_options: tolerances of the event scores.
        psds: annotated recordings: compute PSDS as well, see :mod:`sonotype.evaluation.psds`.
        rename: classes of the model by label of the data; the labels are replaced by them.
        unseen: leave out the sounds that the models have seen in training or tuning.
        source: fields of :class:`sonotype.data.source_options.SourceOptions`.

    Raises:
        AudioError: an annotated recording cannot be read.
        DataError: issues of the data, or no label that the model knows.
        MissingExtraError: ``psds``, and the extra ``[sed]`` is not installed.
        ModelFileError: the model file is invalid.
        OptionsError: an invalid option.
    """
    options = from_dict(SourceOptions, source)
    if psds:
        require_sed()
    if isinstance(model, Classifier):
        classifier = model.with_options(tta_shifts=tta_shifts)
    else:
        classifier = load(model, device=device, tta_shifts=tta_shifts)
    if out is not None:
        read = [find_model(one) for one in (model, *also) if not isinstance(one, Classifier)]
        names = outputs_of(classifier.heads)
        require_free_folder(Path(out), names, inputs=[Path(data), *read], force=force)
    rename = rename or {}
    known = [*classifier.heads[0].classes, *rename]
    everything = open_source(data, options, purpose="evaluation", classes=known)
    manifest = renamed(everything, classifier.heads, rename).of_folds(folds)
    members = [classifier, *(load(path, device=device, tta_shifts=tta_shifts) for path in also)]
    if not manifest.recordings:  # refused before any file is read
        refuse_several_labels(manifest, classifier.heads)
        without_foreign(manifest, classifier.heads)
    seen = find_seen(
        members, everything, manifest, folds,
        detection=bool(manifest.recordings), progress=progress,
    )  # fmt: skip
    if unseen:
        manifest = seen.left_out(manifest)
    notes = [SYNTHETIC_NOTE] if manifest.synthetic else []
    notes += [seen.left_out_note] if unseen else seen.notes
    if seen.paths and not unseen:
        notes[-1] += "; --unseen leaves them out"
    if manifest.recordings:
        if category_source is not None:
            members[0] = classifier.with_options(category_source=category_source)
        scores, predictions = _score_recordings(
            members, manifest, hop, event_options or EventScoreOptions(), options,
            psds=psds, progress=progress,
        )  # fmt: skip
    else:
        if hop is not None or event_options is not None or psds:
            raise OptionsError(
                "--hop, --collar and --psds are for annotated recordings, not for clips"
            )
        source_of_category = category_source or classifier.category_source
        scores, predictions = _score_clips(members, manifest, source_of_category, progress=progress)
    if len(members) == 1 and (unseen or not seen.notes):
        scores = replace(scores, held_out=changes(scores, classifier.card.scores))
    scores = replace(scores, notes=(*notes, *scores.notes))
    if out is not None:
        write_report(scores, predictions, Path(out))
    return scores


def _score_clips(
    members: Sequence[Classifier],
    manifest: Manifest,
    category_source: CategorySource,
    *,
    progress: bool,
) -> tuple[Scores, Predictions]:
    """Scores of clips, and the predictions; clips of foreign classes test the unknown score."""
    card = members[0].card
    manifest, foreign = without_foreign(manifest, card.heads, card.unknown_head)
    found = average([predict_clips(one, manifest, partial=manifest.partial, progress=progress)
                     for one in members])  # fmt: skip
    predictions = replace(found, foreign=foreign.clips if any(foreign.clips) else ())
    notes = foreign.notes(unknown=found.unknown is not None)
    scores = score(predictions, category_source=category_source, notes=notes)
    return replace(scores, foreign=foreign.labels), predictions


def _score_recordings(
    members: Sequence[Classifier],
    manifest: Manifest,
    hop: float | None,
    event_options: EventScoreOptions,
    options: SourceOptions,
    *,
    psds: bool,
    progress: bool,
) -> tuple[Scores, Predictions]:
    """Scores of windows and of events, and the predictions for the windows."""
    found = predict_recordings(
        members, manifest.recordings, hop=hop, min_overlap=options.min_overlap, progress=progress
    )
    [head] = found.windows.heads
    scores = score(found.windows, notes=found.notes)
    events = score_events(found.detections, head.classes, event_options, psds=psds)
    source = members[0].category_source if len(members[0].heads) > 1 else "head"
    return replace(scores, category_source=source, events=events), found.windows


def predict_clips(
    classifier: Classifier,
    manifest: Manifest,
    *,
    batch_size: int = BATCH_SIZE,
    partial: bool = False,
    progress: bool = False,
) -> Predictions:
    """Run a classifier on every clip of a manifest.

    Args:
        classifier: the model.
        manifest: the labelled clips.
        batch_size: as for :meth:`Classifier.predict_files`.
        partial: accept truncated files, and score what they contain.
        progress: draw a bar.

    Raises:
        DataError: lists all labels that the model does not know, or all files that cannot be read
            or are truncated.
    """
    refuse_unknown_labels(manifest, classifier.heads)
    if any(clip.start is not None for clip in manifest.clips):
        return _predict_window_clips(classifier, manifest, batch_size, progress=progress)
    # Predictions hold the output of each head; coarse levels are read by the score.
    heads = classifier.with_options(category_source="head")
    files = [clip.path for clip in manifest.clips]
    found = list(heads.predict_files(files, batch_size=batch_size, progress=progress))
    issues = [
        DataIssue(x.source, 0, cause)
        for x in found
        if (cause := x.cause if isinstance(x, Failure) else "" if partial else x.truncated)
    ]
    if issues:
        raise DataError(manifest.name, issues)
    predictions = [x for x in found if isinstance(x, Prediction)]
    return _collect(
        manifest.clips,
        classifier.heads,
        {
            head.name: np.array([one.proba[head.name] for one in predictions])
            for head in classifier.heads
        },
        _unknown_scores(predictions),
        predictions[0].unknown_threshold if predictions else None,
    )


def _predict_window_clips(
    classifier: Classifier, manifest: Manifest, batch_size: int, *, progress: bool
) -> Predictions:
    """:func:`predict_clips` for windows of recordings, each as a clip of its own."""
    clips = manifest.clips
    waveforms = Waveforms(clips, classifier.audio_spec, decoded=manifest.decoded)
    sounds = prefetch(
        lambda index: waveforms.augmented_copy(index, ORIGINAL),
        range(len(clips)),
        threads=available_cpus(),
        buffer_size=batch_size,
    )
    outputs = [
        classifier.predict_proba(np.stack(list(islice(sounds, batch_size))))
        for _ in track(range(0, len(clips), batch_size), "classifying", show=progress)
    ]
    unknown = [one.unknown for one in outputs if one.unknown is not None]
    return _collect(
        clips,
        classifier.heads,
        {
            head.name: np.concatenate([one.proba[head.name] for one in outputs])
            for head in classifier.heads
        },
        np.concatenate(unknown) if unknown else None,
        classifier.card.unknown_threshold if unknown else None,
    )


def refuse_unknown_labels(manifest: Manifest, heads: Heads) -> None:
    """Raise a ``DataError`` that lists the labels of the data that the model does not have.

    Several labels of a clip are an issue too, where the model gives each clip one.
    """
    issues = []
    for head in heads:
        found = {label for clip in manifest.clips for label in clip.labels.get(head.name, ())}
        issues += [
            DataIssue(
                str(manifest.name),
                0,
                f"the model has no {head.name} {name!r}; it has {listed(head.classes, 12)}",
            )
            for name in sorted(found - set(head.classes))
        ]
    issues += _several_labels(manifest, heads)
    if issues:
        raise DataError(manifest.name, issues)


def refuse_several_labels(manifest: Manifest, heads: Heads) -> None:
    """Raise a ``DataError`` that lists the clips with several labels of a head of one class."""
    if issues := _several_labels(manifest, heads):
        raise DataError(manifest.name, issues)


def _several_labels(manifest: Manifest, heads: Heads) -> list[DataIssue]:
    return [
        DataIssue(
            clip.name,
            0,
            f"has {len(names)} labels ({listed(names)}), but the model gives each clip one "
            f"{head.name}; give each clip one, or train with --problem multi",
        )
        for head in heads
        for clip in manifest.clips
        if head.problem == "single" and len(names := clip.labels.get(head.name, ())) > 1
    ]


def _collect(
    clips: Sequence[Clip],
    heads: Heads,
    proba: Mapping[str, FloatArray],
    unknown: FloatArray | None,
    unknown_threshold: float | None,
) -> Predictions:
    """Predictions for labelled clips, with probabilities in double precision."""
    return Predictions(
        paths=tuple(clip.name for clip in clips),
        groups=tuple(clip.group for clip in clips),
        true={head.name: np.array([head.target(clip) for clip in clips]) for head in heads},
        proba={name: values.astype(np.float64) for name, values in proba.items()},
        heads=heads,
        unknown=unknown,
        unknown_threshold=unknown_threshold,
    )


def _unknown_scores(predictions: Sequence[Prediction]) -> FloatArray | None:
    scores = [one.unknown_score for one in predictions if one.unknown_score is not None]
    return np.array(scores) if scores and len(scores) == len(predictions) else None
