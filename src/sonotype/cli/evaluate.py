"""``sonotype evaluate``: the scores of a model on labelled sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import takes
from sonotype.config import Device, ScoreOptions
from sonotype.data.source import SourceOptions


@takes(Scores=ScoreOptions, Data=SourceOptions)
def evaluate(
    model: Annotated[Path, typer.Argument(help="A model.safetensors")],
    data: Annotated[Path, typer.Argument(help="Labelled sounds that the model has not seen")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for scores.json, answers.csv and plots")
    ] = None,
    folds: Annotated[
        str | None, typer.Option("--folds", help="Score these official folds only, such as 4")
    ] = None,
    as_json: Annotated[bool | None, typer.Option("--json", help="Print the scores as JSON")] = None,
    device: Annotated[Device | None, typer.Option("--device", help="Where to run")] = None,
    **options: Any,
) -> None:
    """Score a model on labelled sounds.

    Example: sonotype evaluate runs/first/model.safetensors new_recordings --out runs/check
    """
    import json

    from sonotype.api import evaluate as run
    from sonotype.evaluation.report import render
    from sonotype.evaluation.scores import scores_to_json

    chosen = tuple(int(fold) for fold in folds.split(",")) if folds else ()
    scores = run(
        model, data, out=out, folds=chosen, device=device or "auto", progress=True, **options
    )
    typer.echo(json.dumps(scores_to_json(scores), indent=1) if as_json else render(scores))
    if out is not None and not as_json:
        typer.echo(f"scores: {out / 'scores.json'}")
        typer.echo(f"plots:  {out / 'plots'}")
