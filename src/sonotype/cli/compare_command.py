"""``sonotype compare``: trained runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.cli.flags import Force, Json
from sonotype.core.errors import OptionsError


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two to six folders of runs or cross-validations; the first is the baseline",
        ),
    ],
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the comparison as one HTML page")
    ] = None,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """Compare trained runs side by side, with 95 % intervals.

    Runs that were scored on the same clips are compared clip by clip; the
    first run is the baseline. Shown are scores, classes and clips that differ, and
    calibration, training time and size of the model.

    Example: sonotype compare runs/first runs/second --html comparison.html
    """
    from sonotype.core.json_text import json_text
    from sonotype.evaluation.outputs import is_standard_output, require_page, write_page
    from sonotype.report.compare import compare_runs
    from sonotype.report.compare_text import comparison_text
    from sonotype.report.compared import comparison_to_json

    if html is not None:
        if as_json and is_standard_output(html):
            raise OptionsError(f"--html {html} and --json both print; name a file for the page")
        require_page(html, folders=runs, force=force, flag="--html")
    found = compare_runs(runs)
    if html is not None:
        from sonotype.report.compare_page import comparison_page

        write_page(html, comparison_page(found))
        if is_standard_output(html):
            return
    if as_json:
        typer.echo(json_text(comparison_to_json(found), indent=1))
        return
    typer.echo(comparison_text(found))
    if html is not None:
        typer.echo(f"\npage: {html}")
