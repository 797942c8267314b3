"""``sonotype train``: train a classifier on labelled sounds and score it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import Verbose, with_options
from sonotype.config import ScoreOptions, SplitOptions, SystemOptions, TrainOptions
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions

Data = Annotated[
    Path | None,
    typer.Argument(metavar="DATA", help="Class folders, a table, annotated recordings, a data set"),
]
Out = Annotated[Path | None, typer.Option("--out", help="New folder for the run")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Do not write report.html")]
Resume = Annotated[Path | None, typer.Option("--resume", help="Continue the run in this folder")]


@with_options(
    Network=SystemOptions,
    Training=TrainOptions,
    Split=SplitOptions,
    Data=SourceOptions,
    Scores=ScoreOptions,
)
def train(
    data: Data = None,
    out: Out = None,
    resume: Resume = None,
    verbose: Verbose = False,
    no_report: NoReport = False,
    **options: Any,
) -> None:
    """Train a classifier on labelled sounds and score it.

    Ctrl-C stops the training; --resume continues it. --resume takes all options
    from the run; only --cache-gb, --devices and --nodes may differ.

    Example: sonotype train recordings --out runs/first
    """
    run_training(data, out, resume, options | {"verbose": verbose}, report=not no_report)


def run_training(
    data: Path | None,
    out: Path | None,
    resume: Path | None,
    options: dict[str, Any],
    *,
    report: bool,
) -> None:
    """Train with progress bars; print the result and where it is, and write the report.

    Raises:
        OptionsError: DATA, --out and --resume contradict each other.
        Exit: the training was interrupted.
    """
    if (out is None) == (resume is None):
        raise OptionsError("use either --out FOLDER for a new run or --resume FOLDER")
    if resume is not None and data is not None:
        raise OptionsError("--resume takes DATA from the run; omit DATA")
    from sonotype.experiments.pipeline import train

    result = train(
        data,
        out or resume or Path(),
        resume=resume is not None,
        progress=True,
        on_message=typer.echo,
        **options,
    )
    if result.best_epoch is None:
        pass
    elif result.best_score is None:
        typer.echo(f"kept the last epoch, {result.best_epoch}")
    else:
        score = f"macro F1 on validation {result.best_score:.3f}"
        typer.echo(f"best epoch {result.best_epoch}, {score}")
    if result.interrupted:
        typer.echo(f"model so far: {result.model}; not scored on the test set")
        typer.echo(f"continue with: sonotype train --resume {result.folder}")
        raise typer.Exit(130)
    typer.echo(f"\n{result.report}")
    typer.echo(f"\nmodel:  {result.model}")
    if result.scores:
        print_outputs(result.folder)
    if report:
        _write_report(result.folder)


def _write_report(folder: Path) -> None:
    """Write the report of a finished run; an error is a warning, since the training is done."""
    try:
        from sonotype.report.run_report import write_training_report

        typer.echo(f"report: {write_training_report(folder)}")
    except Exception as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        typer.echo(f"warning: the report was not written: {cause}", err=True)


def print_outputs(folder: Path) -> None:
    """Print where the scores and plots are."""
    typer.echo(f"scores: {folder / 'scores.json'}")
    typer.echo(f"plots:  {folder / 'plots'}")
