"""Pretrained backbones: published ones, the built-in model's, or the one of any model file."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sonotype.core.errors import OptionsError, WeightsError, is_memory_error
from sonotype.core.io import open_saved
from sonotype.modelfile.builtin import builtin_path as builtin_path
from sonotype.modelfile.hub_address import is_hub_address
from sonotype.modelfile.model_file import load_model
from sonotype.modelfile.weights_cache import weights_path
from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.names import BUILTIN, COMPACT, NO_BACKBONE, Backbone, build_backbone

AUTO, PREFERRED = "auto", "mn04"
"""``auto`` is the preferred backbone if its weights are available, else the built-in one."""

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Pretrained:
    """A backbone with its weights.

    Attributes:
        backbone: the network.
        name: the name that builds a backbone of this shape.
        licences: of the weights and of their training data, by name.
    """

    backbone: Backbone
    name: str
    licences: Mapping[str, str] = field(default_factory=dict)


def load_pretrained(name: str, *, progress: bool = False) -> Pretrained:
    """Load a backbone by its name, or branch 1 of a model file by its path.

    Raises:
        ModelFileError: the model file is refused.
        OptionsError: the model was trained with backbone ``none``, which no name can rebuild.
        WeightsError: unknown weights, or a file that is not available or does not fit the network.
    """
    file = model_file_of(name)
    if file is None:
        backbone = load_backbone(name, progress=progress)
        return Pretrained(backbone, name, {name: backbone.licence})
    system, card = load_model(file)
    shape = card.options.backbone
    if shape == NO_BACKBONE:
        raise OptionsError(
            f"{file} was trained with backbone {NO_BACKBONE}, which has a width of its own; name a "
            "model with another backbone"
        )
    shape = BUILTIN if name == BUILTIN or shape == COMPACT else shape
    return Pretrained(system.branch_1, shape, dict(card.licences))


def model_file_of(name: str) -> Path | None:
    """The model file with the weights of a backbone; ``None`` for other backbones."""
    if name == BUILTIN:
        return builtin_path()
    if is_hub_address(name):
        from sonotype.modelfile.hub_download import hub_model

        return hub_model(name)
    return Path(name) if is_model_file(name) else None


def is_model_file(name: str) -> bool:
    """Whether the name of a backbone is the path of a model file, or its address on the Hub."""
    return name.endswith(SUFFIX) or is_hub_address(name)


def available(name: str, *, progress: bool = False, on_message: Callable[[str], None]) -> str:
    """The name itself; for ``"auto"`` the preferred backbone, or the built-in one with a message.

    Raises:
        WeightsError: neither is available.
    """
    if name != AUTO:
        return name
    try:
        weights_path(PREFERRED, progress=progress)
    except WeightsError as error:
        try:
            builtin_path()
        except WeightsError:
            raise error from None
        on_message(f"backbone {BUILTIN}, since {PREFERRED} is not available: {error}")
        return BUILTIN
    return PREFERRED


def load_backbone(name: str, *, progress: bool = False) -> Backbone:
    """Build a published backbone and load its weights, downloaded if they are not on this machine.

    Args:
        name: a name of the registry, such as ``mn04``.
        progress: draw a bar while downloading.

    Raises:
        WeightsError: unknown weights, or a file that is not available or does not fit the network.
    """
    path = weights_path(name, progress=progress)
    backbone = build_backbone(name)
    if isinstance(backbone, Compact):
        raise WeightsError(f"no weights of {name} are published")
    try:
        backbone.load_state_dict(backbone.rename(read_state_dict(path)))
    except RuntimeError as error:
        if is_memory_error(error):
            raise
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path} does not hold the weights of {name}: {detail}") from None
    return backbone


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a flat dict of tensors that ``torch.save`` wrote, onto the CPU.

    ``torch.load(weights_only=True)`` refuses objects other than tensors and never builds them.

    Raises:
        WeightsError: a missing, damaged or foreign file, or other content; names file and cause.
    """
    try:
        with open_saved(path) as stream:
            content: object = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise almost any error
        if forbidden := re.search(r"GLOBAL (\S+)", str(error)):
            cause = f"it holds objects other than tensors ({forbidden[1]}), which could run code"
        elif isinstance(error, OSError) and error.strerror and error.errno != errno.EINVAL:
            cause = error.strerror
        else:
            cause = f"torch.save did not write it, or it is damaged ({type(error).__name__})"
    else:
        items = content.items() if isinstance(content, dict) else ()
        if items and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in items):
            return dict(items)
        cause = "it is not a flat dict of tensors"
    raise WeightsError(f"{path} cannot be read as weights: {cause}; replace it by a good copy")
