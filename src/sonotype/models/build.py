"""From options to a network: the four systems of the paper.

========  ==========================================  =======================================
system    branches                                    pooling
========  ==========================================  =======================================
cbir_1    frozen branch 1, trained branch 2           one attention over both maps, joined
cbir_2    frozen branch 1, trained branch 2           one attention for each map
cbir_3    as cbir_1; the paper trains it with         as cbir_1
          same-class mixing (a training option)
cbir_4    frozen branch 1 alone                       global maximum
========  ==========================================  =======================================

Beyond the paper, another pooling can replace attention, ``cbir_2`` and ``cbir_4`` can pool several
blocks of branch 1, and a width of 0 leaves branch 2 out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from torch.nn import ModuleDict

from sonotype.config import TWO_BRANCH_SYSTEMS, SystemName, SystemOptions, check
from sonotype.core.errors import OptionsError
from sonotype.core.types import LEVELS, Heads
from sonotype.models.backbones.names import BACKBONES, NO_BACKBONE, Backbone, build_backbone
from sonotype.models.branch import TrainedBranch
from sonotype.models.fusion import Fusion, JoinedPooling, SeparatePooling
from sonotype.models.pooling import build_pooling
from sonotype.models.statistics import GlobalMaxPooling
from sonotype.models.system import FULLY_FROZEN, System


def build_system(options: SystemOptions, heads: Heads, backbone: Backbone | None = None) -> System:
    """The system that the options describe.

    Args:
        options: which system, and its arguments.
        heads: their names and numbers of classes set the outputs of the system.
        backbone: a (pretrained) branch 1; ``None`` builds one with random weights.

    Raises:
        OptionsError: names every invalid option.
    """
    return _build(options, {head.name: len(head.classes) for head in heads}, backbone)


def cbir_1(
    *, categories: int, events: int = 0, backbone: str | Backbone = "vggish", **options: Any
) -> System:
    """CNN + attention: one attention over the joined maps of both branches (paper, table 1).

    Args:
        categories: classes of the category head.
        events: classes of the event head; 0 for none.
        backbone: name of branch 1 (random weights; see :mod:`sonotype.modelfile.pretrained` for
            pretrained ones), a backbone itself, or ``"none"`` to train one of VGGish's shape.
        options: other fields of :class:`sonotype.config.SystemOptions`.

    Raises:
        OptionsError: names every invalid option.
    """
    return _named("cbir_1", categories, events, backbone, options)


def cbir_2(
    *, categories: int, events: int = 0, backbone: str | Backbone = "vggish", **options: Any
) -> System:
    """CNN + multi-attention: an attention for each branch (paper, figure 1; its best system).

    Arguments and errors as for :func:`cbir_1`.
    """
    return _named("cbir_2", categories, events, backbone, options)


cbir_3 = cbir_1
"""CNN + augmentation: the network of CBIR_1; only its training differs (paper, 1.2)."""


def cbir_4(
    *, categories: int, events: int = 0, backbone: str | Backbone = "vggish", **options: Any
) -> System:
    """CNN + FC: branch 1 alone, its global maximum, the embedding (paper, table 1).

    Arguments and errors as for :func:`cbir_1`; ``width`` applies to ``backbone="none"`` only.
    """
    return _named("cbir_4", categories, events, backbone, options)


def _named(
    system: SystemName,
    categories: int,
    events: int,
    backbone: str | Backbone,
    options: dict[str, Any],
) -> System:
    name = backbone if isinstance(backbone, str) else "vggish"
    branch_1 = None if isinstance(backbone, str) else backbone
    unfreeze_from = options.pop("unfreeze_from", None) or 0
    chosen = SystemOptions(system=system, backbone=name, unfreeze_from=unfreeze_from, **options)
    counts = zip(LEVELS, (categories, events), strict=True)
    return _build(chosen, {head: count for head, count in counts if count}, branch_1)


def _build(options: SystemOptions, classes: Mapping[str, int], branch_1: Backbone | None) -> System:
    check(options)
    issues = _contradictions(options)
    # A layer cannot have the name of an attribute of the module that holds it.
    issues += [
        f"a head cannot be named {name!r}" for name in classes if hasattr(ModuleDict(), name)
    ]
    if issues:
        raise OptionsError("; ".join(issues))
    if branch_1 is None:
        branch_1 = build_backbone(options.backbone, width=options.width)
    channels = [branch_1.channels[block - 1] for block in sorted(options.pool_blocks)]
    adapters = sorted({block for block in options.adapters if block})
    branch_2 = None
    if options.width > 0 and options.system != "cbir_4":
        lateral = {block: branch_1.channels[block - 1] for block in adapters}
        branch_2 = TrainedBranch(width=options.width, lateral=lateral)
        channels.append(branch_2.channels)
    pool = partial(
        build_pooling, options.pooling, softmax_over=options.softmax_over, dropout=options.dropout
    )
    if options.system in TWO_BRANCH_SYSTEMS:
        pooling: Fusion = JoinedPooling(channels, pool)
    elif options.system == "cbir_4":
        pooling = SeparatePooling(channels, GlobalMaxPooling)
    else:
        pooling = SeparatePooling(channels, pool)
    unfreeze_from = 1 if options.backbone == NO_BACKBONE else options.unfreeze_from
    return System(
        branch_1=branch_1,
        branch_2=branch_2,
        pooling=pooling,
        classes=classes,
        adapters=adapters,
        pool_blocks=options.pool_blocks,
        unfreeze_from=unfreeze_from or FULLY_FROZEN,
        dropout=options.dropout,
        linear=options.pooling == "statistics",
    )


def _contradictions(options: SystemOptions) -> list[str]:
    """Each combination of options that cannot work."""
    issues = []
    if options.backbone not in (*BACKBONES, NO_BACKBONE):
        names = ", ".join((*BACKBONES, NO_BACKBONE))
        issues.append(f"backbone is {options.backbone!r}, not one of {names}")
    if options.width == 0 and options.backbone == NO_BACKBONE:
        issues.append(
            "width is 0 with backbone none, which leaves no branch: give a positive width"
        )
    if options.pool_blocks != (4,) and options.system in TWO_BRANCH_SYSTEMS:
        issues.append(
            f"pool_blocks is for cbir_2 and cbir_4: {options.system} joins the last maps of both "
            "branches"
        )
    if len(set(options.pool_blocks)) != len(options.pool_blocks) or not options.pool_blocks:
        issues.append(f"pool_blocks is {options.pool_blocks}, different blocks are wanted")
    if options.pooling == "statistics" and (options.width or options.unfreeze_from):
        issues.append("pooling statistics is for a frozen branch 1 alone: set width to 0")
    if options.pooling != "attention" and options.system == "cbir_4":
        issues.append("pooling is for cbir_1 to cbir_3: cbir_4 takes the global maximum")
    return issues
