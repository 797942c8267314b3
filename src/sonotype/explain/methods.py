"""Maps of importance over the log-mel of each branch, for a clip and a class.

Each method returns for each branch a map ``[time, bands]`` that is not negative, at the resolution
of the log-mel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from sonotype.explain.geometry import on_log_mel
from sonotype.explain.mask import learned_mask
from sonotype.explain.network import Network, Target

MethodName = Literal["mask", "attention", "gradient", "occlusion", "energy", "random"]
METHODS: tuple[MethodName, ...] = get_args(MethodName)
DEFAULT: MethodName = "mask"

POWER = 0.25
"""Power that makes a mask of each map, chosen for the highest average increase, see
docs/explanations.md."""

Method = Callable[[Network, Sequence[Tensor], Target], list[Tensor]]

PATCH = 32
"""Rows and bands that occlusion removes at once; patches overlap by half."""


def mask(network: Network, log_mels: Sequence[Tensor], target: Target) -> list[Tensor]:
    """The log-mel above silence, times a mask that keeps the class with few cells.

    The product is what the mask keeps of the sound: a cell without sound is not important.
    """
    masks = learned_mask(network, log_mels, target)
    return [
        one * (x - low)[0, 0] for one, x, low in zip(masks, log_mels, network.silence, strict=True)
    ]


def attention(network: Network, log_mels: Sequence[Tensor], target: Target) -> list[Tensor]:
    """The attention of the pooling, for all classes alike; the mean over the maps of a branch."""
    with torch.no_grad():
        maps = network.maps(log_mels)
    found = {index: weights[0] for index, weights in network.attention(maps).items()}
    return _by_branch(network, log_mels, found)


def gradient(network: Network, log_mels: Sequence[Tensor], target: Target) -> list[Tensor]:
    """The positive part of the contributions of positions of the pooled maps."""
    found = contributions(network, log_mels, target)
    return [one.clamp_min(0) for one in _by_branch(network, log_mels, found)]


def contributions(
    network: Network, log_mels: Sequence[Tensor], target: Target
) -> dict[int, Tensor]:
    """By index of a pooled map its values times the gradient of the class's logit.

    The sum over channels. Where the logit is linear in the map, as for a linear head on its mean,
    the contributions of all positions sum to the logit less the bias.

    Shape:
        ``[time', bands']`` for each map
    """
    with torch.no_grad():
        maps = network.maps(log_mels)
    maps = [x.detach().requires_grad_() for x in maps]
    gradients = torch.autograd.grad(network.logit_of_maps(maps, target).sum(), maps)
    # A deviation of 0 has no gradient; its channel contributes nothing.
    return {
        index: (x * slope.nan_to_num(0, 0, 0)).sum(1)[0].detach()
        for index, (x, slope) in enumerate(zip(maps, gradients, strict=True))
    }


def _by_branch(
    network: Network, log_mels: Sequence[Tensor], found: Mapping[int, Tensor]
) -> list[Tensor]:
    """Sum of the maps of each branch at the resolution of its log-mel; a density, not a sum."""
    sums = [log_mel.new_zeros(log_mel.shape[2:]) for log_mel in log_mels]
    for index, values in found.items():
        branch, stride = network.branch_of(index), network.stride_of(index)
        time, bands = log_mels[branch].shape[2:]
        cells = values.numel() / (time * bands)
        sums[branch] = sums[branch] + on_log_mel(values, (time, bands), stride) * cells
    return sums


def energy(network: Network, log_mels: Sequence[Tensor], target: Target) -> list[Tensor]:
    """The log-mel above its least value: loud cells count, whatever the class."""
    return [log_mel[0, 0] - log_mel.min() for log_mel in log_mels]


def random(network: Network, log_mels: Sequence[Tensor], target: Target) -> list[Tensor]:
    """Uniform numbers, one for each position of the coarsest map; the same for all clips."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for log_mel in log_mels:
        time, bands = log_mel.shape[2:]
        noise = torch.rand(-(-time // PATCH), -(-bands // PATCH), generator=generator)
        found.append(on_log_mel(noise.to(log_mel), (time, bands), PATCH))
    return found


@torch.no_grad()
def occlusion(network: Network, log_mels: Sequence[Tensor], target: Target) -> list[Tensor]:
    """The fall of the logit when a patch of the log-mel is replaced by its least value.

    A cell has the mean fall over the patches that contain it.
    """
    whole = network.logit(log_mels, target)
    found = []
    for branch, log_mel in enumerate(log_mels):
        falls, counts = torch.zeros_like(log_mel[0, 0]), torch.zeros_like(log_mel[0, 0])
        time, bands = log_mel.shape[2:]
        for top in range(-PATCH // 2, time, PATCH // 2):
            for left in range(-PATCH // 2, bands, PATCH // 2):
                rows = slice(max(top, 0), top + PATCH)
                columns = slice(max(left, 0), left + PATCH)
                hidden = [one.clone() for one in log_mels]
                hidden[branch][..., rows, columns] = log_mel.min()
                falls[rows, columns] += (whole - network.logit(hidden, target))[0]
                counts[rows, columns] += 1
        found.append((falls / counts).clamp_min(0))
    return found


FUNCTIONS: dict[MethodName, Method] = {
    "mask": mask,
    "attention": attention,
    "gradient": gradient,
    "occlusion": occlusion,
    "energy": energy,
    "random": random,
}
