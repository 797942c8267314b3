"""``sonotype export``: write a model for runtimes other than torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sonotype.cli.flags import Folds, Force, with_options
from sonotype.data.source_options import SourceOptions

if TYPE_CHECKING:
    from sonotype.evaluation.metrics import HeadScores


@with_options(Data=SourceOptions)
def export(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A model.safetensors or run folder [default: the built-in model]",
        ),
    ] = None,
    to: Annotated[Literal["onnx"], typer.Option("--to", help="Format of the file")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write [default: next to MODEL]")
    ] = None,
    force: Force = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Labelled sounds for the comparison [default: synthetic sounds]"
        ),
    ] = None,
    folds: Folds = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Quantise to 8 bits and print the accuracy of both models"),
    ] = False,
    **options: Any,
) -> None:
    """Export a model to ONNX, for use without torch.

    The file includes the log-mel front end; its metadata holds labels and settings. The
    outputs are compared with those of the model before the file is kept. sonotype predict
    runs the file without torch.

    Example: sonotype export runs/first/model.safetensors --to onnx
    """
    from sonotype.export.onnx import export_onnx
    from sonotype.inference.locate import beside_model, find_model

    file = out or (Path("builtin.onnx") if model is None else beside_model(model, f"{{}}.{to}"))
    model = None if model is None else find_model(model)
    report = export_onnx(
        model, file, data=data, folds=folds or (), int8=int8, force=force, progress=True, **options
    )
    kind = "synthetic clips" if report.synthetic else "clips"
    typer.echo(f"file:        {file} ({file.stat().st_size / 1e6:.1f} MB)")
    typer.echo(
        f"difference:  at most {report.difference:.1g} in a probability on {report.clips} {kind}"
    )
    for name, before in report.before.items():
        shown = "; ".join(
            f"{figure} {value:.3f}, original model {original:.3f}"
            for (figure, value), (_, original) in zip(
                _figures(report.after[name]), _figures(before), strict=True
            )
        )
        typer.echo(f"{f'{name}:':<12} {shown}")
    for note in report.notes:
        typer.echo(f"note: {note}", err=True)


def _figures(scores: HeadScores) -> list[tuple[str, float]]:
    """The main figures of a head; of one with several labels for a clip mAP too."""
    found = [("accuracy", scores.accuracy.value)]
    if scores.ranking is not None:
        found.insert(0, ("mAP", scores.ranking.average_precision.value))
    return found
