"""``sonotype doctor``: find faults in a data set before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import Force, Json, LabelledData, with_options
from sonotype.core.errors import DataError
from sonotype.data.source_options import SourceOptions

EPILOG = "Example: sonotype doctor recordings --html report.html"


@with_options(Data=SourceOptions)
def doctor(
    data: LabelledData,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page")
    ] = None,
    fix: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a cleaned table (CSV); sounds are not changed"),
    ] = None,
    near: Annotated[
        bool,
        typer.Option(
            "--near/--no-near", help="Look for near copies: shifted, encoded again, excerpts"
        ),
    ] = True,
    show_all: Annotated[
        bool, typer.Option("--all", help="Print all places of each finding")
    ] = False,
    as_json: Json = False,
    force: Force = False,
    **source: Any,
) -> None:
    """Find faults in labelled sounds, with a remedy for each.

    The exit code is 4 if there are errors, and 0 if there are only warnings.

    Example: sonotype doctor recordings --html doctor.html --fix cleaned.csv
    """
    from sonotype.core.io import write_text
    from sonotype.doctor.examine import examine
    from sonotype.doctor.fix import write_fixed
    from sonotype.doctor.report import EXAMPLES, html_report, json_report, text_report
    from sonotype.evaluation.outputs import require_free

    for out in filter(None, (html, fix)):
        require_free(out, inputs=[data], force=force)
    diagnosis = examine(data, SourceOptions(**source), near=near, progress=True)
    if html is not None:
        write_text(html, html_report(diagnosis))
    fixed = None if fix is None else write_fixed(diagnosis, fix)
    if as_json:
        report = json_report(diagnosis)
    else:
        report = text_report(diagnosis, 0 if show_all else EXAMPLES)
    typer.echo(report.encode("utf-8", "backslashreplace").decode())
    if fixed is not None:
        typer.echo(f"{fix}: {fixed}", err=True)
    if diagnosis.count("error"):
        raise typer.Exit(DataError.exit_code)
