"""The networks for branch 1, by name."""

from __future__ import annotations

from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.backbones.vggish import VGGish, initialise

Backbone = VGGish | MobileNet | Compact

MOBILENET_WIDTHS = {
    "mn01": 0.1,
    "mn02": 0.2,
    "mn04": 0.4,
    "mn05": 0.5,
    "mn10": 1.0,
    "mn20": 2.0,
    "mn30": 3.0,
    "mn40": 4.0,
}
COMPACT, BUILTIN = "compact", "builtin"
"""The small network; with random weights, and with those that come with this package."""

BACKBONES = ("vggish", *MOBILENET_WIDTHS, COMPACT, BUILTIN)
NO_BACKBONE = "none"
"""Branch 1 has VGGish's shape and is trained from random weights, as wide as branch 2."""


def build_backbone(name: str, *, width: float = 1.0) -> Backbone:
    """A backbone with random weights; ``width`` applies to ``"none"`` only.

    Raises:
        ValueError: an unknown name; lists those that exist.

    """
    if name == "vggish":
        return VGGish()
    if name in MOBILENET_WIDTHS:
        return MobileNet(width=MOBILENET_WIDTHS[name])
    if name in (COMPACT, BUILTIN):
        return Compact()
    if name == NO_BACKBONE:
        backbone = VGGish(width=width)
        initialise(backbone)
        return backbone
    names = ", ".join((*BACKBONES, NO_BACKBONE))
    raise ValueError(f"there is no backbone {name!r}; there are {names}")
