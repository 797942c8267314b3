"""One batch, computed by several processes: each has some rows, and the loss is of all rows.

Process ``r`` of ``w`` computes the outputs of the rows ``r, r + w, r + 2 w, ...``. Then every
process gathers the outputs of all rows and computes the same loss, so a loss may relate the clips
of a batch in any way (class weights, labels that are not known, normalised targets).

Gradients. Let ``L`` be the loss and ``y_r`` the outputs of process ``r``. Each process computes
``dL/dy_r`` for all ``r``. The backward pass of the gathering adds these up over the processes,
which are ``w`` equal terms, and continues with its own rows; the gradient of the weights is
``w (dL/dy_r) (dy_r/dW)`` in process ``r``. ``DistributedDataParallel`` takes the mean over the
processes, ``sum_r (dL/dy_r) (dy_r/dW) = dL/dW``: the gradient of the whole batch.

Batch norm takes its mean and variance from all rows, and random draws are made for all rows from
generators in the same state. So a step equals that of a single process up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

Rows = TypeVar("Rows", Tensor, Sequence[Any])


@dataclass(frozen=True)
class Part:
    """The rows of every batch that a process computes: ``rank``, ``rank + world``, and so on."""

    rank: int = 0
    world: int = 1

    def count(self, size: int) -> int:
        """Number of its rows in a batch of this size."""
        return len(range(self.rank, size, self.world))

    def of(self, rows: Rows) -> Rows:
        """Its rows; the first row where it has none, as networks need a row at least."""
        own = rows[self.rank :: self.world]
        return own if len(own) else rows[:1]


@dataclass
class WholeBatch:
    """The batch of the current step.

    Attributes:
        part: the rows of this process.
        group: of the processes; ``None`` for the default group.
        size: number of rows of the batch in all processes; the learner sets it in each step.
    """

    part: Part = Part()
    group: Any = None
    size: int = 0

    def size_of(self, x: Tensor) -> int:
        """Number of rows of the batch of which ``x`` has the rows of this process."""
        return len(x) if self.part.world == 1 else self.size

    def gather(self, x: Tensor) -> Tensor:
        """The rows of all processes, in the order of the batch, from the rows of this one.

        Shape:
            ``[rows of the part, ...] -> [rows of the batch, ...]``
        """
        if self.part.world == 1:
            return x
        world, count = self.part.world, self.part.count(self.size)
        rows = -(-self.size // world)
        padding = x.new_zeros((rows - count, *x.shape[1:]))
        gathered = all_gather(torch.cat([x[:count], padding]), self.group)
        return gathered.transpose(0, 1).flatten(0, 1)[: self.size]


class _AllGather(torch.autograd.Function):
    """Tensors of all processes; the gradient is the sum of those in all processes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Any) -> Tensor:
        ctx.group = group
        found = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
        dist.all_gather(found, x, group=group)
        return torch.stack(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous()
        if total.data_ptr() == gradients[0].data_ptr():
            total = total.clone()  # other uses of the gradient must not see the sum
        dist.all_reduce(total, group=ctx.group)
        return total[dist.get_rank(ctx.group)], None


def all_gather(x: Tensor, group: Any) -> Tensor:
    """Tensors of one shape from all processes, in single precision, with gradients.

    Shape:
        ``[...] -> [processes, ...]``
    """
    found: Tensor = _AllGather.apply(  # type: ignore[no-untyped-call]
        x.float().contiguous(), group
    )
    return found


@contextmanager
def over_whole_batch(network: nn.Module, batch: WholeBatch) -> Iterator[None]:
    """Batch norm and dropout of a network extend over the rows of all processes in this block."""
    layers: list[nn.Module] = []
    try:
        for layer in network.modules() if batch.part.world > 1 else ():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.forward = partial(batch_norm, layer, batch)  # type: ignore[method-assign]
            elif isinstance(layer, nn.Dropout):
                layer.forward = partial(dropout, layer, batch)  # type: ignore[method-assign]
            else:
                continue
            layers.append(layer)
        yield
    finally:
        for layer in layers:
            del layer.forward


def batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, batch: WholeBatch, x: Tensor) -> Tensor:
    """Batch norm whose mean and variance are those of the rows of all processes.

    With ``n_r`` values of mean ``m_r`` and sum of squared deviations ``s_r`` in process ``r``, the
    mean is ``m = sum n_r m_r / n`` and the variance ``sum (s_r + n_r (m_r - m)^2) / n``.

    Shape:
        ``[batch, channels, ...] ->`` the same
    """
    if not layer.training:
        return type(layer).forward(layer, x)
    axes = [0, *range(2, x.ndim)]
    values, world = x.float(), batch.part.world
    places = values[0, 0].numel()
    counts = values.new_tensor([Part(r, world).count(batch.size) * places for r in range(world)])
    counts = counts[:, None]
    total = counts.sum()
    own_mean = values.mean(axes, keepdim=True)
    deviations = (values - own_mean).square().sum(axes)
    found = all_gather(torch.stack([own_mean.flatten(), deviations]), batch.group)
    means, squares = found[:, 0], found[:, 1] * (counts > 0)
    mean = (counts * means).sum(0) / total
    variance = (squares + counts * (means - mean).square()).sum(0) / total
    _update_statistics(layer, mean.detach(), variance.detach() * total / (total - 1))
    scale = layer.weight * torch.rsqrt(variance + layer.eps)
    shape = [1, -1, *([1] * (x.ndim - 2))]
    normalised = (values - mean.view(shape)) * scale.view(shape) + layer.bias.view(shape)
    return normalised.to(x.dtype)


def _update_statistics(
    layer: nn.BatchNorm1d | nn.BatchNorm2d, mean: Tensor, variance: Tensor
) -> None:
    """Update the running mean and the running, unbiased variance."""
    momentum = float(layer.momentum or 0.0)
    if layer.running_mean is None or layer.running_var is None:
        return
    with torch.no_grad():
        layer.running_mean.lerp_(mean, momentum)
        layer.running_var.lerp_(variance, momentum)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)


def dropout(layer: nn.Dropout, batch: WholeBatch, x: Tensor) -> Tensor:
    """Dropout that draws for the rows of all processes, and applies the draws of its own rows.

    Shape:
        ``[batch, ...] ->`` the same
    """
    if not layer.training:
        return type(layer).forward(layer, x)
    factors = F.dropout(x.new_ones((batch.size, *x.shape[1:])), layer.p)
    return x * batch.part.of(factors)
