"""``sonotype export``: a model for runtimes without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sonotype.cli.flags import numbers, takes
from sonotype.data.source_options import SourceOptions

if TYPE_CHECKING:
    from sonotype.export.onnx import Exported


@takes(Data=SourceOptions)
def export(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A model.safetensors, or its run folder [default: the built-in model]",
        ),
    ] = None,
    to: Annotated[Literal["onnx"], typer.Option("--to", help="For which kind of runtime")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", help="The file [default: beside the model]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file")] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Labelled sounds to compare both files on [default: synthesised ones]"
        ),
    ] = None,
    folds: Annotated[
        str | None,
        typer.Option("--folds", metavar="1,2,...", help="Of the data, these official folds only"),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="Products in 8 bits; says what that costs on the data"),
    ] = False,
    **options: Any,
) -> None:
    """Write a model as one file from waveform to answer.

    Its log-mel is inside; labels and settings stand in its metadata. What it answers is compared
    with the model before it is kept. sonotype predict takes it as it takes a model, without torch.

    Example: sonotype export runs/first/model.safetensors --to onnx
    """
    from sonotype.export.onnx import export_onnx
    from sonotype.inference.locate import find_model

    model = None if model is None else find_model(model)
    file = out or (Path("builtin.onnx") if model is None else model.with_suffix(f".{to}"))
    report = export_onnx(
        model,
        file,
        data=data,
        folds=() if folds is None else numbers("--folds", folds),
        int8=bool(int8),
        force=bool(force),
        progress=True,
        **options,
    )
    for line in _lines(report):
        typer.echo(line)


def _lines(report: Exported) -> list[str]:
    kind = "synthesised clips" if report.synthetic else "clips"
    lines = [
        f"file:        {report.path} ({report.path.stat().st_size / 1e6:.1f} MB)",
        f"difference:  at most {report.difference:.1g} in a probability, on {report.clips} {kind}",
    ]
    if report.before is not None and report.after is not None:
        for name in ("category", "event"):
            before, after = getattr(report.before, name), getattr(report.after, name)
            if before is not None:
                lines.append(
                    f"{f'{name}:':<12} {after:.3f} of them right, {before:.3f} by the model itself"
                )
    return lines
