"""``sonotype evaluate``: the scores of a model on labelled sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import numbers, takes
from sonotype.config import Device
from sonotype.core.hierarchy import CategorySource
from sonotype.data.source_options import SourceOptions


@takes(Data=SourceOptions)
def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A model.safetensors or model.onnx, or its run folder"
        ),
    ],
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Labelled sounds that the model has not seen")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for scores.json, predictions.csv and plots")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files in --out")] = False,
    folds: Annotated[
        str | None,
        typer.Option("--folds", metavar="1,2,...", help="Score these official folds only"),
    ] = None,
    category_source: Annotated[
        CategorySource | None,
        typer.Option("--category-source", help="How to read the category [default: as the model]"),
    ] = None,
    tta_shifts: Annotated[
        int | None,
        typer.Option(
            "--tta-shifts", min=1, max=16, help="Shifted versions averaged [default: as the model]"
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option("--also", help="Another model; the probabilities of all are averaged"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON")] = False,
    device: Annotated[Device, typer.Option("--device", help="Where to run")] = "auto",
    **options: Any,
) -> None:
    """Score a model on labelled sounds.

    Example: sonotype evaluate runs/first/model.safetensors new_recordings
    """
    from sonotype.core.json_text import json_text
    from sonotype.evaluation.evaluate import evaluate as run
    from sonotype.evaluation.metrics import scores_to_json
    from sonotype.evaluation.report import render

    scores = run(
        model,
        data,
        out=out,
        folds=() if folds is None else numbers("--folds", folds),
        category_source=category_source,
        also=also or (),
        tta_shifts=tta_shifts,
        device=device,
        force=bool(force),
        progress=True,
        **options,
    )
    typer.echo(json_text(scores_to_json(scores), indent=1) if as_json else render(scores))
    if out is not None and not as_json:
        typer.echo(f"\nscores: {out / 'scores.json'}")
        typer.echo(f"plots:  {out / 'plots'}")
