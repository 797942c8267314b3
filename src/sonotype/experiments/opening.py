"""Steps 1 and 2 of a run: open a source and split it.

:func:`open_and_split` does them for one run, or for several on the same source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sonotype.audio.clip_length import automatic_seconds
from sonotype.audio.stream import stated_seconds
from sonotype.core.errors import DataError, DataIssue, OptionsError
from sonotype.core.progress import OnMessage
from sonotype.core.types import LEVELS
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.splits.crossfit import crossfit_split
from sonotype.data.splits.split import Split
from sonotype.data.splits.training_split import split_by_options
from sonotype.data.validate import Purpose, check_sounds
from sonotype.data.windows import training_windows
from sonotype.experiments.context import RunContext, ignore
from sonotype.experiments.run_folder import with_absolute_paths
from sonotype.experiments.run_options import RunOptions, evaluation_of
from sonotype.modelfile.pretrained import available

MakeSplits = Callable[[Manifest], Mapping[str, Split]]
"""The splits of a source, each by the name of its run's folder."""


def open_and_split(
    data: str | Path, folder: Path, options: RunOptions, make_splits: MakeSplits, **shared: Any
) -> dict[str, RunContext]:
    """Steps 1 and 2: read a source, check its sounds, split it; a context for each split.

    The source is split before its sounds are decoded, so that an impossible split is reported
    at once, and again if copies of a sound have joined groups.

    Args:
        data: the source.
        folder: of the runs, each in a folder with the name of its split.
        options: of all runs.
        make_splits: from the manifest.
        shared: ``transform``, ``progress``, ``verbose`` and ``on_message`` of all contexts.

    Raises:
        DataError: every issue of the data.
        OptionsError: an invalid split.
        WeightsError: no weights for the backbone.
    """
    manifest, options = open_for_training(data, options)
    splits = make_splits(manifest)
    progress = shared.get("progress", False)
    manifest = check_sounds(manifest, progress=progress)
    if manifest.copies:
        splits = make_splits(manifest)
    fingerprint = manifest.fingerprint()
    on_message = shared.get("on_message", ignore)
    options = resolve_paths(options, progress=progress, on_message=on_message)
    return {
        name: RunContext(data, manifest, fingerprint, split, options, folder / name, **shared)
        for name, split in splits.items()
    }


def open_for_training(
    data: str | Path, options: RunOptions, purpose: Purpose | None = None
) -> tuple[Manifest, RunOptions]:
    """Read a source; of annotated recordings, cut windows.

    Args:
        data: the source.
        options: of the run.
        purpose: how strict the checks are; default: what the options need.

    Returns:
        the clips, and the options with a clip length for them.

    Raises:
        DataError: every issue of the data.
    """
    manifest = open_source(data, options.source, purpose=purpose or purpose_of(options))
    options = for_source(options, manifest)
    if not manifest.recordings:
        return manifest, options
    windows = options.source.windows(options.system.seconds, options.train.seed)
    clips = training_windows(manifest.recordings, windows)
    if not any(clip.labels.get(LEVELS[0]) for clip in clips):
        cause = "no window has a label; choose shorter windows with --seconds, or check the labels"
        raise DataError(manifest.name, [DataIssue(manifest.name, 0, cause)])
    problem = None if windows.problem == "single" else windows.problem
    return dataclasses.replace(manifest, clips=clips, problem=problem), options


def open_run(data: str | Path, folder: Path, options: RunOptions, **shared: Any) -> RunContext:
    """:func:`open_and_split` for the single split that the options define."""

    def make_splits(manifest: Manifest) -> dict[str, Split]:
        return {"": split_of_run(manifest, options)}

    return open_and_split(data, folder, options, make_splits, **shared)[""]


def require_single(manifest: Manifest, what: str) -> None:
    """Raise an ``OptionsError`` if clips can have any number of labels.

    Args:
        manifest: the clips.
        what: what is not possible, for the message.
    """
    several = [head.name for head in manifest.heads if head.problem == "multi"]
    if several:
        raise OptionsError(
            f"{what} needs clips with one label each, and these can have any number of labels "
            f"({', '.join(several)}); train a single model with train, or give one label a clip"
        )


def purpose_of(options: RunOptions) -> Purpose:
    """How strict the checks of the data are: classes with one clip need no test clips."""
    on_all_clips = options.split.evaluation in ("crossfit", "none")
    lenient = on_all_clips or options.train.recipe == "linear"
    return "crossfit" if lenient else "training"


def for_source(options: RunOptions, manifest: Manifest) -> RunOptions:
    """The options with a clip length, and without shifted copies of overlapping windows."""
    options = with_clip_length(options, manifest)
    if not manifest.recordings:
        return options
    return dataclasses.replace(options, score=dataclasses.replace(options.score, tta_shifts=1))


def with_clip_length(options: RunOptions, manifest: Manifest) -> RunOptions:
    """The options with a clip length for the recordings where it is 0.

    Nine of ten recordings (or events of annotated recordings) fit into a clip, if these are 1 to
    5 s long. Short sounds in long clips
    are mostly padding, which hides what is in them.
    """
    if options.system.seconds:
        return options
    lengths = [event.end - event.start for one in manifest.recordings for event in one.events]
    lengths = lengths or [stated_seconds(clip.path) for clip in manifest.clips]
    seconds = automatic_seconds(lengths)
    return dataclasses.replace(options, system=dataclasses.replace(options.system, seconds=seconds))


def split_of_run(manifest: Manifest, options: RunOptions) -> Split:
    """The split that the options define.

    Raises:
        DataError: a subset would be empty, or lacks a class.
        OptionsError: invalid or contradictory options.
    """
    seed = options.train.seed
    how = evaluation_of(options, own_subsets=len(manifest.subsets) > 1)
    if how == "crossfit":
        return crossfit_split(manifest, protocol=options.split.protocol, seed=seed)
    chosen = options.split
    if how == "none":
        chosen = dataclasses.replace(chosen, protocol="all")
    return split_by_options(
        manifest,
        chosen,
        checkpoint=options.train.checkpoint,
        seed=seed,
        note=options.validation_note,
    )


def resolve_paths(
    options: RunOptions, *, progress: bool = False, on_message: OnMessage = ignore
) -> RunOptions:
    """The options with absolute paths, and with an available backbone for ``auto``.

    Raises:
        WeightsError: no weights are available.
    """
    name = available(options.system.backbone, progress=progress, on_message=on_message)
    system = dataclasses.replace(options.system, backbone=name)
    return with_absolute_paths(dataclasses.replace(options, system=system))
