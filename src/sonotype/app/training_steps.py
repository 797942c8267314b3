"""The steps of a training as a person sees them, and which share of the whole each one is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where a training is.

    Attributes:
        step: its name, for a person; empty at the end.
        fraction: share of the whole training that is done; ``None`` if not known.
    """

    step: str
    fraction: float | None


PREPARING = Place("Loading the program", 0.0)
STARTING = Place("Looking at the sounds", 0.02)

STEPS = {
    "decoding": ("Reading the sounds", 0.05, 0.25),
    "feature maps": ("Listening to the sounds", 0.25, 0.6),
    "noises": ("Listening to noises", 0.6, 0.65),
    "fitting": ("Fitting", 0.65, 0.7),
    "frames": ("Learning from frames", 0.7, 0.72),
    "scores of frames": ("Learning from frames", 0.72, 0.75),
    "saving": ("Saving the model", 0.75, 0.85),
    "sounds": ("Writing the report", 0.85, 1.0),
}
"""By description of a bar its name for a person, and the shares at its start and end.

They are measured on some dozens of sounds; steps whose results are cached take no time."""


def place_of(description: str, done: float, total: float | None, before: Place) -> Place:
    """The place of a training; its share never falls.

    Args:
        description: of the step, as in the bar.
        done: how much of the step is done.
        total: of the step; ``None`` if not known.
        before: the place so far.
    """
    if description not in STEPS:
        return Place(description.capitalize(), before.fraction)
    step, start, end = STEPS[description]
    share = min(done / total, 1.0) if total else 0.0
    return Place(step, max(before.fraction or 0.0, round(start + share * (end - start), 3)))
