"""``sonotype doctor``: find faults in a data set before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import Force, Json, LabelledData, with_options
from sonotype.core.errors import DataError, OptionsError
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
    from sonotype.doctor.examine import examine
    from sonotype.doctor.fix import write_fixed
    from sonotype.doctor.report import EXAMPLES, html_report, json_report, text_report
    from sonotype.evaluation.outputs import is_standard_output, write_page

    options = SourceOptions(**source)
    printed = html is not None and is_standard_output(html)
    if printed and as_json:
        raise OptionsError(f"--html {html} and --json both print; name a file for the report")
    _check_outputs(data, options, html, fix, force=force)
    diagnosis = examine(data, options, near=near, progress=True)
    if html is not None:
        write_page(html, html_report(diagnosis))
    fixed = None if fix is None else write_fixed(diagnosis, fix)
    if as_json:
        report = json_report(diagnosis)
    else:
        report = text_report(diagnosis, 0 if show_all else EXAMPLES)
    if not printed:
        typer.echo(report.encode("utf-8", "backslashreplace").decode())
    if fixed is not None:
        typer.echo(f"{fix}: {fixed}", err=True)
    if diagnosis.count("error"):
        raise typer.Exit(DataError.exit_code)


def _check_outputs(
    data: Path, options: SourceOptions, html: Path | None, fix: Path | None, *, force: bool
) -> None:
    """Refuse outputs that would replace a file of the data, before the examination.

    Raises:
        OptionsError: names the file and the remedy.
    """
    from sonotype.doctor.sound_set import open_leniently
    from sonotype.evaluation.outputs import is_direct, require_free, require_page

    if fix is not None and is_direct(fix):
        raise OptionsError(f"--fix {fix}: the table needs a file; name one, such as cleaned.csv")
    inputs = [data]
    if any(out is not None and out.exists() for out in (html, fix)):
        sounds = open_leniently(data, options)
        inputs += [sounds.source, *(item.path for item in sounds.items), *sounds.passed_over]
    if fix is not None:
        require_free(fix, inputs=inputs, force=force, flag="--fix")
    if html is not None:
        folders = [data] if data.is_dir() else []
        require_page(html, inputs=inputs, folders=folders, force=force, flag="--html")
