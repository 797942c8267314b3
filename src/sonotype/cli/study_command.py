"""``sonotype study``: many trainings from one file, told in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.core.errors import OptionsError


def study(
    plan: Annotated[Path, typer.Argument(metavar="STUDY", help="A TOML file of rows")],
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="Labelled sounds [default: as the file says]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the study; finished cells are kept")
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Cells at a time, which share the processors")
    ] = 1,
    table: Annotated[
        bool, typer.Option("--table", help="Run nothing, show what is finished")
    ] = False,
) -> None:
    """Compare many trainings, told in one file.

    Each row of the file is trained and tested on every fold and seed; the result is a table.
    A stopped study goes on when the same command is given again; finished cells are never run
    again, and rows may be added to the file.

    Example: sonotype study studies/table_1.toml ESC-50-master --out runs/table_1
    """
    if out is None:
        raise OptionsError("name the study's folder with --out")
    from sonotype.experiments.failed_runs import FailedRunsError
    from sonotype.experiments.grid import run_study
    from sonotype.experiments.grid_plan import read_plan
    from sonotype.experiments.grid_table import OUTPUTS, collect, legend, require_own, write_report

    failed: FailedRunsError | None = None
    chosen = read_plan(plan)
    source = data or (Path(chosen.data) if chosen.data else None)
    if source is None and not table:
        raise OptionsError(f"there are no data; name them behind {plan}, or as data in the file")
    require_own(out, OUTPUTS, [plan, *([source] if source else [])])
    if source is not None and not table:
        try:
            finished = run_study(
                chosen, source, out, jobs=jobs, progress=True, on_message=typer.echo
            )
        except FailedRunsError as error:
            failed = error
        else:
            if not finished:
                typer.echo("interrupted; the same command goes on from here")
                raise typer.Exit(130)
    try:
        result = collect(chosen, out)
    except OptionsError as error:  # there is no table without the baseline
        raise failed or error from None
    command = f"sonotype study {plan} {source or 'DATA'} --out {out}"
    typer.echo(f"\n{write_report(result, out, command)}\n\n{legend(result.lines)}")
    typer.echo(f"\ntables: {out / 'table.md'}\nfigures: {out / 'study.json'}")
    if failed is not None:
        raise failed
