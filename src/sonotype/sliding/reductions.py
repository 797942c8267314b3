"""Pooling of every window of a long map in constant time for each window.

All poolings of this project reduce a map over positions by an operation that does not care how the
positions are grouped. With R(p) what a position brings, the pooled vector of a window is a function
of ``R(p) + R(p') + ...``, where + is

- addition of (a, a v) for attention, whose pooled vector is ``sum a v / sum a``, and of the map
  itself for the mean;
- the larger of two for the maximum;
- ``log(e^x + e^y)`` of (s, s + log v+, s + log v-) for attention whose softmax is over positions,
  where ``a = e^s`` and v+ and v- are the positive and the negative part of v: the pooled vector is
  ``e^(log sum a v+ - log sum a) - e^(log sum a v- - log sum a)``, and no score is too large or too
  small for it.

Bands of one row in time always belong to a window together, so they are reduced first and a map
becomes a sequence of rows. Crop that sequence into blocks as long as a window. A window that starts
in the middle of a block is the end of that block and the beginning of the next,

    block j                 block j + 1
    . . . . [ . . . . . . | . . . . ] . . . . . .
             suffix(start)   prefix(start + count)

so two running reductions over the blocks, one from the front and one from the back, give any
window by a single +. (van Herk 1992; Gil and Werman 1993, for the maximum.) Differences of prefix
sums over the whole recording would be as fast for the sums, but they lose digits the longer the
recording is, all of them where scores span some powers of e, and there are none for a maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor, nn

from sonotype.models.attention import AttentionPooling, channel_weights
from sonotype.models.pooling import GlobalMaxPooling, MaxPooling, MeanPooling, PooledTogether


@dataclass(frozen=True)
class Scan:
    """An operation that reduces rows, its running form along an axis, and its neutral value."""

    join: Callable[[Tensor, Tensor], Tensor]
    along: Callable[[Tensor, int], Tensor]
    neutral: float


ADD = Scan(torch.add, torch.cumsum, 0.0)
LARGER = Scan(torch.maximum, lambda x, dim: torch.cummax(x, dim).values, -torch.inf)
LOG_ADD = Scan(torch.logaddexp, torch.logcumsumexp, -torch.inf)


@dataclass(frozen=True)
class Reduction:
    """One pooling layer, taken apart.

    Attributes:
        maps: which of a system's pooled maps it is over; several are reduced together.
        rows: of a map ``[channels, time, bands]``, what each row brings,
            ``[parts, time, features]``.
        scan: how rows are put together.
        pooled: of ``[parts, windows, features]`` and the number of positions in a window, the
            pooled vectors ``[windows, features]``.
    """

    maps: tuple[int, ...]
    rows: Callable[[Tensor], Tensor]
    scan: Scan
    pooled: Callable[[Tensor, int], Tensor]


def windows_of(scan: Scan, rows: Tensor, starts: Tensor, count: int) -> Tensor:
    """Reduce ``count`` rows from each start on.

    Shape:
        ``[parts, time, features], [windows] -> [parts, windows, features]``; every start is at
        most ``time - count``.
    """
    parts, time, features = rows.shape
    blocks = time // count + 1  # the end of the last window lies in a block, too
    padded = rows.new_full((parts, blocks * count, features), scan.neutral)
    padded[:, :time] = rows
    grouped = padded.view(parts, blocks, count, features)
    suffix = scan.along(grouped.flip(2), 2).flip(2).flatten(1, 2)
    # Before a row, not up to it: nothing at the start of a block.
    nothing = rows.new_full((parts, blocks, 1, features), scan.neutral)
    prefix = torch.cat([nothing, scan.along(grouped[:, :, :-1], 2)], dim=2).flatten(1, 2)
    return scan.join(suffix[:, starts], prefix[:, starts + count])


def pool_windows(
    reduction: Reduction, parts: Sequence[tuple[Tensor, Tensor, int]], positions: int
) -> Tensor:
    """Pooled vectors ``[windows, features]`` of windows over the maps of a reduction.

    Args:
        reduction: the pooling.
        parts: for each of its maps what :attr:`Reduction.rows` gave, the first row of every window,
            and how many rows a window has.
        positions: in a window, of all the maps.
    """
    read = [windows_of(reduction.scan, *part) for part in parts]
    return reduction.pooled(reduce(reduction.scan.join, read), positions)


def reductions_of(layer: nn.Module, maps: tuple[int, ...]) -> list[Reduction]:
    """A pooling layer over some maps as reductions, whose vectors stand side by side in its own.

    Raises:
        TypeError: a layer that is none of the poolings of this project.
    """
    if isinstance(layer, PooledTogether):
        return [one for part in layer.parts for one in reductions_of(part, maps)]
    if isinstance(layer, AttentionPooling):
        if layer.softmax_over == "positions":
            return [_attention_over_positions(layer, maps)]
        return [_attention_over_channels(layer, maps)]
    if isinstance(layer, MeanPooling):
        return [_mean(layer, maps)]
    if isinstance(layer, MaxPooling):
        return [_maximum(maps, layer.value, layer.finish)]
    if isinstance(layer, GlobalMaxPooling):
        return [_maximum(maps)]
    raise TypeError(f"{type(layer).__name__} is no pooling that windows can share")


def wide(x: Tensor) -> Tensor:
    """In double precision, where there is one: Apple's GPUs have none."""
    return x if x.device.type == "mps" else x.double()


def positions_of(x: Tensor) -> Tensor:
    """``[channels, time, bands] -> [time, bands, channels]``."""
    return x.permute(1, 2, 0)


def _attention_over_channels(layer: AttentionPooling, maps: tuple[int, ...]) -> Reduction:
    def rows(x: Tensor) -> Tensor:
        places = positions_of(x)
        weight = channel_weights(layer.score(places))
        return wide(torch.stack([weight.sum(1), (weight * layer.value(places)).sum(1)]))

    def pooled(sums: Tensor, _: int) -> Tensor:
        weight, weighted = sums
        return finished(layer.finish, weighted / weight)

    return Reduction(maps, rows, ADD, pooled)


def _attention_over_positions(layer: AttentionPooling, maps: tuple[int, ...]) -> Reduction:
    def rows(x: Tensor) -> Tensor:
        places = positions_of(x)
        score, value = wide(layer.score(places)), wide(layer.value(places))
        above, below = value.clamp_min(0).log(), (-value).clamp_min(0).log()
        return torch.stack([score, score + above, score + below]).logsumexp(2)

    def pooled(logs: Tensor, _: int) -> Tensor:
        weight, above, below = logs
        return finished(layer.finish, (above - weight).exp() - (below - weight).exp())

    return Reduction(maps, rows, LOG_ADD, pooled)


def _mean(layer: MeanPooling, maps: tuple[int, ...]) -> Reduction:
    def rows(x: Tensor) -> Tensor:
        return wide(x.sum(2).T[None])

    def pooled(sums: Tensor, positions: int) -> Tensor:
        mean = (sums[0] / positions).to(layer.value.weight.dtype)
        pooled: Tensor = layer.finish(layer.value(mean))
        return pooled

    return Reduction(maps, rows, ADD, pooled)


def _maximum(
    maps: tuple[int, ...], value: nn.Module | None = None, finish: nn.Module | None = None
) -> Reduction:
    def rows(x: Tensor) -> Tensor:
        places = positions_of(x)
        values: Tensor = places if value is None else value(places)
        return values.amax(1)[None]

    def pooled(largest: Tensor, _: int) -> Tensor:
        return largest[0] if finish is None else finished(finish, largest[0])

    return Reduction(maps, rows, LARGER, pooled)


def finished(finish: nn.Module, pooled: Tensor) -> Tensor:
    """What comes behind a pooling, in the network's own precision."""
    out: Tensor = finish(pooled.to(next(finish.parameters()).dtype))
    return out
