"""Run a study: every run of its plan once, in any number of sessions and processes."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path

from sonotype.core.io import file_inside
from sonotype.core.progress import OnMessage
from sonotype.data.manifest import Manifest
from sonotype.data.splits.split import Split
from sonotype.data.splits.training_split import fold_split
from sonotype.data.validate import check_sounds
from sonotype.experiments.context import RunContext, ignore
from sonotype.experiments.grid_plan import Plan
from sonotype.experiments.opening import (
    for_source,
    open_for_training,
    purpose_of,
    require_single,
    resolve_paths,
    split_of_run,
)
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import run_many


def run_study(
    plan: Plan,
    data: str | Path,
    out: str | Path,
    *,
    jobs: int = 1,
    progress: bool = False,
    on_message: OnMessage = ignore,
) -> bool:
    """Run everything that is not finished; whether all is in the end.

    Each run has a run folder as ``train`` makes it, with its log and its wall time. The feature
    maps of frozen blocks are cached for all runs, so the runs of a study share them.

    Args:
        plan: from :func:`sonotype.experiments.grid_plan.read_plan`.
        data: the source, as for training.
        out: the study's folder; finished runs in it are kept.
        jobs: runs at a time, each in a process with its share of the processors.
        progress: draw bars.
        on_message: is called with a line of text for each run.

    Raises:
        DataError: issues of the data.
        OptionsError: a run in ``out`` has other options or data, or a fold does not exist.
        FailedRunsError: runs failed; the others are finished. The next call runs these again.
    """
    runs = _contexts(plan, data, Path(out), progress)
    return run_many(runs, plan.title, jobs=jobs, progress=progress, on_message=on_message)


def _contexts(plan: Plan, data: str | Path, out: Path, progress: bool) -> dict[str, RunContext]:
    """Every run by its name; the models of other rows are the teachers of a run."""
    sources: dict[Hashable, tuple[Manifest, str]] = {}
    contexts = {}
    for run in plan.runs():
        teachers = tuple(str(out / teacher.folder) for teacher in plan.teachers(run.row))
        values = {"teachers": teachers} if teachers else {}
        chosen = RunOptions.of({**plan.row(run.row).options, **values, "seed": run.seed})
        options = resolve_paths(chosen, progress=progress)
        # Windows of annotated recordings depend on the last two.
        source = options.source, purpose_of(options), options.system.seconds, options.train.seed
        if source not in sources:
            manifest, _ = open_for_training(data, options)
            require_single(manifest, "a study")
            manifest = check_sounds(manifest, progress=progress)
            # Decoded sounds would take memory for as long as the study runs.
            sources[source] = replace(manifest, decoded=None), manifest.fingerprint()
        manifest, fingerprint = sources[source]
        options = for_source(options, manifest)
        split = split_of(manifest, options, run.fold)
        folder = file_inside(out, run.folder)
        contexts[run.name] = RunContext(data, manifest, fingerprint, split, options, folder)
    return contexts


def split_of(manifest: Manifest, options: RunOptions, fold: int | None) -> Split:
    """The split that tests on an official fold, or, without one, the split of the options.

    Raises:
        OptionsError: the source has no such fold.
    """
    if fold is None:
        return split_of_run(manifest, options)
    train = options.train
    return fold_split(
        manifest,
        fold,
        checkpoint=train.checkpoint,
        seed=train.seed,
        note=options.validation_note,
    )
