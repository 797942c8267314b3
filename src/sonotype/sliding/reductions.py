"""Reduction of every window of rows in constant time for each window.

A pooling is a reduction over the rows of a map by an associative operation
(:mod:`sonotype.models.reduction`): addition of (a, a v) for attention and of the map itself for the
mean, the larger of two for the maximum, ``log(e^x + e^y)`` for attention with softmax over
positions.

Divide the rows into blocks as long as a window. A window that starts in the middle of a block is
the end of that block and the beginning of the next,

    block j                 block j + 1
    . . . . [ . . . . . . | . . . . ] . . . . . .
             suffix(start)   prefix(start + count)

so two running reductions over the blocks, one from the front and one from the back, give any
window by a single operation. (van Herk 1992; Gil and Werman 1993, for the maximum.) Differences of
prefix sums over the whole recording would take the same time for sums, but they lose digits with
the length of the recording, all of them where scores span several powers of e, and a maximum has
no differences.

Rows are few beside the values of a network, so numpy computes them for all engines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sonotype.models.operation import Operation

Rows = npt.NDArray[np.floating[Any]]
"""Contributions ``[parts, time, features]`` of the rows of a map to a pooling."""


def windows_of(operation: Operation, rows: Rows, starts: npt.NDArray[np.int64], count: int) -> Rows:
    """Reduce ``count`` rows from each start on.

    Shape:
        ``[parts, time, features], [windows] -> [parts, windows, features]``; every start is at
        most ``time - count``.
    """
    parts, time, features = rows.shape
    blocks = time // count + 1  # the end of the last window is in a block, too
    suffix = np.full((parts, blocks * count, features), operation.neutral, rows.dtype)
    suffix[:, :time] = rows
    prefix = np.empty_like(suffix)  # before a row, not up to it
    behind, before = (x.reshape(parts, blocks, count, features) for x in (suffix, prefix))
    with np.errstate(invalid="ignore"):  # values that are not finite are refused later
        before[:, :, 0] = operation.neutral
        for row in range(1, count):
            operation.combine(before[:, :, row - 1], behind[:, :, row - 1], out=before[:, :, row])
        for row in range(count - 2, -1, -1):
            operation.combine(behind[:, :, row], behind[:, :, row + 1], out=behind[:, :, row])
        return np.asarray(operation.combine(suffix[:, starts], prefix[:, starts + count]))
