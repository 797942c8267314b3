"""What a training needs: sounds of each class, and the weights of its backbone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sonotype.core.errors import WeightsError
from sonotype.core.text import counted, listed
from sonotype.data.records import is_negative

GOOD = 5
"""Sounds of a class up to which advice asks for more: scores then have a fold for each."""
WEIGHTS_SECONDS = 10.0
"""Time for which it is remembered where weights are: to find out reads the whole file."""

BACKBONES = {
    "builtin": "Built-in (fastest)",
    "mn04": "MobileNet mn04 (most accurate for few sounds)",
}
"""The backbones that the page offers, with their titles."""

_known: dict[str, tuple[float, bool]] = {}


@dataclass(frozen=True)
class Needs:
    """Whether a training can start.

    Attributes:
        missing: by class how many sounds must be added before a training; empty if it can start.
        ready: whether it can start.
        advice: what to do next, a sentence; empty if there are enough sounds.
    """

    missing: Mapping[str, int]
    ready: bool
    advice: str


def needs_of(sounds: Mapping[str, int]) -> Needs:
    """What is missing before a training.

    Args:
        sounds: by class the number of its sounds; sounds of no class have a reserved name.
    """
    classes = {name: count for name, count in sounds.items() if not is_negative(name)}
    negatives = any(count for name, count in sounds.items() if is_negative(name))
    missing = {name: 2 if name in classes else 1 for name, count in sounds.items() if not count}
    texts = [f"Add {counted(count, 'sound')} to {name}" for name, count in missing.items()]
    if missing:
        return Needs(missing, False, f"{_joined(texts)}, or delete the class.")
    if not classes:
        return Needs({}, False, "Add a class with sounds of what the detector should find.")
    if len(classes) == 1 and not negatives:
        [name] = classes
        advice = f"Add a second class; or a class background with sounds that are not {name}."
        return Needs({}, False, advice)
    single = [name for name, count in classes.items() if count == 1]
    if single:
        what = "a class" if len(single) == 1 else "classes"
        advice = (
            f"Add another sound to {listed(single, 5)}: {what} with one sound cannot be scored."
        )
        return Needs({}, True, advice)
    few = {name: GOOD - count for name, count in classes.items() if count < GOOD}
    more = [f"{counted(count, 'more sound')} to {name}" for name, count in few.items()]
    advice = f"Ready. Better: add {_joined(more)}." if more else ""
    return Needs({}, True, advice)


def _joined(texts: list[str], most: int = 3) -> str:
    """The texts in one sentence, the first ones if there are many."""
    shown = "; ".join(texts[:most])
    return shown if len(texts) <= most else f"{shown}; and {len(texts) - most} more"


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
