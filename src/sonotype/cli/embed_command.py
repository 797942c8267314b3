"""``sonotype embed``: embeddings of windows of recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.archive.archive_options import BATCH_SIZE, ArchiveOptions, check_address
from sonotype.cli.archive_output import write_archive
from sonotype.cli.flags import with_options
from sonotype.config import Device


@with_options(
    {"batch_size": str(BATCH_SIZE)},
    {"engine": "Work with processes of this machine (local), or with Ray [default: local]"},
    Archive=ArchiveOptions,
)
def embed(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="RECORDINGS",
            help="A model, if any; then sounds, folders, patterns, tables of paths or addresses",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the Parquet files")],
    hop: Annotated[
        float | None,
        typer.Option(
            "--hop",
            metavar="SECONDS",
            show_default=False,
            help="Embed windows that start every SECONDS [default: the length of a window]",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Run each window as a separate clip", hidden=True),
    ] = False,
    device: Annotated[Device, typer.Option("--device", help="Device", hidden=True)] = "auto",
    **options: Any,
) -> None:
    """Write embeddings of windows of recordings, for search.

    They are in Parquet files, for all windows of all recordings.

    The same command resumes a stopped job; only new and changed recordings are
    read. The exit code is 3 if a recording could not be read.

    Example: sonotype embed model.safetensors field --out embeddings
    """
    check_address(options)
    write_archive("embed", paths, out, options, hop=hop, exact=exact, device=device)
