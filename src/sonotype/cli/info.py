"""``sonotype info``: what a model file says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def info(
    model: Annotated[Path, typer.Argument(help="A model.safetensors")],
    as_json: Annotated[bool, typer.Option("--json", help="The whole header as JSON")] = False,
) -> None:
    """Show a model's labels, training, licences, scores and size.

    Example: sonotype info runs/first/model.safetensors
    """
    import json
    from dataclasses import asdict

    from sonotype.models.model_file import load_model
    from sonotype.models.summary import summarise

    system, card = load_model(model)
    if as_json:
        typer.echo(json.dumps(asdict(card), indent=1, ensure_ascii=False))
        return
    typer.echo(f"{card.options.system}, backbone {card.options.backbone}, {card.sample_rate} Hz")
    typer.echo(f"categories: {', '.join(card.labels.categories)}")
    if card.labels.events:
        typer.echo(f"events: {', '.join(card.labels.events)}")
    for name, licence in card.licences.items():
        typer.echo(f"licence of {name}: {licence}")
    training = card.training
    if training:
        clips = ", ".join(f"{count} {part}" for part, count in training["clips"].items())
        typer.echo(f"trained on {training['data']} ({clips}), best epoch {training['best_epoch']}")
    if card.scores:
        from sonotype.evaluation.report import render
        from sonotype.evaluation.scores import scores_from_json

        typer.echo(f"\n{render(scores_from_json(card.scores), classes=0, confusions=0)}")
    typer.echo(f"\n{summarise(system, card.options.seconds)}")
