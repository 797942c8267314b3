"""The clip length that fits the sounds of a set."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

COVERED = 0.9
"""Share of the recordings that fit into a clip of automatic length."""
SHORTEST_CLIP, LONGEST_CLIP = 1.0, 5.0
"""Limits of the automatic length in seconds."""


def automatic_seconds(lengths: Iterable[float]) -> float:
    """The clip length for sounds of some lengths, all in seconds; 0 for a length not known.

    >>> automatic_seconds([1.2, 1.3, 2.0])
    2.0
    >>> automatic_seconds([7200.0, 3.0])
    5.0
    """
    known = [seconds for seconds in lengths if seconds] or [LONGEST_CLIP]
    typical = float(np.quantile(known, COVERED, method="higher"))
    # Encoders pad a sound by some milliseconds.
    return min(max(math.ceil((typical - 0.05) * 10) / 10, SHORTEST_CLIP), LONGEST_CLIP)
