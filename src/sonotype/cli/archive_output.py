"""Run a command on an archive: rows of very many recordings, in Parquet files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from sonotype.archive.archive_options import NAMES, ArchiveOptions
from sonotype.cli.recordings import print_failures
from sonotype.config import from_flat
from sonotype.core.errors import AudioError, OptionsError, StoppedError
from sonotype.core.text import counted, duration

if TYPE_CHECKING:
    from sonotype.archive.driver import ArchiveSummary


def write_archive(
    verb: Literal["predict", "detect", "embed"],
    paths: Sequence[str],
    out: Path | None,
    archive: Mapping[str, Any],
    *,
    also: Sequence[Path] = (),
    **task: Any,
) -> None:
    """Bring an archive up to date, and print what it holds.

    Args:
        verb: the command.
        paths: a model, if any; then the sources. They are no ``Path``, which takes slashes from
            addresses.
        out: folder of the archive.
        archive: fields of ``ArchiveOptions`` that the user set.
        also: further models.
        task: fields of ``TaskSpec``.

    Raises:
        OptionsError: invalid options or sources.
        Exit: with the code for recordings that could not be read, or for an interruption.
    """
    [options] = from_flat([ArchiveOptions], archive)
    if out is None:
        raise OptionsError("--engine, --workers and --partition need --out FOLDER")
    from sonotype.archive.driver import run_archive
    from sonotype.archive.engines import engine_of
    from sonotype.archive.remote import address_of
    from sonotype.archive.tasks import TaskSpec
    from sonotype.cli.prediction_inputs import STANDARD_INPUT, split_model

    model, local = split_model([Path(path) for path in paths])
    if any(str(path) in STANDARD_INPUT for path in local):
        raise OptionsError("an archive reads no standard input; write the sound into a file")
    texts = paths[len(paths) - len(local) :]
    sources = [address_of(text) or path for text, path in zip(texts, local, strict=True)]
    models = tuple(None if path is None else str(path) for path in (model, *also))
    spec = TaskSpec(verb, models, batch_size=options.batch_size, retries=options.retries, **task)
    try:
        summary = run_archive(spec, sources, out, options, engine_of(options))
    except KeyboardInterrupt:
        typer.echo(f"stopped; the results so far are in {out}", err=True)
        typer.echo("start the same command again to resume", err=True)
        raise typer.Exit(StoppedError.exit_code) from None
    _print(summary, out)
    if summary.failures:
        raise typer.Exit(AudioError.exit_code)


def archive_part(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of archives out of those of a command."""
    return {name: options.pop(name) for name in sorted(NAMES & options.keys())}


def local_paths(paths: Sequence[str]) -> list[Path]:
    """The model and the sounds of a command that writes no archive.

    Raises:
        OptionsError: an address of a sound.
    """
    from sonotype.archive.remote import address_of
    from sonotype.modelfile.hub_address import is_hub_address

    for text in paths:
        address = address_of(text)
        if address and not is_hub_address(text) and not os.path.lexists(text):
            raise OptionsError(
                f"{address}: addresses are for archives; add --engine local and --out FOLDER, or "
                "download the file"
            )
    return [Path(path) for path in paths]


def refuse(options: Mapping[str, Any], advice: str) -> None:
    """Raise an ``OptionsError`` for options that archives do not have."""
    if options:
        flag = next(iter(options)).replace("_", "-")
        raise OptionsError(f"--{flag} is not for archives; {advice}")


def _print(summary: ArchiveSummary, out: Path) -> None:
    done = "" if summary.rows else "; nothing was to do"
    typer.echo(f"{counted(summary.files, 'recording')}, {duration(summary.seconds)} of sound{done}")
    if summary.failures:
        print_failures(summary.failures, summary.first_failures)
    typer.echo(f"{out}: rows/{', errors.csv' if summary.failures else ''}")
