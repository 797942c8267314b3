"""``sonotype tune``: fit the detection of a model to recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import Folds, Force, Json, with_options
from sonotype.config import Device
from sonotype.data.source_options import SourceOptions


@with_options(Data=SourceOptions)
def tune(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A model.safetensors or run folder")
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="Annotated recordings, or labelled clips to simulate recordings from",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Model to write [default: model-tuned.safetensors by MODEL]"),
    ] = None,
    force: Force = False,
    background_folder: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Recordings without events; repeat for more"),
    ] = None,
    false_alarms: Annotated[
        float,
        typer.Option(metavar="NUMBER", help="Most false alarms an hour of background"),
    ] = 6.0,
    minutes: Annotated[
        float,
        typer.Option(
            help="Clips: minutes to simulate [default: by the number of classes]",
            show_default=False,
        ),
    ] = 0.0,
    refit: Annotated[
        bool, typer.Option("--refit", help="Fit a new frame head, though the model has one")
    ] = False,
    folds: Folds = None,
    as_json: Json = False,
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "auto",
    **options: Any,
) -> None:
    """Fit how a model detects events, to recordings or to clips.

    Writes a new model for sonotype detect; network and classes stay as they are.

    Example: sonotype tune runs/first/model.safetensors recordings
    """  # fmt: skip
    from sonotype.core.json_text import json_text
    from sonotype.experiments.tune import TuneOptions
    from sonotype.experiments.tune import tune as run
    from sonotype.experiments.tune_report import report_text

    chosen = TuneOptions(
        background=tuple(background_folder or ()),
        minutes=minutes,
        false_alarms=false_alarms,
        refit=refit,
        device=device,
    )
    tuned = run(model, data, out, chosen, folds=folds or (), force=force, progress=True, **options)
    if as_json:
        typer.echo(json_text({"model": str(tuned.path), **tuned.detection.tuned}, indent=1))
        return
    typer.echo(report_text(tuned.report, tuned.facts, tuned.notes))
    typer.echo(f"\nmodel:  {tuned.path}")
