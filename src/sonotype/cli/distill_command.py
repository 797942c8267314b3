"""``sonotype distill``: make an accurate model small."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import takes
from sonotype.cli.train_command import run_training
from sonotype.config import (
    ScoreOptions,
    SplitOptions,
    SystemOptions,
    TeachingOptions,
    TrainOptions,
)
from sonotype.core.errors import OptionsError
from sonotype.data.source_options import SourceOptions


@takes(
    Student=SystemOptions,
    Teaching=TeachingOptions,
    Training=TrainOptions,
    Parts=SplitOptions,
    Data=SourceOptions,
    Scores=ScoreOptions,
)
def distill(
    data: Annotated[Path | None, typer.Argument(metavar="DATA", help="As for train")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="New folder for the run")] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", help="Run to go on with, with all its options")
    ] = None,
    **options: Any,
) -> None:
    """Make an accurate model small, by learning from it.

    Of several teachers, such as those of a cross-validation, each clip is taught by those that
    have not heard it; a teacher that has heard a clip of the test part does not teach.

    Example: sonotype distill recordings --teacher runs/first --out runs/small
    """
    if resume is None and not options.get("teachers"):
        raise OptionsError("there is nobody to learn from; give --teacher MODEL")
    if resume is None:
        options = {"recipe": "student"} | options
    run_training(data, out, resume, options)
