"""``sonotype suspects``: the clips of a run whose labels are least likely."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sonotype.cli.flags import Force, Json


def suspects(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder of a run with held-out predictions")
    ],
    count: Annotated[int, typer.Option(min=1, help="Clips to show or review")] = 50,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="CSV of all clips; with --review the corrected table "
            "[default: corrected_labels.csv in RUN]",
        ),
    ] = None,
    review: Annotated[
        bool, typer.Option("--review", help="Listen to the clips and correct their labels")
    ] = False,
    as_json: Json = False,
    force: Force = False,
) -> None:
    """List the clips of a run whose labels are probably wrong.

    Every labelled clip has a rank; "foreign" is a sound that fits no class.

    Example: sonotype suspects runs/first --review
    """  # fmt: skip
    from sonotype.core.json_text import json_text
    from sonotype.core.text import counted
    from sonotype.evaluation.outputs import require_free
    from sonotype.evaluation.predictions import load_predictions
    from sonotype.evaluation.suspects import (
        rank_suspects,
        suspect_values,
        suspects_table,
        write_suspects,
    )
    from sonotype.experiments.run_folder import held_out_file

    if review and as_json:
        raise typer.BadParameter("--review asks questions; leave out --json")
    path = held_out_file(run)
    predictions = load_predictions(path)
    ranked = rank_suspects(predictions)
    if review:
        from sonotype.cli.review import review_labels

        review_labels(run, predictions.heads, ranked[:count], out, force=force)
        return
    if out is not None:
        require_free(out, inputs=[path], force=force)
        write_suspects(out, ranked)
    if as_json:
        typer.echo(json_text([suspect_values(one) for one in ranked[:count]], indent=1))
        return
    typer.echo(suspects_table(ranked[:count]))
    left = len(predictions) - len(ranked)
    typer.echo(f"\n{min(count, len(ranked))} of {counted(len(ranked), 'clip')}")
    if left:
        typer.echo(f"not ranked: {counted(left, 'clip')} without a label that could be scored")
    if out is not None:
        typer.echo(f"all clips: {out}")
    else:
        typer.echo(f"correct their labels: sonotype suspects {run} --review")
