"""What a training needs: sounds of each class, and the weights of its backbone."""

from __future__ import annotations

import time
from typing import Any

from sonotype.app.advice import LEAST_CLIPS
from sonotype.app.project import Project
from sonotype.core.errors import WeightsError
from sonotype.data.records import is_negative

WEIGHTS_SECONDS = 10.0
"""Time for which it is remembered where weights are: to find out reads the whole file."""

BACKBONES = {
    "builtin": "Built-in (fastest)",
    "mn04": "MobileNet mn04 (most accurate for few sounds)",
}
"""The backbones that the page offers, with their titles."""

_known: dict[str, tuple[float, bool]] = {}


def missing_sounds(project: Project) -> dict[str, int]:
    """By class how many sounds must be added before a training can start."""
    found = {}
    for label in project.classes():
        least = 1 if is_negative(label) else LEAST_CLIPS
        lacking = least - len(project.clips(label))
        if lacking > 0:
            found[label] = lacking
    return found


def backbone_values() -> list[dict[str, Any]]:
    """The backbones that can be chosen, as JSON values; nothing is downloaded."""
    return [
        {"name": name, "title": title, "available": is_available(name), "note": why_not(name)}
        for name, title in BACKBONES.items()
    ]


def is_available(backbone: str) -> bool:
    """Whether the weights of a backbone are on this machine, complete."""
    if backbone == "builtin":
        return True
    now = time.monotonic()
    if backbone not in _known or now - _known[backbone][0] > WEIGHTS_SECONDS:
        from sonotype.modelfile.weights_cache import status

        try:
            here = status(backbone) in ("here", "cached")
        except WeightsError:
            here = False
        _known[backbone] = now, here
    return _known[backbone][1]


def why_not(backbone: str) -> str:
    """What to do where the weights of a backbone are not on this machine; else empty."""
    if is_available(backbone):
        return ""
    return (
        f"The weights of {backbone} are not on this computer: run sonotype weights get {backbone}."
    )
