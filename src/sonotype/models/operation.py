"""Associative operations on rows of maps, for poolings with and without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Operation:
    """An associative operation on numbers.

    Attributes:
        name: in files.
        combine: two arrays, element by element.
        neutral: the number that changes nothing.
    """

    name: str
    combine: np.ufunc
    neutral: float


SUM = Operation("sum", np.add, 0.0)
MAXIMUM = Operation("maximum", np.maximum, -np.inf)
LOG_SUM = Operation("log_sum", np.logaddexp, -np.inf)
OPERATIONS = {operation.name: operation for operation in (SUM, MAXIMUM, LOG_SUM)}
