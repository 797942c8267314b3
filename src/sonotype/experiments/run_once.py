"""A training beside a study, which is run once and of which no table tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sonotype.core.errors import SonotypeError, StoppedError
from sonotype.data.readers.source import open_source
from sonotype.experiments.pipeline import inspect, parts_of, with_backbone
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import STOPPED, check_same_config, finished, run_planned
from sonotype.training.callbacks import OnMessage


def run_or_resume(
    data: str | Path,
    folder: str | Path,
    *,
    progress: bool = False,
    on_message: OnMessage = lambda _: None,
    **options: Any,
) -> None:
    """Train, go on with an unfinished training, or find a finished one, as a study does its cells.

    Args:
        data: the source, as for training.
        folder: the run.
        progress: draw bars.
        on_message: gets a line now and then.
        options: as for training.

    Raises:
        OptionsError: the folder's run has other options or data.
        StoppedError: interrupted; the same call goes on.
        SonotypeError: it failed.
    """
    folder = Path(folder)
    chosen = RunOptions.of(options)
    manifest = open_source(data, chosen.source)
    parts = parts_of(manifest, chosen)
    manifest = inspect(manifest, progress=progress)
    if manifest.copies:
        parts = parts_of(manifest, chosen)
    fingerprint = manifest.fingerprint()
    chosen = with_backbone(chosen, progress=progress, on_message=on_message)
    check_same_config(folder, chosen, fingerprint, manifest, parts)
    if finished(folder):
        on_message(f"{folder}: finished before")
        return
    failure = run_planned(
        manifest, parts, folder, chosen,
        data=data, fingerprint=fingerprint, progress=progress, on_message=on_message,
    )  # fmt: skip
    if failure == STOPPED:
        raise StoppedError(f"{folder}: interrupted; the same call goes on from here")
    if failure:
        raise SonotypeError(f"{folder}: {failure}")
