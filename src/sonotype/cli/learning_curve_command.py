"""``sonotype learning-curve``: estimate the value of more labelled clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import LabelledData, with_options
from sonotype.config import CurveOptions, ScoreOptions, SystemOptions, TrainOptions
from sonotype.data.source_options import SourceOptions


@with_options(
    Curve=CurveOptions,
    Network=SystemOptions,
    Training=TrainOptions,
    Data=SourceOptions,
    Scores=ScoreOptions,
)
def learning_curve(
    data: LabelledData,
    out: Annotated[Path, typer.Option("--out", help="Folder of the runs")],
    **options: Any,
) -> None:
    """Estimate the scores with more labelled clips.

    Train on 1, 2, 4, ... clips per class and on all clips. Run the same command again to
    continue an interrupted one.

    Example: sonotype learning-curve recordings --out runs/curve --sizes 1,4,16
    """
    from sonotype.experiments.learning_curve import run_learning_curve

    result = run_learning_curve(data, out, progress=True, on_message=typer.echo, **options)
    typer.echo(f"\n{result.report}\n\nplot: {result.plot}")
