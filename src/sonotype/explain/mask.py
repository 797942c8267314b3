"""A mask of the log-mel that keeps a class with few cells, found by gradient descent for each clip.

The mask has one value for each patch of 16 rows and 16 bands, and is interpolated to the log-mel.
With ``p`` the probability of the class for the part that the mask keeps, ``o`` for the part that it
leaves out, and ``m`` the mean of the mask, it minimises

    -log p + 0.3 log o + 2 m

where ``log o`` counts from -6 on. The first mask is the energy of the patches. Nothing is trained:
6 steps are made for the clip at hand.

Patches are large and steps are few on purpose. A free mask makes any class probable, whether it is
in the clip or not, and then does not explain: with patches of 8 and 15 steps it did so for most
wrong classes (docs/explanations.md).

Fong, Vedaldi, "Interpretable explanations of black boxes by meaningful perturbation" (2017). The
two terms of probability are those that L-MAC trains a decoder with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sonotype.explain.network import Network, Target

PATCH = 16
STEPS, LEARNING_RATE, BETAS = 6, 0.3, (0.8, 0.95)
REST, LEAST, AREA = 0.3, -6.0, 2.0
"""Weight of the part left out, its lowest logarithm, and weight of the mean of the mask."""


def learned_mask(network: Network, log_mels: Sequence[Tensor], target: Target) -> list[Tensor]:
    """The mask of each branch, for a class of a clip.

    Args:
        network: its weights do not change.
        log_mels: ``[1, 1, time, bands]`` for each branch.
        target: the class.

    Shape:
        ``[time, bands]`` for each branch, from 0 to 1
    """
    loud = [x - low for x, low in zip(log_mels, network.silence, strict=True)]
    with torch.enable_grad():
        patches = [_energy(x).requires_grad_() for x in loud]
        optimiser = torch.optim.Adam(patches, lr=LEARNING_RATE, betas=BETAS)
        for _ in range(STEPS):
            masks = _masks(patches, log_mels)
            parts = [
                low + torch.cat([mask, 1 - mask]) * x
                for low, mask, x in zip(network.silence, masks, loud, strict=True)
            ]
            logits = network.logits_of_maps(network.maps(parts))[target.head.name]
            kept, rest = log_proba(logits, target)
            area = torch.stack([mask.mean() for mask in masks]).mean()
            loss = -kept + REST * rest.clamp_min(LEAST) + AREA * area
            for one, slope in zip(patches, torch.autograd.grad(loss, patches), strict=True):
                one.grad = slope
            optimiser.step()
    with torch.no_grad():
        return [mask[0, 0] for mask in _masks(patches, log_mels)]


def log_proba(logits: Tensor, target: Target) -> Tensor:
    """Logarithm of the probability of a class, without the temperature of the head.

    Shape:
        ``[batch, classes] -> [batch]``
    """
    if target.head.problem == "multi":
        return F.logsigmoid(logits[:, target.index])
    return logits.log_softmax(1)[:, target.index]


def _energy(loud: Tensor) -> Tensor:
    """Mean of each patch ``[1, 1, time / 16, bands / 16]``, with mean 0 and deviation 1."""
    time, bands = (-(-length // PATCH) for length in loud.shape[2:])
    mean = F.adaptive_avg_pool2d(loud, (time, bands))
    return (mean - mean.mean()) / mean.std().clamp_min(1e-6)


def _masks(patches: Sequence[Tensor], log_mels: Sequence[Tensor]) -> list[Tensor]:
    return [
        F.interpolate(one.sigmoid(), size=x.shape[2:], mode="bilinear", align_corners=False)
        for one, x in zip(patches, log_mels, strict=True)
    ]
