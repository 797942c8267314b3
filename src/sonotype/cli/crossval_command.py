"""``sonotype crossval``: train and score on every fold in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import takes
from sonotype.config import ScoreOptions, SystemOptions, TrainOptions
from sonotype.data.source_options import SourceOptions


@takes(Network=SystemOptions, Training=TrainOptions, Data=SourceOptions, Scores=ScoreOptions)
def crossval(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Labelled sounds, as for sonotype train")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the folds; finished ones are kept")
    ],
    folds: Annotated[
        int | None, typer.Option("--folds", help="How many, where the source has none [default: 5]")
    ] = None,
    **options: Any,
) -> None:
    """Train on all folds but one and test on it, in turn.

    A stopped cross-validation goes on when the same command is given again.

    Example: sonotype crossval recordings --out runs/folds --system cbir_4
    """
    from sonotype.experiments.cross_validation import crossval as run

    wanted = 5 if folds is None else folds
    result = run(data, out, folds=wanted, progress=True, on_message=typer.echo, **options)
    if result.interrupted:
        typer.echo("interrupted; the same command goes on from here")
        raise typer.Exit(130)
    typer.echo(f"\n{result.report}")
    typer.echo(f"\nscores: {out / 'scores.json'}")
    typer.echo(f"plots:  {out / 'plots'}")
