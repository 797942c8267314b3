"""Rare options of a search. Nothing here imports numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sonotype.config import option

Combine = Literal["mean", "best"]


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How to search."""

    model: str = option(
        "", "Model file of the archive [default: the one that it names]", metavar="MODEL"
    )
    combine: Combine = option(
        "mean",
        "Compare with the mean of the --like sounds, or with each and take the best",
    )
    min_similarity: float = option(
        -1.0, "Lowest similarity [default: none]", low=-1, high=1, metavar="NUMBER"
    )
    keep_copies: bool = option(False, "Keep windows that are copies of a --like sound")
    exact: bool = option(False, "Compare all windows; slower, and misses none")
