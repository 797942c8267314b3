"""Whether a map of importance shows what the network uses: curves and scores of masked clips.

A cell of the log-mel is removed by replacing it with the value of digital silence, the floor of the
front end. A mask ``M`` from 0 to 1 does this by degrees, ``floor + M (x - floor)``: a mask on a
logarithmic spectrum, as in L-MAC. The second way of removal is the median of the band over the
clip, which leaves a steady background.

Curves (Petsiuk, Das, Saenko, "RISE: randomized input sampling for explanation of black-box models",
2018): the area under the probability of the class, from 0 to 1 on both axes, while the most
important cells are removed from the clip (deletion, lower is better), or put into the removed
clip (insertion, higher is better).

Scores of the mask (as in Paissan, Ravanelli, Subakan, "Listenable maps for audio classifiers",
2024), with ``p`` the probability of the class for the clip, ``i`` for the part that the mask keeps,
``o`` for the part that it leaves out:

    average increase (AI)  share of the clips with i > p             higher is better
    average drop (AD)      mean of max(0, p - i) / p                 lower is better
    average gain (AG)      mean of max(0, i - p) / (1 - p)           higher is better
    faithfulness (FF)      mean of p - o                             higher is better
    fidelity (Fid-In)      share of the clips whose most probable
                           class is that of the part kept            higher is better

A mask of ones has an AD of 0 and a fidelity of 1, and one of zeros says nothing, so the scores are
read beside the mean of the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sonotype.core.types import Head
from sonotype.explain.network import Network, Target

Removal = Literal["floor", "median"]
STEPS = 10
"""Steps of a curve; each removes as many cells."""
TINY = 1e-10


@dataclass(frozen=True)
class MaskScores:
    """The scores of one clip's mask; the mean over clips gives those of a method.

    Attributes:
        increase: 1 if the kept part is more probable than the clip, else 0.
        drop: from 0 to 1.
        gain: from 0 to 1.
        faithfulness: from -1 to 1.
        fidelity: 1 if the kept part has the class of the clip, else 0.
        kept: mean of the mask.
    """

    increase: float
    drop: float
    gain: float
    faithfulness: float
    fidelity: float
    kept: float


def masks_of(importance: Sequence[Tensor], power: float = 1.0) -> list[Tensor]:
    """Masks from 0 to 1: the importance divided by its maximum, to the power ``power``.

    Shape:
        ``[time, bands]`` for each branch, unchanged; a mask of ones where all importance is 0
    """
    found = []
    for values in importance:
        top = values.max()
        share = values / top if top > 0 else torch.ones_like(values)
        found.append(share.pow(power))
    return found


def removed(network: Network, log_mels: Sequence[Tensor], removal: Removal) -> list[Tensor]:
    """What stands in for removed cells, in the shape of the log-mels."""
    if removal == "median":
        return [x.median(2, keepdim=True).values.expand_as(x) for x in log_mels]
    return network.silence


def masked(
    log_mels: Sequence[Tensor], masks: Sequence[Tensor], without: Sequence[Tensor]
) -> list[Tensor]:
    """The log-mels where a mask is 1, the removed ones where it is 0, and the mean in between.

    Args:
        log_mels: ``[1, 1, time, bands]`` for each branch.
        masks: ``[batch, time, bands]`` for each branch.
        without: from :func:`removed`.

    Shape:
        ``[batch, 1, time, bands]`` for each branch
    """
    return [
        low + mask[:, None] * (x - low)
        for x, mask, low in zip(log_mels, masks, without, strict=True)
    ]


def parts_of(
    network: Network, log_mels: Sequence[Tensor], masks: Sequence[Tensor], head: Head
) -> Tensor:
    """Probabilities ``[3, classes]``: of the clip, of the part that masks keep, of the rest."""
    three = [torch.stack([torch.ones_like(mask), mask, 1 - mask]) for mask in masks]
    return network.proba(masked(log_mels, three, network.silence), head)


def mask_scores(
    network: Network, log_mels: Sequence[Tensor], masks: Sequence[Tensor], target: Target
) -> MaskScores:
    """The scores of a mask for a class, which is the most probable one in published tables."""
    proba = parts_of(network, log_mels, masks, target.head)
    whole, kept, rest = proba[:, target.index].double().tolist()
    best, best_kept = proba[:2].argmax(1).tolist()
    cells = sum(mask.numel() for mask in masks)
    return MaskScores(
        increase=float(kept > whole),
        drop=max(0.0, whole - kept) / (whole + TINY),
        gain=max(0.0, kept - whole) / (1 - whole + TINY),
        faithfulness=whole - rest,
        fidelity=float(best == best_kept),
        kept=sum(mask.sum().item() for mask in masks) / cells,
    )


def curve(
    network: Network,
    log_mels: Sequence[Tensor],
    importance: Sequence[Tensor],
    target: Target,
    *,
    insert: bool = False,
    removal: Removal = "floor",
    steps: int = STEPS,
) -> Tensor:
    """The probability of a class while cells are removed or inserted, most important first.

    Each step takes the same share of the cells of every branch. Cells of equal importance come in
    a fixed random order.

    Shape:
        ``[steps + 1]``
    """
    masks = [_in_steps(values, steps) for values in importance]
    masks = masks if insert else [1 - mask for mask in masks]
    without = removed(network, log_mels, removal)
    return network.proba(masked(log_mels, masks, without), target.head)[:, target.index]


def area(values: Tensor) -> float:
    """Area under a curve over 0 to 1, by the trapezoidal rule."""
    return torch.trapezoid(values.double(), dx=1 / (len(values) - 1)).item()


def _in_steps(values: Tensor, steps: int) -> Tensor:
    """``[steps + 1, time, bands]``: 1 where a cell is among the most important of each step."""
    flat = values.flatten()
    mixed = torch.randperm(len(flat), generator=torch.Generator().manual_seed(0)).to(flat.device)
    order = mixed[flat[mixed].argsort(descending=True, stable=True)]
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    ends = torch.arange(steps + 1, device=order.device) * len(order) / steps
    return (rank < ends[:, None]).to(values.dtype).view(-1, *values.shape)
