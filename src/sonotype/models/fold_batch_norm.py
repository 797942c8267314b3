"""Batch norm folded into the layer before it, which saves a pass over every map.

In evaluation batch norm is one scale and one offset for each channel,

    y = (W x + b - mean) * g + beta,  with g = gamma / sqrt(var + eps),

so a convolution or a linear layer of weights ``g W`` and offset ``(b - mean) g + beta`` gives the
same answer, but for the rounding of floats.
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
    """A copy for evaluation, in which every batch norm that can be folded is.

    Those can be that follow a convolution or a linear layer in an ``nn.Sequential``; an identity
    takes their place. Others stay. The module itself is not changed, and the copy learns nothing.
    """
    # A copy made while inferring would otherwise be of no use outside of it.
    with torch.inference_mode(False), torch.no_grad():
        fused = copy.deepcopy(module).eval()
        for layers in [one for one in fused.modules() if isinstance(one, nn.Sequential)]:
            for (place, first), (after, second) in pairwise(list(layers.named_children())):
                folded = _folded(first, second)
                if folded is not None:
                    setattr(layers, place, folded)
                    setattr(layers, after, nn.Identity())
        return fused.eval().requires_grad_(False)


def _folded(first: nn.Module, second: nn.Module) -> nn.Module | None:
    """One layer in the place of two; ``None`` where these two cannot be one."""
    if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
        return fuse_conv_bn_eval(first, second) if second.track_running_stats else None
    if isinstance(first, nn.Linear) and isinstance(second, nn.BatchNorm1d):
        return fuse_linear_bn_eval(first, second) if second.track_running_stats else None
    return None


class FusedBlocks:
    """Fused copies of some blocks, made when first asked for and anew when the blocks change.

    No module, so that neither a state dict nor ``modules()`` of whoever has it knows of the copies.
    A change is noticed by which blocks they are, where their tensors lie, and how often these were
    written to.
    """

    def __init__(self) -> None:
        self._made: tuple[list[Any], list[nn.Module | Tensor], list[nn.Module]] | None = None

    def of(self, blocks: Sequence[nn.Module]) -> Sequence[nn.Module]:
        """The copies; the blocks themselves where there is nothing to fold or they are traced."""
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
            # All are held on to, so that no other ever lies where one of them did.
            held: list[nn.Module | Tensor] = [*blocks, *(x.detach() for x in tensors)]
            made = self._made = (state, held, [fuse_batch_norm(block) for block in blocks])
        return made[2]

    def __deepcopy__(self, _: dict[int, Any]) -> FusedBlocks:
        """Another one, empty: copied blocks have their own."""
        return FusedBlocks()

    def __reduce__(self) -> tuple[type[FusedBlocks], tuple[()]]:
        return FusedBlocks, ()


def _has_batch_norm(block: nn.Module) -> bool:
    return any(isinstance(one, nn.BatchNorm2d) for one in block.modules())
