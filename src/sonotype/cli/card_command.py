"""``sonotype card``: a model card in Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.cli.flags import Force


def card(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_MODEL", help="A run folder, model.safetensors or model.onnx"
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write, such as README.md")
    ] = None,
    force: Force = False,
) -> None:
    """Write a model card, with the header of Hugging Face.

    The card says what the model recognises, how to use it, what it was trained on, how
    good it is, and what limits it. A run folder gives more than its model file alone.

    Example: sonotype card runs/first --out README.md
    """
    from sonotype.evaluation.outputs import is_standard_output, require_page, write_page
    from sonotype.experiments.run_folder import CONFIG
    from sonotype.report.model_card import model_card

    if out is None or is_standard_output(out):
        typer.echo(model_card(model), nl=False)
        return
    folder = model if model.is_dir() else model.parent
    runs = [folder] if model.is_dir() or (folder / CONFIG).is_file() else []
    require_page(out, inputs=[model], folders=runs, force=force)
    write_page(out, model_card(model))
    typer.echo(f"card: {out}")
