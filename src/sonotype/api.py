"""``sonotype.evaluate``: the same as the command.

Its neighbours in ``import sonotype`` are at home elsewhere: ``train`` and ``crossval`` in
:mod:`sonotype.training`, ``load`` in :mod:`sonotype.inference`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonotype.config import from_dict
from sonotype.data.contents import clips_seen, contents_of
from sonotype.data.manifest import Manifest
from sonotype.data.rows import counted
from sonotype.data.source import open_source
from sonotype.data.source_options import SourceOptions
from sonotype.evaluation.compare import average
from sonotype.evaluation.outputs import require_free_folder
from sonotype.evaluation.publish import OUTPUTS, publish
from sonotype.evaluation.run import SYNTHETIC_NOTE, answer
from sonotype.evaluation.scores import Scores, score
from sonotype.inference.classifier import Classifier
from sonotype.inference.load import load
from sonotype.inference.locate import find_model
from sonotype.readout import CategoryFrom

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
    category_from: CategoryFrom | None = None,
    also: Sequence[str | Path] = (),
    shifts: int | None = None,
    device: str = "auto",
    force: bool = False,
    progress: bool = False,
    **source: Any,
) -> Scores:
    """Score a model on labelled sounds.

    Args:
        model: a model file, the run folder that holds it, or a loaded classifier.
        data: as for training.
        out: folder for ``scores.json``, ``scores.txt``, ``answers.csv`` and plots, if wanted.
        folds: score only these official folds.
        category_from: how to read the category; ``None`` as the model says.
        also: further models, whose probabilities are averaged with the first one's.
        shifts: average the answers to so many circular shifts of a clip; ``None`` as the model
            says.
        device: where to run; a loaded classifier stays where it is.
        force: replace files of these names in ``out``; inputs are never replaced.
        progress: draw a bar.
        source: fields of :class:`sonotype.data.source.SourceOptions`.

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
        classifier = Classifier(
            model.engine,
            model.card,
            category_from=model.category_from,
            shifts=model.shifts if shifts is None else shifts,
        )
    else:
        classifier = load(model, device=device, shifts=shifts)
    source_of_all = open_source(data, options, purpose="evaluation")
    manifest = source_of_all.of_folds(folds)
    members = [classifier, *(load(path, device=device, shifts=shifts) for path in also)]
    answers = average(
        [
            answer(member, manifest, partial=manifest.partial, progress=progress)
            for member in members
        ]
    )
    how = category_from or classifier.category_from
    notes = [SYNTHETIC_NOTE] if manifest.synthetic else []
    notes += _notes_on_seen(members, source_of_all, manifest, folds, progress=progress)
    scores = score(answers, category_from=how, notes=notes)
    if out is not None:
        publish(scores, answers, Path(out))
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
