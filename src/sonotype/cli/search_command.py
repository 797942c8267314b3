"""``sonotype search``: windows of an archive that sound like a query."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from sonotype.cli.flags import with_options
from sonotype.cli.recordings import LINE, print_failures
from sonotype.cli.suggest_command import LabelFormats, label_formats
from sonotype.config import from_flat
from sonotype.core.errors import AudioError, DataError, OptionsError
from sonotype.core.text import counted, shorten
from sonotype.search.options import SearchOptions

SHOWN_FAILURES = 3
MOST = 10_000
"""Windows of one call."""


@with_options(Search=SearchOptions)
def search(
    archive: Annotated[
        Path, typer.Argument(metavar="ARCHIVE", help="Folder that sonotype embed wrote")
    ],
    like: Annotated[
        list[Path],
        typer.Option("--like", metavar="SOUND", help="Sound to search for; repeat for more"),
    ],
    count: Annotated[
        int, typer.Option("--count", min=1, max=MOST, metavar="NUMBER", help="Windows to find")
    ] = 50,
    start: Annotated[
        float, typer.Option("--start", min=0, metavar="SECONDS", help="Start of the part of --like")
    ] = 0.0,
    end: Annotated[
        float | None,
        typer.Option("--end", min=0, metavar="SECONDS", help="End of the part of --like"),
    ] = None,
    label: Annotated[
        str,
        typer.Option(
            "--label",
            metavar="NAME",
            show_default=False,
            help="Label of the windows [default: the name of the sound]",
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            show_default=False,
            help="New folder of the windows [default: found_ and the label]",
        ),
    ] = None,
    formats: LabelFormats = "",
    **options: Any,
) -> None:
    """Find the windows of an archive that sound like a clip.

    Writes the windows as sound files, and a table that is also a label file. The first
    search builds an index in the archive. The exit code is 3 if a recording could not be
    read, and 4 if a part of the archive could not.

    Example: sonotype search archive --like dog.wav --label dog --out dogs
    """
    (chosen,) = from_flat([SearchOptions], options)
    chosen_formats = label_formats(formats)
    label = _label(label or like[0].stem)
    out = _folder(out, label)
    from sonotype.audio.decode import seconds_of
    from sonotype.core.io import atomic_folder
    from sonotype.detect.job_folder import output_errors
    from sonotype.inference.load import load
    from sonotype.search.nearest import Wanted, open_archive
    from sonotype.search.output import ADVICE, NOT_FOUND, SHOWN, TABLE, table_lines, write_found
    from sonotype.search.query import archive_model, query_vectors

    for path in like:
        seconds_of(path)  # notices an unreadable sound before the index is built for minutes
    opened = open_archive(archive, _note)
    model = load(archive_model(archive, opened.info, chosen.model), tta_shifts=1)
    query = query_vectors(model, like, opened.info.hop, start=start, end=end)
    began = perf_counter()
    found = opened.search(
        query,
        Wanted(
            count, chosen.combine, chosen.min_similarity,
            keep_copies=chosen.keep_copies, exact=chosen.exact,
        ),
    )  # fmt: skip
    seconds = perf_counter() - began
    failures: list[tuple[Path, str]] = []
    if found.hits:
        with output_errors(out, resumes=False), atomic_folder(out) as begun:
            failures = write_found(
                begun, found.hits, label, chosen_formats, model.audio_spec.sample_rate / 2
            )
    copies = f"; left out as the query itself: {found.copies}" if found.copies else ""
    typer.echo(f"{len(found.hits)} of {opened.rows:,} windows, found in {seconds:.2f} s{copies}")
    if found.hits:
        typer.echo("\n".join(table_lines(found.hits)))
        if len(found.hits) > SHOWN:
            typer.echo(f"and {len(found.hits) - SHOWN} more in {out / TABLE}")
        typer.echo(f"{out}: {TABLE}, clips/{', labels/' if chosen_formats else ''}")
    if opened.failures:
        typer.echo(f"{counted(len(opened.failures), 'part')} of {archive} not searched:")
        for part in opened.failures[:SHOWN_FAILURES]:
            typer.echo(shorten(f"  {part.name} {part.cause}", LINE))
    if failures:
        print_failures(len(failures), failures[:SHOWN_FAILURES])
        if any(cause == NOT_FOUND for _, cause in failures):
            typer.echo(ADVICE)
        raise typer.Exit(AudioError.exit_code)
    if opened.failures:
        raise typer.Exit(DataError.exit_code)


def _label(label: str) -> str:
    """The label of the windows.

    Raises:
        OptionsError: training could not read it.
    """
    label = label.strip()
    if not label or not label.isprintable() or ";" in label:
        raise OptionsError(f"--label {label!r}: must be a name without ';' and control characters")
    return label


def _folder(out: Path | None, label: str) -> Path:
    """The output folder.

    Raises:
        OptionsError: it is not empty.
    """
    from sonotype.detect.output_names import safe_name
    from sonotype.evaluation.outputs import require_new_folder

    out = out or Path(f"found_{safe_name(label)}")
    require_new_folder(out)
    return out


def _note(text: str) -> None:
    typer.echo(text, err=True)
