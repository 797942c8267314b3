"""``sonotype push``: send a model to the Hugging Face Hub."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from sonotype.core.errors import OptionsError


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
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without a question")] = False,
) -> None:
    """Send a model to the Hugging Face Hub, with a model card.

    Lists the files and asks before it sends them. The files are one commit; those that
    are there already are not sent again. Needs a token: HF_TOKEN, or hf auth login.

    Example: sonotype push runs/first user/name --private
    """  # fmt: skip
    from sonotype.report.push_model import MESSAGE, PushOptions, contents_to_push, push_model

    text = MESSAGE if message is None else message
    options = PushOptions(private, revision, text, onnx, endpoint.rstrip("/"))
    if dry_run:
        _list(contents_to_push(model, repository, options))
        typer.echo(f"nothing is sent; the repository would be {repository}")
        return
    if not yes and (sys.stdin is None or not sys.stdin.isatty()):
        raise OptionsError(
            "push asks before it sends, but standard input is not a terminal; add --yes to send "
            "without a question, or --dry-run to list the files"
        )

    def agreed(sizes: Mapping[str, int]) -> bool:
        if yes:
            return True
        _list(sizes)
        where = repository if revision == "main" else f"{repository}, branch {revision}"
        kind = "private" if private else "public, if it is new"
        host = options.endpoint or "huggingface.co"
        return typer.confirm(f"Send these files to {where} ({kind}) at {host}?")

    pushed = push_model(model, repository, options, agreed=agreed)
    if pushed is None:
        typer.echo("nothing is sent")
        raise typer.Exit(1)
    typer.echo(f"{'unchanged' if pushed.unchanged else 'commit'}: {pushed.url}")
    typer.echo(f"model: {pushed.address}")


def _list(sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        typer.echo(f"{size:>12,} bytes  {name}")
