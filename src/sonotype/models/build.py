"""From options to a network: the one place that reads a configuration."""

from __future__ import annotations

from typing import Any

from sonotype.config import SystemOptions
from sonotype.core.errors import OptionsError
from sonotype.core.types import Labels
from sonotype.models.backbones.names import BACKBONES, NO_BACKBONE, Backbone
from sonotype.models.system import System, cbir_1, cbir_2, cbir_3, cbir_4


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
    _refuse_contradictions(options)
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
            pool_blocks=options.pool_blocks,
            dropout=options.dropout,
        )
    common: dict[str, Any] = {
        "categories": categories,
        "events": events,
        "backbone": branch_1,
        "width": options.width,
        "adapters": tuple(sorted({block for block in options.adapters if block})),
        "softmax_over": options.softmax_over,
        "unfreeze_from": unfreeze_from,
        "pooling": options.pooling,
        "dropout": options.dropout,
    }
    if options.system == "cbir_2":
        return cbir_2(**common, pool_blocks=options.pool_blocks)
    return {"cbir_1": cbir_1, "cbir_3": cbir_3}[options.system](**common)


def _refuse_contradictions(options: SystemOptions) -> None:
    wrong = []
    if options.width == 0 and options.backbone == NO_BACKBONE:
        wrong.append("width is 0: with backbone none nothing is left to listen; give a width")
    if options.pool_blocks != (4,) and options.system in ("cbir_1", "cbir_3"):
        wrong.append(
            f"pool_blocks is for cbir_2 and cbir_4: {options.system} joins two maps of one height"
        )
    if len(set(options.pool_blocks)) != len(options.pool_blocks) or not options.pool_blocks:
        wrong.append(f"pool_blocks is {options.pool_blocks}, different blocks are wanted")
    if options.pooling != "attention" and options.system == "cbir_4":
        wrong.append("pooling is for cbir_1 to cbir_3: cbir_4 takes the global maximum")
    if wrong:
        raise OptionsError("; ".join(wrong))
