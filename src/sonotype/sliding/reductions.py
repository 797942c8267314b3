"""Pooling of every window of a long map in constant time for each window.

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
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

from sonotype.models.reduction import Operation, Pooling


def windows_of(operation: Operation, rows: Tensor, starts: Tensor, count: int) -> Tensor:
    """Reduce ``count`` rows from each start on.

    Shape:
        ``[parts, time, features], [windows] -> [parts, windows, features]``; every start is at
        most ``time - count``.
    """
    parts, time, features = rows.shape
    blocks = time // count + 1  # the end of the last window is in a block, too
    padded = rows.new_full((parts, blocks * count, features), operation.neutral)
    padded[:, :time] = rows
    grouped = padded.view(parts, blocks, count, features)
    suffix = operation.scan(grouped.flip(2), 2).flip(2).flatten(1, 2)
    # Before a row, not up to it: the neutral number at the start of a block.
    neutral = rows.new_full((parts, blocks, 1, features), operation.neutral)
    prefix = torch.cat([neutral, operation.scan(grouped[:, :, :-1], 2)], dim=2).flatten(1, 2)
    return operation.combine(suffix[:, starts], prefix[:, starts + count])


def pool_windows(
    pooling: Pooling, maps: Sequence[tuple[Tensor, Tensor, int]], positions: int
) -> Tensor:
    """Pooled vectors ``[windows, features]`` of windows over one or several maps.

    Args:
        pooling: the pooling.
        maps: for each map the result of :meth:`Pooling.rows`, the first row of every window, and
            the number of rows in a window.
        positions: number of positions in a window, of all maps.
    """
    totals = [windows_of(pooling.operation, *one) for one in maps]
    return pooling.vector(reduce(pooling.operation.combine, totals), positions)
