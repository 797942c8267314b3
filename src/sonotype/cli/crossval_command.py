"""``sonotype crossval``: train and score on each fold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import LabelledData, Verbose, with_options
from sonotype.cli.train_command import print_outputs
from sonotype.config import ScoreOptions, SystemOptions, TrainOptions
from sonotype.data.source_options import SourceOptions


@with_options(Network=SystemOptions, Training=TrainOptions, Data=SourceOptions, Scores=ScoreOptions)
def crossval(
    data: LabelledData,
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs, one run per fold")],
    folds: Annotated[
        int, typer.Option("--folds", help="Number of folds, if DATA has no official folds")
    ] = 5,
    verbose: Verbose = False,
    **options: Any,
) -> None:
    """Train on all folds but one and test on it, for each fold.

    Run the same command again to continue; finished folds are not repeated.

    Example: sonotype crossval recordings --out runs/folds --system cbir_4
    """
    from sonotype.experiments.cross_validation import crossval as run

    options |= {"folds": folds, "verbose": verbose}
    result = run(data, out, progress=True, on_message=typer.echo, **options)
    if result.interrupted:
        typer.echo("interrupted; run the same command again to continue")
        raise typer.Exit(130)
    typer.echo(f"\n{result.report}\n")
    print_outputs(out)
