"""``sonotype serve``: a model as an HTTP service."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import with_options
from sonotype.config import Device, from_flat
from sonotype.core.errors import MissingExtraError
from sonotype.serve.settings import LOOPBACK, ServeSettings

KEYS_VARIABLE = "SONOTYPE_KEYS"


@with_options(Service=ServeSettings)
def serve(
    model: Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="A model or run folder [default: the built-in one]"),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="Keys of clients, one in each line"),
    ] = None,
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "auto",
    **options: Any,
) -> None:
    """Serve a model over HTTP: classify, detect, stream.

    A model.onnx needs no torch. Without --host only this machine can connect. Keys are also
    read from SONOTYPE_KEYS, separated by commas. Ctrl-C finishes the accepted requests.

    Example: sonotype serve runs/first/model.onnx --key-file keys.txt
    """
    [settings] = from_flat([ServeSettings], options)
    try:
        from sonotype.serve.app import create_app
        from sonotype.serve.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sonotype"):
            raise
        raise MissingExtraError("sonotype serve", "serve") from None
    from sonotype.serve.keys import read_keys
    from sonotype.serve.service import open_service

    keys = read_keys(key_file, os.environ.get(KEYS_VARIABLE, ""))
    service = open_service(model, settings, device)
    if not keys and settings.host not in LOOPBACK:
        typer.echo("warning: everyone who reaches the port may use it; see --key-file", err=True)

    def on_start(address: str) -> None:
        typer.echo(f"listening on {address}", err=True)

    run(create_app(service, keys), settings, on_start)
