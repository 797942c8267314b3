"""``sonotype export``: write a model for runtimes other than torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sonotype.cli.flags import Folds, Force, with_options
from sonotype.data.source_options import SourceOptions


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
    from sonotype.inference.locate import find_model

    model = None if model is None else find_model(model)
    file = out or (Path("builtin.onnx") if model is None else model.with_suffix(f".{to}"))
    report = export_onnx(
        model, file, data=data, folds=folds or (), int8=int8, force=force, progress=True, **options
    )
    kind = "synthetic clips" if report.synthetic else "clips"
    typer.echo(f"file:        {file} ({file.stat().st_size / 1e6:.1f} MB)")
    typer.echo(
        f"difference:  at most {report.difference:.1g} in a probability on {report.clips} {kind}"
    )
    for name, before in report.before.items():
        after = report.after[name]
        typer.echo(f"{f'{name}:':<12} accuracy {after:.3f}, original model {before:.3f}")
