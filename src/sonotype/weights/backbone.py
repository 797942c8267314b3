"""A backbone with its published weights."""

from __future__ import annotations

from sonotype.errors import WeightsError
from sonotype.models.backbone import Backbone, build_backbone
from sonotype.weights.cache import weights_path
from sonotype.weights.state import read_state_dict


def load_backbone(name: str, *, progress: bool = False) -> Backbone:
    """Build a backbone and fill it from its file, downloaded where it is not at hand.

    Args:
        name: a name of the registry, such as ``mn04``.
        progress: draw a bar while downloading.

    Raises:
        WeightsError: no such weights, the file cannot be had, or does not fit the network.
    """
    path = weights_path(name, progress=progress)
    backbone = build_backbone(name)
    try:
        backbone.load_state_dict(backbone.rename(read_state_dict(path)))
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise WeightsError(f"{path} does not hold the weights of {name}: {detail}") from None
    return backbone
