"""``sonotype train``: from a folder of labelled sounds to a model file and its scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import takes
from sonotype.config import ScoreOptions, SplitOptions, SystemOptions, TrainOptions
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions


@takes(
    Network=SystemOptions,
    Training=TrainOptions,
    Parts=SplitOptions,
    Data=SourceOptions,
    Scores=ScoreOptions,
)
def train(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA", help="Folder of labelled folders, CSV or Parquet, ESC-50, MSoS"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="New folder for the run")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", help="Run to go on with, with all its options; --cache-gb may be another"
        ),
    ] = None,
    **options: Any,
) -> None:
    """Train a system on labelled sounds and score it, once.

    The scores are those of a test part that is read at the very end. Ctrl-C leaves a model that
    works and a run to go on with.

    Example: sonotype train recordings --out runs/first --system cbir_2
    """
    run_training(data, out, resume, options)


def run_training(
    data: Path | None, out: Path | None, resume: Path | None, options: dict[str, Any]
) -> None:
    """Train, with bars and lines, and say where everything is."""
    if (out is None) == (resume is None):
        raise OptionsError("give either --out FOLDER for a new run, or --resume RUN to go on")
    if resume is not None and data is not None:
        raise OptionsError("--resume takes the data from the run; leave DATA out")
    from sonotype.experiments.pipeline import train as run

    result = run(
        data,
        out or resume or Path(),
        resume=resume is not None,
        progress=True,
        on_message=typer.echo,
        **options,
    )
    if result.best_score is None:
        typer.echo(f"epoch {result.best_epoch}, the last, is kept")
    else:
        score = f"macro F1 on validation {result.best_score:.3f}"
        typer.echo(f"best epoch {result.best_epoch}, {score}")
    if result.interrupted:
        typer.echo(f"model so far: {result.model}; the test part was not read")
        typer.echo(f"go on with: sonotype train --resume {result.folder}")
        raise typer.Exit(130)
    typer.echo(f"\n{result.report}")
    typer.echo(f"\nmodel:  {result.model}")
    if not result.scores:
        return
    typer.echo(f"scores: {result.folder / 'scores.json'}")
    typer.echo(f"plots:  {result.folder / 'plots'}")
