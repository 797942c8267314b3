"""How a training ended."""

from __future__ import annotations

from dataclasses import dataclass

from sonotype.core.types import Heads
from sonotype.modelfile.detection import Detection

DONE = "done.json"
"""Marks a finished training in its folder."""


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes:
        best_epoch: counted from 1; its weights are in the system. ``None`` for linear heads.
        best_score: macro F1 on validation of that epoch; ``None`` if the last epoch was kept.
        interrupted: by ctrl-C; the system has the weights of the best epoch so far.
        heads: with their temperatures and thresholds; empty where these were not fitted.
        unknown_threshold: unknown score above which a sound is unknown; ``None`` if not fitted.
        detection: how to detect events; ``None`` if not fitted.
    """

    best_epoch: int | None
    best_score: float | None
    interrupted: bool
    heads: Heads = ()
    unknown_threshold: float | None = None
    detection: Detection | None = None
