"""``sonotype evaluate``: score a model on labelled sounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sonotype.cli.flags import Folds, Force, Json, ModelOptions, with_options
from sonotype.cli.train_command import print_outputs
from sonotype.data.source_options import SourceOptions


@with_options(Model=ModelOptions, Data=SourceOptions)
def evaluate(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A model.safetensors, model.onnx or run folder"),
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="Labelled sounds that the model was not trained on"),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for scores.json, predictions.csv and plots")
    ] = None,
    force: Force = False,
    folds: Folds = None,
    as_json: Json = False,
    hop: Annotated[
        float | None,
        typer.Option(
            help="Annotated recordings: seconds from one window to the next "
            "[default: a quarter of a window, at most 1]"
        ),
    ] = None,
    collar: Annotated[
        float | None,
        typer.Option(help="Annotated recordings: tolerance of onsets and offsets, seconds"),
    ] = None,
    psds: Annotated[
        bool,
        typer.Option("--psds", help="Annotated recordings: compute PSDS, slow if they are long"),
    ] = False,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="THEIRS=OURS",
            help="A label of the data, and the class of the model that it stands for; "
            "repeat for more",
        ),
    ] = None,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Leave out sounds that the model has seen in training")
    ] = False,
    **options: Any,
) -> None:
    """Score a model on labelled sounds or annotated recordings.

    Example: sonotype evaluate runs/first/model.safetensors new_recordings
    """
    from sonotype.core.json_text import json_text
    from sonotype.evaluation.evaluate import evaluate as run
    from sonotype.evaluation.metrics import scores_to_json
    from sonotype.evaluation.other_names import parse_renames
    from sonotype.evaluation.sound_events import EventScoreOptions
    from sonotype.evaluation.write_report import full_report

    if collar is not None:
        options["event_options"] = EventScoreOptions(onset_collar=collar, offset_collar=collar)
    scores = run(
        model, data, out=out, folds=folds or (), force=force, progress=True, hop=hop, psds=psds,
        rename=parse_renames(rename or ()), unseen=unseen, **options,
    )  # fmt: skip
    typer.echo(json_text(scores_to_json(scores), indent=1) if as_json else full_report(scores))
    if out is not None and not as_json:
        typer.echo("")
        print_outputs(out)
