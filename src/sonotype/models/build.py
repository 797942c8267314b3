"""From options to a network: the one place that reads a configuration."""

from __future__ import annotations

from sonotype.audio.clip import ClipFormat
from sonotype.config import SystemOptions
from sonotype.errors import OptionsError
from sonotype.models.backbone import BACKBONES, NO_BACKBONE, Backbone
from sonotype.models.systems import System, cbir_1, cbir_2, cbir_3, cbir_4
from sonotype.types import Labels


def build_system(
    options: SystemOptions, labels: Labels, backbone: Backbone | None = None
) -> System:
    """The system that the options describe, with a head for each kind of label.

    Args:
        options: which system, and its arguments.
        labels: as many classes as the heads get.
        backbone: a (pretrained) branch 1 to take in; ``None`` builds one with random weights.

    Raises:
        OptionsError: an option that does not fit; names it.
    """
    if options.backbone not in (*BACKBONES, NO_BACKBONE):
        names = ", ".join((*BACKBONES, NO_BACKBONE))
        raise OptionsError(f"backbone is {options.backbone!r}, not one of {names}")
    categories, events = len(labels.categories), len(labels.events)
    branch_1 = backbone if backbone is not None else options.backbone
    unfreeze_from = options.unfreeze_from or None
    if options.system == "cbir_4":
        return cbir_4(
            categories=categories,
            events=events,
            backbone=branch_1,
            width=options.width,
            unfreeze_from=unfreeze_from,
            dropout=options.dropout,
        )
    system = {"cbir_1": cbir_1, "cbir_2": cbir_2, "cbir_3": cbir_3}[options.system]
    adapters = tuple(sorted({block for block in options.adapters if block}))
    return system(
        categories=categories,
        events=events,
        backbone=branch_1,
        width=options.width,
        adapters=adapters,
        softmax_over=options.softmax_over,
        unfreeze_from=unfreeze_from,
        dropout=options.dropout,
    )


def clip_format(options: SystemOptions, system: System) -> ClipFormat:
    """What sounds are brought to before they meet the system."""
    return ClipFormat(
        sample_rate=system.sample_rate,
        seconds=options.seconds,
        pad=options.pad,
        cut=options.cut,
        trim=options.trim,
    )
