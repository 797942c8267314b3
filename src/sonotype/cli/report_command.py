"""``sonotype report``: a run as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.cli.flags import Force


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page [default: report.html in RUN, always replaced]"),
    ] = None,
    curve: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder of a finished sonotype learning-curve"),
    ] = None,
    examples: Annotated[int, typer.Option(min=0, help="Mistakes with sound and spectrogram")] = 24,
    doctor: Annotated[
        bool | None,
        typer.Option(
            "--doctor/--no-doctor",
            help="Examine the data again, or leave it out [default: once for each run]",
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Write a run as one HTML page with sounds and pictures.

    It shows what was trained on what, how good the model is, and where it fails.
    The page is one file and loads nothing.

    Example: sonotype report runs/first --curve runs/curve
    """
    from sonotype.evaluation.outputs import is_standard_output, require_page
    from sonotype.explain.methods import DEFAULT
    from sonotype.report.collect import ReportOptions
    from sonotype.report.run_report import files_read, write_run_report

    if out is not None:
        inputs = files_read(run, curve) if out.exists() else []
        require_page(out, inputs=inputs, folders=[run], force=force)
    options = ReportOptions(
        curve=curve,
        examples=examples,
        doctor=doctor is not False,
        again=doctor is True,
        progress=True,
        method=DEFAULT,
    )
    page = write_run_report(run, out, options)
    if not is_standard_output(page):
        typer.echo(f"report: {page}")
