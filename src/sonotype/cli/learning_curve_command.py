"""``sonotype learning-curve``: estimate the value of more labelled clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.crossval_command import LabelledData
from sonotype.cli.flags import NUMBERS, numbers, with_options
from sonotype.config import ScoreOptions, SystemOptions, TrainOptions
from sonotype.data.source_options import SourceOptions


@with_options(Network=SystemOptions, Training=TrainOptions, Data=SourceOptions, Scores=ScoreOptions)
def learning_curve(
    data: LabelledData,
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs")],
    sizes: Annotated[
        Any,
        typer.Option(
            "--sizes", metavar=NUMBERS, parser=numbers, help="Clips per class [default: 1,2,4,8,16]"
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option("--draws", help="Folds, if DATA has no official folds [default: 4]", min=2),
    ] = None,
    more: Annotated[
        int, typer.Option("--more", help="Predict the gain of this number of new clips", min=1)
    ] = 20,
    **options: Any,
) -> None:
    """Estimate the scores with more labelled clips.

    Train on 1, 2, 4, ... clips per class and on all clips. Run the same command again to
    continue; finished runs are not repeated.

    Example: sonotype learning-curve recordings --out runs/curve --width 0
    """
    from sonotype.experiments.learning_curve import DRAWS, SIZES, run_learning_curve

    result = run_learning_curve(
        data,
        out,
        sizes=sizes or SIZES,
        draws=draws or DRAWS,
        more=more,
        progress=True,
        on_message=typer.echo,
        **options,
    )
    typer.echo(f"\n{result.report}\n\nplot: {result.plot}")
