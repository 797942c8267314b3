"""``sonotype push``: send a model to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def push(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A run folder, model.safetensors or model.onnx"),
    ],
    repository: Annotated[
        str, typer.Argument(metavar="USER/NAME", help="Repository; created if there is none")
    ],
    private: Annotated[bool, typer.Option("--private", help="Create a private repository")] = False,
    revision: Annotated[
        str, typer.Option("--revision", metavar="BRANCH", help="Branch; created if there is none")
    ] = "main",
    message: Annotated[str | None, typer.Option("--message", help="Message of the commit")] = None,
    onnx: Annotated[
        bool,
        typer.Option("--onnx/--no-onnx", help="Also send model.onnx; exported if there is none"),
    ] = True,
    endpoint: Annotated[
        str,
        typer.Option(
            "--endpoint",
            envvar="HF_ENDPOINT",
            show_envvar=False,
            show_default=False,
            metavar="URL",
            help="Address of the Hub [default: HF_ENDPOINT, or huggingface.co]",
        ),
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the files, and send nothing")
    ] = False,
) -> None:
    """Send a model to the Hugging Face Hub, with a model card.

    The files are one commit; those that are there already are not sent again. Needs a
    token: HF_TOKEN, or hf auth login. sonotype.load("hf://user/name") loads the model.

    Example: sonotype push runs/first user/name --private
    """  # fmt: skip
    from sonotype.report.push_model import MESSAGE, PushOptions, contents_to_push, push_model

    text = MESSAGE if message is None else message
    options = PushOptions(private, revision, text, onnx, endpoint.rstrip("/"))
    if dry_run:
        for name, size in contents_to_push(model, repository, options).items():
            typer.echo(f"{size:>12,} bytes  {name}")
        typer.echo(f"nothing is sent; the repository would be {repository}")
        return
    pushed = push_model(model, repository, options)
    typer.echo(f"{'unchanged' if pushed.unchanged else 'commit'}: {pushed.url}")
    typer.echo(f"model: {pushed.address}")
