"""Limits of a model and licences of its parts, as far as its file records them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sonotype.core.text import counted, listed
from sonotype.core.types import plural
from sonotype.evaluation.metrics import HeadScores, Scores
from sonotype.modelfile.card import ModelCard
from sonotype.models.backbones.names import COMPACT, NO_BACKBONE
from sonotype.report.markdown import md
from sonotype.training.provenance import too_high

FEW = 10
"""A class with fewer clips is listed."""
NON_COMMERCIAL = re.compile(r"\bNC\b|non.?commercial", re.IGNORECASE)


def limits(
    card: ModelCard, scores: Scores | None, trained: Mapping[str, Mapping[str, int]]
) -> Iterator[str]:
    """One sentence or two for each limit.

    Args:
        card: of the model file.
        scores: on held-out clips; ``None`` if there are none.
        trained: by level and class the number of training clips, as far as known.
    """
    training = card.training
    data = md(training.get("data", "")) or "the training data"
    yield (
        f"Intended for sounds like those of {data}. Other places, recorders and distances were not "
        "measured: score the model on your own labelled sounds (`sonotype evaluate`)."
    )
    if training.get("synthetic"):
        yield (
            "The training data are synthetic sounds. How well the model works on recordings is "
            "unknown."
        )
    if training.get("grouped") is False:
        yield (
            "Nothing ensures that all clips of a recording were either in training or in scoring "
            "(see the notes on the scores). Where they were in both, the scores are too high."
        )
    yield from (f"Scores: {md(note)}." for note in too_high(scores.notes if scores else ()))
    if scores is None or not scores.heads:
        yield "The model has no scores on held-out clips: how good it is is unknown."
    else:
        for level, head in scores.heads.items():
            yield from _weak_classes(level, head)
    heads = {} if scores is None else scores.heads
    for level, counts in trained.items():
        scored = heads[level].per_class if level in heads else ()
        if counts == {one.label: one.support for one in scored}:
            continue  # cross-fitting scores every training clip
        if few := [f"{md(label)} ({count})" for label, count in counts.items() if count < FEW]:
            yield (
                f"{counted(len(few), 'label')} of the level {md(level)} with fewer than {FEW} "
                f"training clips: {listed(few)}."
            )
    if card.unknown_threshold is None and any(head.problem == "single" for head in card.heads):
        yield "Sounds of no class are not rejected: they get a class too."
    parts = licence_rows(card)
    if strict := [md(part) for part, licence in parts if NON_COMMERCIAL.search(licence)]:
        yield f"Not for commercial use, by the licence of: {listed(strict)}."
    if missing := [md(part) for part, licence in parts if licence == "unknown"]:
        yield f"The licence is unknown of: {listed(missing)}."


def _weak_classes(level: str, head: HeadScores) -> Iterator[str]:
    """Classes with few scored clips, none, or a low F1."""
    scored = [one for one in head.per_class if one.support]
    name = md(plural(level))
    if few := [f"{md(one.label)} ({one.support})" for one in scored if one.support < FEW]:
        yield (
            f"{len(few)} of {len(head.per_class)} {name} have fewer than {FEW} scored clips, so "
            f"their scores are uncertain: {listed(few)}."
        )
    if absent := [md(one.label) for one in head.per_class if not one.support]:
        yield f"No scored clip has these {name}, so they have no scores: {listed(absent)}."
    worst = sorted((one for one in scored if one.f1 < 1), key=lambda one: one.f1)[:5]
    if worst:
        texts = [f"{md(one.label)} {one.f1:.3f}" for one in worst]
        yield f"The lowest F1 of the {name}: {listed(texts)}."


def licence_rows(card: ModelCard) -> list[tuple[str, str]]:
    """The parts of a model and their licences; ``unknown`` where they are not recorded."""
    found = dict(card.licences)
    weights = any(not part.startswith("data ") for part in found)
    if not any(part.startswith("data ") for part in found):
        found[f"data {card.training.get('data', '')}".strip()] = "unknown"
    backbone = card.options.backbone
    if not weights and backbone not in (COMPACT, NO_BACKBONE):
        found[f"weights of {backbone}"] = "unknown"
    return list(found.items())
