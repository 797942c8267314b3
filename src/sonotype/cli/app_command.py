"""``sonotype app``: a page in the browser that makes a detector from sounds."""

from __future__ import annotations

import threading
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sonotype.core.errors import MissingExtraError

DEFAULT_PROJECT = Path("sonotype-project")


def app(
    models: Annotated[
        list[Path] | None,
        typer.Argument(metavar="MODEL", help="Models or run folders to try", show_default=False),
    ] = None,
    project: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder with a folder of sounds for each class")
    ] = DEFAULT_PROJECT,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all networks")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            metavar="N",
            help="Port to listen on [default: 8765, or a free one]",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser")
    ] = True,
) -> None:
    """Open a page to record, train and try a detector.

    The project is a plain folder, which sonotype train reads, too. With --host other than
    127.0.0.1 the printed address has a key: who has it may use the page. Ctrl-C ends it.

    Example: sonotype app --project my-sounds
    """
    try:
        from sonotype.app.application import create_app
        from sonotype.app.page_server import address, listener_at, new_key, serve_page
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sonotype"):
            raise
        raise MissingExtraError("sonotype app", "app") from None
    from sonotype.app.open_context import open_context

    context = open_context(project, models or [])
    try:
        key = new_key(host)
        listener = listener_at(host, port)
        page = address(listener, host, key)

        def on_start() -> None:
            typer.echo(f"page: {page}")
            typer.echo(f"project: {context.project.folder}")
            typer.echo("Press Ctrl-C to end.")
            if browser:  # some browsers of a terminal end with the page
                threading.Thread(target=_open, args=(page,), daemon=True).start()

        with suppress(KeyboardInterrupt):
            serve_page(create_app(context, key), listener, on_start)
    finally:
        context.training.close()
        context.tray.close()
        context.project.close()


def _open(page: str) -> None:
    with suppress(webbrowser.Error, OSError):
        webbrowser.open(page)
