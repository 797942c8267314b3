"""How to detect events with a model. Nothing here imports numpy."""

from __future__ import annotations

from dataclasses import dataclass

from sonotype.config import option


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """How to detect events with a model; empty values are those of the model."""

    hop: float = option(
        0.0,
        "Score windows every SECONDS; a model tuned for windows has its own default [default: "
        "frames if the model has them, else 1/4 window, at most 1 s]",
        metavar="SECONDS",
        low=0,
        high=60,
        common=True,
    )
    threshold: tuple[str, ...] = option(
        (),
        "Least score of an event, as in 0.7 or in dog=0.7; repeat for more classes",
        metavar="[CLASS=]SCORE",
        common=True,
    )
    classes: tuple[str, ...] = option(
        (), "Detect only this class; repeat for more", flag="class", metavar="CLASS", common=True
    )
    level: str = option(
        "",
        "Level of the labels [default: that of the model's settings, or the finest]",
        metavar="NAME",
    )
    frequencies: bool = option(
        True, "Measure the lowest and the highest frequency of each event; where it stands out"
    )
