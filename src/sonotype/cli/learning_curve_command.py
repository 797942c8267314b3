"""``sonotype learning-curve``: how many labelled clips are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import numbers, takes
from sonotype.config import ScoreOptions, SystemOptions, TrainOptions
from sonotype.data.source_options import SourceOptions


@takes(Network=SystemOptions, Training=TrainOptions, Data=SourceOptions, Scores=ScoreOptions)
def learning_curve(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Labelled sounds, as for sonotype train")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the trainings; finished ones are kept")
    ],
    sizes: Annotated[
        str | None,
        typer.Option(
            "--sizes", metavar="1,2,...", help="Clips per class, beside all [default: 1,2,4,8,16]"
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option("--draws", help="Folds, where the source has none [default: 4]", min=2),
    ] = None,
    more: Annotated[
        int | None,
        typer.Option("--more", help="Clips that the advice is about [default: 20]", min=1),
    ] = None,
    **options: Any,
) -> None:
    """Tell what more labelled clips would bring.

    Trains on 1, 2, 4, ... clips of each class and on all, and tests every clip at each size.
    A stopped curve goes on when the same command is given again.

    Example: sonotype learning-curve recordings --out runs/curve --width 0
    """
    from sonotype.experiments.learning_curve import DRAWS, SIZES, run_learning_curve

    result = run_learning_curve(
        data,
        out,
        sizes=SIZES if sizes is None else numbers("--sizes", sizes),
        draws=draws or DRAWS,
        more=more or 20,
        progress=True,
        on_message=typer.echo,
        **options,
    )
    typer.echo(f"\n{result.report}\n\nplot: {result.plot}")
