"""Batch norm folded into the layer before it, which saves a pass over every map.

In evaluation mode, batch norm is one scale and one offset for each channel,

    y = (W x + b - mean) * g + beta,  with g = gamma / sqrt(var + eps),

so a convolution or a linear layer of weights ``g W`` and bias ``(b - mean) g + beta`` gives the
same result up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

M = TypeVar("M", bound=nn.Module)


def fuse_batch_norm(module: M) -> M:
    """A copy for evaluation, with batch norm folded wherever it can be.

    Batch norm that follows a convolution or a linear layer in an ``nn.Sequential`` is folded and
    replaced by an identity. Other batch norm stays. The module is not changed, and the parameters
    of the copy take no gradient.
    """
    # Otherwise a copy made in inference mode could not be used outside of it.
    with torch.inference_mode(False), torch.no_grad():
        fused = copy.deepcopy(module).eval()
        for layers in [layer for layer in fused.modules() if isinstance(layer, nn.Sequential)]:
            for (name, first), (next_name, second) in pairwise(list(layers.named_children())):
                folded = _folded(first, second)
                if folded is not None:
                    setattr(layers, name, folded)
                    setattr(layers, next_name, nn.Identity())
        return fused.eval().requires_grad_(False)


def _folded(first: nn.Module, second: nn.Module) -> nn.Module | None:
    """One layer that replaces two; ``None`` where they cannot be folded."""
    if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
        return fuse_conv_bn_eval(first, second) if second.track_running_stats else None
    if isinstance(first, nn.Linear) and isinstance(second, nn.BatchNorm1d):
        return fuse_linear_bn_eval(first, second) if second.track_running_stats else None
    return None


class FusedBlocks:
    """Folded copies of some blocks, made at the first use and again after the blocks change.

    Not a module, so that neither the state dict nor ``modules()`` of its owner contains the copies.
    A change of the blocks is detected by their identity, and by the address, type, device and
    version of their tensors.
    """

    def __init__(self) -> None:
        self._made: tuple[list[Any], list[nn.Module | Tensor], list[nn.Module]] | None = None

    def of(self, blocks: Sequence[nn.Module]) -> Sequence[nn.Module]:
        """The copies; the blocks themselves if there is nothing to fold, or if they are traced."""
        if torch.compiler.is_compiling() or not any(map(_has_batch_norm, blocks)):
            return blocks
        tensors = [x for block in blocks for x in (*block.parameters(), *block.buffers())]
        state: list[Any] = [id(block) for block in blocks]
        state += [
            (x.data_ptr(), 0 if x.is_inference() else x._version, x.dtype, x.device)
            for x in tensors
        ]
        made = self._made
        if made is None or made[0] != state:
            # References to all of them, so that no other object reuses an id or an address.
            held: list[nn.Module | Tensor] = [*blocks, *(x.detach() for x in tensors)]
            made = self._made = (state, held, [fuse_batch_norm(block) for block in blocks])
        return made[2]

    def __deepcopy__(self, _: dict[int, Any]) -> FusedBlocks:
        """An empty object: copied blocks have copies of their own."""
        return FusedBlocks()

    def __reduce__(self) -> tuple[type[FusedBlocks], tuple[()]]:
        return FusedBlocks, ()


def _has_batch_norm(block: nn.Module) -> bool:
    return any(isinstance(layer, nn.BatchNorm2d) for layer in block.modules())
