"""Copies of a network that share its weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn


def shared_copy(module: nn.Module, replaced: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """The same network with some layers replaced; it has the parameters of the original."""
    if module in replaced:
        return replaced[module]
    copied = copy.copy(module)
    copied.__dict__["_modules"] = {
        name: None if child is None else shared_copy(child, replaced)
        for name, child in module._modules.items()
    }
    return copied
