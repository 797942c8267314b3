"""Augmentation of log-mels and feature maps in a training step: roll, shift, masks, mixup.

All draws come from torch's global generator, which is seeded once for each epoch. Processes that
share a batch draw for all of its rows, so all of them draw alike. These functions
do not belong to :mod:`sonotype.data.augment`: they change no cached feature map, so an edit here
must not invalidate the cache.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sonotype.models.system import FeatureMaps
from sonotype.training.whole_batch import WholeBatch


def roll_and_shift(
    log_mel: Tensor, *, roll: bool, max_shift: int, batch: WholeBatch | None = None
) -> tuple[Tensor, Tensor]:
    """Roll each clip in time, and shift it up or down by up to ``max_shift`` bands.

    A shift drops the bands that leave at one end and repeats the band at the other end.

    Shape:
        ``[batch, 1, time, bands] ->`` the same, and ``[batch]`` the share of its length by which
        each clip now begins earlier; of a shared batch, the shares of all its rows
    """
    x, batch = log_mel, batch or WholeBatch()
    (frames, bands), size = x.shape[2:], batch.size_of(x)
    rolled = x.new_zeros(size)
    if roll:
        offset = torch.randint(frames, (size, 1), device=x.device)
        rolled = offset.squeeze(1) / frames
        offset = batch.part.of(offset)
        index = (torch.arange(frames, device=x.device) + offset) % frames
        x = x.gather(2, index[:, None, :, None].expand_as(x))
    if max_shift:
        offset = torch.randint(-max_shift, max_shift + 1, (size, 1), device=x.device)
        offset = batch.part.of(offset)
        index = (torch.arange(bands, device=x.device) + offset).clamp(0, bands - 1)
        x = x.gather(3, index[:, None, None, :].expand_as(x))
    return x, rolled


def mask(
    log_mel: Tensor, *, time: float, frequency: float, batch: WholeBatch | None = None
) -> Tensor:
    """Replace one stretch of time and one of bands in each clip with the clip's mean.

    Park et al., "SpecAugment" (2019).

    Args:
        log_mel: of a batch.
        time: largest share of the frames that is masked.
        frequency: largest share of the bands that is masked.
        batch: that several processes share; default: ``log_mel`` is the whole batch.

    Shape:
        ``[batch, 1, time, bands] ->`` the same
    """
    x, batch = log_mel, batch or WholeBatch()
    for axis, max_share in ((2, time), (3, frequency)):
        if max_share:
            x = torch.where(
                _random_stretch(x, axis, max_share, batch), log_mel.mean((2, 3), keepdim=True), x
            )
    return x


def _random_stretch(x: Tensor, axis: int, max_share: float, batch: WholeBatch) -> Tensor:
    """For each clip a mask of one random stretch of up to ``max_share`` of one axis."""
    size, rows = x.shape[axis], batch.size_of(x)
    length = torch.rand(rows, 1, device=x.device) * max_share * size
    first = torch.rand(rows, 1, device=x.device) * (size - length)
    length, first = batch.part.of(length), batch.part.of(first)
    position = torch.arange(size, device=x.device)
    inside = (position >= first) & (position < first + length)
    shape = [len(x), 1, 1, 1]
    shape[axis] = size
    return inside.view(shape)


def draw_mixup(size: int, alpha: float, device: torch.device) -> tuple[Tensor | None, float]:
    """A partner for every clip of the batch, and the share that each clip keeps of itself.

    Zhang et al., "mixup: beyond empirical risk minimization" (2018).

    Args:
        size: of the batch.
        alpha: of the beta distribution of the share; 0 gives no partners.
        device: of the partners' indices.
    """
    if not alpha:
        return None, 1.0
    share = torch.distributions.Beta(alpha, alpha).sample()
    return torch.randperm(size, device=device), float(share)


def mix(
    feature_maps: FeatureMaps, partner: Tensor, share: float, batch: WholeBatch | None = None
) -> FeatureMaps:
    """Each clip's feature maps, mixed with those of its partner.

    Args:
        feature_maps: of a batch, or of this process's rows of a shared batch.
        partner: row of the partner of each clip of the whole batch.
        share: that each clip keeps of itself.
        batch: that several processes share.
    """
    batch = batch or WholeBatch()
    own = batch.part.of(partner)
    return {
        name: x * share + batch.gather(x)[own] * (1 - share) for name, x in feature_maps.items()
    }
