"""``sonotype info``: show the contents of a model file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sonotype.cli.flags import Json

if TYPE_CHECKING:
    from sonotype.modelfile.card import ModelCard

WIDTH = 80


def info(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A model.safetensors, model.onnx or run folder [default: the built-in model]",
        ),
    ] = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="Also show the scores of every class")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show labels, data, licences, scores and layers of a model.

    Example: sonotype info runs/first/model.safetensors
    """
    from dataclasses import asdict

    from sonotype.core.json_text import json_text
    from sonotype.evaluation.metrics import scores_from_json
    from sonotype.evaluation.report import render

    card, structure = _open(model)
    if as_json:
        typer.echo(json_text(asdict(card), indent=1, ensure_ascii=False))
        return
    facts = _facts(card)
    columns = max(14, *(len(name) for name, _ in facts))
    for name, text in facts:
        typer.echo(_entry(name, text, columns))
    if card.scores:
        shown = max(len(head.classes) for head in card.heads) if classes else 0
        scores = scores_from_json(card.scores)
        typer.echo(f"\n{render(scores, classes=shown, confusions=0)}")
    typer.echo(f"\n{structure}")


def _open(model: Path | None) -> tuple[ModelCard, str]:
    """The card and a description of the network."""
    from sonotype.inference.load import ONNX_SUFFIX
    from sonotype.inference.locate import find_model

    model = None if model is None else find_model(model)
    if model is not None and model.suffix.lower() == ONNX_SUFFIX:
        from sonotype.inference.onnx_engine import load_onnx

        return load_onnx(model)[1], f"an ONNX graph of {model.stat().st_size / 1e6:.1f} MB"
    from sonotype.modelfile.model_file import load_model
    from sonotype.modelfile.pretrained import builtin_path
    from sonotype.models.summary import summarise

    system, card = load_model(builtin_path() if model is None else model)
    return card, str(summarise(system, card.options.seconds))


def _facts(card: ModelCard) -> list[tuple[str, str]]:
    from sonotype.core.types import plural

    options, training = card.options, card.training
    facts = [
        ("system", f"{options.system}, backbone {options.backbone}, width {options.width:g}"),
        ("input", f"{options.seconds:g} s at {card.sample_rate} Hz"),
        *(
            (f"{len(head.classes)} {plural(head.name)}", ", ".join(head.classes))
            for head in card.heads
        ),
    ]
    for head in card.heads:
        if head.problem == "multi":
            pairs = zip(head.classes, head.limits, strict=True)
            limits = ", ".join(f"{name} {limit:.2f}" for name, limit in pairs)
            facts.append((f"{head.name} from", f"{limits} (a sound has any number of labels)"))
    if training:
        clips = training.get("clips", {})
        kinds = {"train": "training", "val": "validation", "test": "test"}
        counts = ", ".join(f"{clips.get(name, '?')} {kind}" for name, kind in kinds.items())
        kind = "synthetic sounds, " if training.get("synthetic") else ""
        facts.append(("data", f"{training.get('data', '?')}: {kind}{counts} clips"))
        interrupted = "; interrupted, not tested" if training.get("interrupted") else ""
        epoch = training.get("best_epoch", "?")
        if epoch is not None:  # linear heads have no epochs
            facts.append(("best epoch", f"{epoch}{interrupted}"))
        facts += _trust(card)
        if (source := training.get("backbone", options.backbone)) != options.backbone:
            facts.append(("branch 1 from", source))
        if teachers := training.get("teaching", {}).get("teachers"):
            facts.append(("teachers", ", ".join(teachers)))
    facts += [("licence", f"{name}: {licence}") for name, licence in card.licences.items()]
    return facts


def _entry(name: str, text: str, columns: int) -> str:
    from textwrap import fill

    from sonotype.core.text import printable

    return fill(
        printable(text),
        WIDTH,
        initial_indent=f"{name:<{columns}} ",
        subsequent_indent=" " * (columns + 1),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _trust(card: ModelCard) -> list[tuple[str, str]]:
    """Whether probabilities are calibrated, and sounds of no class rejected."""
    temperatures = [f"{head.name} {head.temperature:.2f}" for head in card.heads]
    calibrated = any(head.temperature != 1 for head in card.heads)
    facts = [("temperature", ", ".join(temperatures))] if calibrated else []
    if card.unknown_threshold is not None:
        facts.append(("unknown", f"where the unknown score is above {card.unknown_threshold:g}"))
    return facts
