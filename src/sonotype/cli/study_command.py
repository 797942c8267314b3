"""``sonotype study``: run a grid of experiments and compare them in a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.core.errors import OptionsError


def study(
    plan: Annotated[
        Path, typer.Argument(metavar="STUDY", help="TOML file that defines the experiments")
    ],
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="Labelled sounds [default: data in STUDY]"),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the study")] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, metavar="N", help="Number of parallel runs")
    ] = 1,
    table: Annotated[
        bool, typer.Option("--table", help="Show the table of finished runs; run nothing")
    ] = False,
) -> None:
    """Run experiments defined in TOML and compare the scores.

    Each row of the file is trained and tested on every fold and seed. Run the same command
    again to continue or to add new rows; finished runs are not repeated.

    Example: sonotype study studies/table_1.toml ESC-50-master --out runs/table_1
    """
    if out is None:
        raise OptionsError("--out FOLDER is required")
    from sonotype.experiments.grid import run_study
    from sonotype.experiments.grid_plan import read_plan
    from sonotype.experiments.grid_table import OUTPUTS, collect, legend, require_own, write_report
    from sonotype.experiments.runner import FailedRunsError

    failed: FailedRunsError | None = None
    experiments = read_plan(plan)
    source = data or (Path(experiments.data) if experiments.data else None)
    if source is None and not table:
        raise OptionsError(f"no DATA; pass it after {plan} or set data in that file")
    require_own(out, OUTPUTS, [plan, *([source] if source else [])])
    if source is not None and not table:
        try:
            if not run_study(
                experiments, source, out, jobs=jobs, progress=True, on_message=typer.echo
            ):
                typer.echo("interrupted; run the same command again to continue")
                raise typer.Exit(130)
        except FailedRunsError as error:
            failed = error
    try:
        result = collect(experiments, out)
    except OptionsError as error:  # the baseline is not finished
        raise failed or error from None
    command = f"sonotype study {plan} {source or 'DATA'} --out {out}"
    typer.echo(f"\n{write_report(result, out, command)}\n\n{legend(result.lines)}")
    typer.echo(f"\ntables: {out / 'table.md'}\nfigures: {out / 'study.json'}")
    if failed is not None:
        raise failed
