"""``sonotype compare``: trained runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.cli.flags import Force, Json


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
    from sonotype.core.io import write_text
    from sonotype.core.json_text import json_text
    from sonotype.evaluation.outputs import require_free
    from sonotype.report.compare import compare_runs
    from sonotype.report.compare_text import comparison_text
    from sonotype.report.compared import comparison_to_json

    if html is not None:
        require_free(html, inputs=runs, force=force)
    found = compare_runs(runs)
    if html is not None:
        from sonotype.report.compare_page import comparison_page

        write_text(html, comparison_page(found))
    if as_json:
        typer.echo(json_text(comparison_to_json(found), indent=1))
        return
    typer.echo(comparison_text(found))
    if html is not None:
        typer.echo(f"\npage: {html}")
