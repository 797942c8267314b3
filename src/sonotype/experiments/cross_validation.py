"""Cross-validation: train and score on every fold in turn; mean, spread and pooled scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text, read_json
from sonotype.core.progress import OnMessage
from sonotype.data.augment.augmented_copies import Transform
from sonotype.data.manifest import Manifest
from sonotype.data.splits.split import Split
from sonotype.data.splits.training_split import fold_splits
from sonotype.evaluation.folds import folds_to_json, summarise_folds
from sonotype.evaluation.metrics import Scores, score, scores_from_json, scores_to_json
from sonotype.evaluation.predictions import concatenate, load_predictions
from sonotype.evaluation.report import render_folds
from sonotype.evaluation.write_report import write_report
from sonotype.experiments.context import ignore
from sonotype.experiments.opening import open_and_split
from sonotype.experiments.pipeline import score_notes
from sonotype.experiments.run_folder import PREDICTIONS, SCORES
from sonotype.experiments.run_options import RunOptions, require_no_split_options
from sonotype.experiments.runner import run_many
from sonotype.training.random_state import kept_random_state


@dataclass(frozen=True)
class CrossvalResult:
    """Scores over all folds.

    Attributes:
        scores: JSON values: ``folds`` (mean, spread, every fold) and ``pooled`` (all predictions
            together, with intervals by recording); empty if interrupted.
        report: the same as text.
        interrupted: by ctrl-C.
    """

    scores: dict[str, Any]
    report: str
    interrupted: bool


@kept_random_state()
def crossval(
    data: str | Path,
    out: str | Path,
    *,
    folds: int = 5,
    transform: Transform | None = None,
    progress: bool = False,
    verbose: bool = False,
    on_message: OnMessage = ignore,
    **options: Any,
) -> CrossvalResult:
    """Test on each fold in turn: one of the others validates, the rest trains.

    The folds are the official ones of the source, or else stratified folds that keep recordings
    together. Finished folds in ``out`` are kept, so the same call resumes a stopped one.

    Args:
        data: as for :func:`sonotype.experiments.pipeline.train`.
        out: gets a run folder for each fold, and the scores over all.
        folds: their number, for a source without official folds.
        transform: as for training.
        progress: draw bars.
        verbose: report every epoch and the size of the systems.
        on_message: is called with lines of text.
        options: as for training, without those of the split.

    Raises:
        OptionsError: an invalid option, or a fold in ``out`` has other options or data.
        FailedRunsError: folds failed; the others are kept. The next call runs these again.
        SonotypeError: as for training, if every fold fails with the same error.
    """
    folder = Path(out)
    require_no_split_options(options)
    chosen = RunOptions.of(options)
    if folder.is_dir() and any(folder.iterdir()) and not any(folder.glob("fold_*")):
        raise OptionsError(f"{folder} is not empty; a cross-validation needs an empty folder")
    seed, checkpoint = chosen.train.seed, chosen.train.checkpoint

    def make_splits(manifest: Manifest) -> dict[str, Split]:
        splits = fold_splits(
            manifest, folds=folds, checkpoint=checkpoint, seed=seed, note=chosen.validation_note
        )
        return {f"fold_{number}": split for number, split in enumerate(splits, start=1)}

    runs = open_and_split(
        data, folder, chosen, make_splits,
        transform=transform, progress=progress, verbose=verbose, on_message=on_message,
    )  # fmt: skip
    if not run_many(runs, "cross-validation", same_options=True, on_message=on_message):
        return CrossvalResult({}, "", True)
    scores, predictions = [], []
    for run in runs.values():
        scores.append(_scores_of(run.folder / SCORES))
        predictions.append(load_predictions(run.folder / PREDICTIONS))
    # Each fold has notes of its own, such as its official folds; these hold for all.
    notes = [score_notes(run.manifest, run.split.note) for run in runs.values()]
    shared = tuple(note for note in notes[0] if all(note in others for others in notes))
    every = concatenate(predictions)
    source = chosen.score.category_source
    pooled = score(every, category_source=source, seed=seed, notes=shared)
    summary = summarise_folds(scores)
    report = render_folds(summary, pooled)
    write_report(pooled, every, folder)
    values = {"folds": folds_to_json(summary), "pooled": scores_to_json(pooled)}
    write_text(folder / SCORES, json_text(values, indent=1) + "\n")
    write_text(folder / "scores.txt", report)
    return CrossvalResult(values, report, False)


def _scores_of(path: Path) -> Scores:
    try:
        return scores_from_json(read_json(path))
    except (OSError, ValueError, SonotypeError) as error:
        raise SonotypeError(f"{path} cannot be read ({error}); remove its fold") from None
