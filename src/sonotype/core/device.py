"""Which processor a ``--device`` stands for."""

from __future__ import annotations

import warnings

import torch

from sonotype.core.errors import OptionsError


def device_of(name: str) -> torch.device:
    """The device of that name; ``"auto"`` is the fastest that this machine has.

    Raises:
        OptionsError: it is not there; says which are.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((kind for kind, found in there.items() if found), "cpu"))
    if not there.get(name, name == "cpu"):
        found = ["cpu", *(kind for kind, here in there.items() if here)]
        raise OptionsError(f"device {name} is not there; this machine has {', '.join(found)}")
    return torch.device(name)


def available_device(name: str) -> torch.device:
    """:func:`device_of`; with a warning, the fastest device where that one is not there."""
    try:
        return device_of(name)
    except OptionsError as error:
        found = device_of("auto")
        warnings.warn(f"{error}; {found} is used", stacklevel=3)
        return found
