"""What ``import sonotype`` offers: the same as the commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sonotype.data.source import SourceOptions, open_source
from sonotype.errors import OptionsError
from sonotype.evaluation.publish import publish
from sonotype.evaluation.run import answer
from sonotype.evaluation.scores import Scores, score
from sonotype.inference.classifier import Classifier, load
from sonotype.readout import CategoryFrom
from sonotype.training.crossval import crossval
from sonotype.training.fit import device_of
from sonotype.training.run import notes_on, train

__all__ = ["crossval", "evaluate", "load", "train"]


def evaluate(
    model: str | Path | Classifier,
    data: str | Path,
    *,
    out: str | Path | None = None,
    folds: Sequence[int] = (),
    category_from: CategoryFrom | None = None,
    device: str = "auto",
    progress: bool = False,
    **source: Any,
) -> Scores:
    """Score a model on labelled sounds.

    Args:
        model: a model file, or a loaded classifier.
        data: as for training.
        out: folder for ``scores.json``, ``scores.txt``, ``answers.csv`` and plots, if wanted.
        folds: score only these official folds.
        category_from: how to read the category; ``None`` as the model says.
        device: where to run; a loaded classifier stays where it is.
        progress: draw a bar.
        source: fields of :class:`sonotype.data.source.SourceOptions`.

    Raises:
        DataError: faults of the data, or labels that the model does not know.
        ModelFileError: the model file is refused.
        OptionsError: an option that will not do.
    """
    classifier = (
        model if isinstance(model, Classifier) else load(model, device=str(device_of(device)))
    )
    manifest = open_source(data, SourceOptions(**source), purpose="evaluation")
    if folds:
        missing = sorted(set(folds) - set(manifest.folds))
        if missing:
            there = ", ".join(map(str, manifest.folds)) or "none"
            raise OptionsError(f"folds {missing} are not in the data, which has {there}")
        chosen = [index for index, clip in enumerate(manifest.clips) if clip.fold in folds]
        manifest = manifest.take(chosen)
    answers = answer(classifier, manifest, progress=progress)
    how = category_from or classifier.category_from
    scores = score(answers, category_from=how, notes=notes_on(manifest))
    if out is not None:
        publish(scores, answers, Path(out))
    return scores
