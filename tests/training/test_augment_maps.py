"""Augmentation of log-mels: masks, roll and shift, mixup."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sonotype.training.augment_maps import draw_mixup, mask, roll_and_shift

CPU = torch.device("cpu")


@pytest.mark.parametrize(("axis", "shares"), [(2, (0.5, 0.0)), (3, (0.0, 0.5))])
def test_a_mask_fills_one_stretch_with_the_mean_of_the_clip(
    axis: int, shares: tuple[float, float]
) -> None:
    torch.manual_seed(3)
    x = torch.randn(64, 1, 48, 32)
    masked = mask(x, time=shares[0], frequency=shares[1])
    lengths = []
    for before, after in zip(x, masked, strict=True):
        changed = (before != after).squeeze(0)
        index = torch.nonzero(changed.any(3 - axis)).flatten()
        lengths.append(len(index))
        if len(index):
            assert len(index) == index[-1] - index[0] + 1, "the stretch has no gaps"
            filled = after.squeeze(0).index_select(axis - 2, index)
            assert torch.allclose(filled, before.mean().expand_as(filled))
    assert max(lengths) <= math.ceil(0.5 * x.shape[axis])
    assert np.mean(lengths) == pytest.approx(0.25 * x.shape[axis], rel=0.25)


def test_without_a_mask_nothing_changes() -> None:
    x = torch.randn(4, 1, 48, 32)
    assert torch.equal(mask(x, time=0.0, frequency=0.0), x)


def test_roll_and_shift_keep_the_clip() -> None:
    x = torch.arange(2 * 6 * 8, dtype=torch.float32).view(2, 1, 6, 8)
    torch.manual_seed(2)
    moved, rolled = roll_and_shift(x, roll=True, max_shift=2)
    for clip, found, share in zip(x, moved, rolled, strict=True):
        frames = round(float(share) * 6)
        wanted = [
            torch.stack([clip[0, (t + frames) % 6, [min(max(b + bands, 0), 7) for b in range(8)]]
                         for t in range(6)])
            for bands in range(-2, 3)
        ]  # fmt: skip
        assert any(torch.equal(found[0], shifted) for shifted in wanted)
    assert len(set(rolled.tolist())) == 2
    same, rolled = roll_and_shift(x, roll=False, max_shift=0)
    assert torch.equal(same, x)
    assert torch.equal(rolled, torch.zeros(2))


def test_without_mixup_there_are_no_partners() -> None:
    assert draw_mixup(8, 0.0, CPU) == (None, 1.0)


def test_mixup_shares_follow_the_beta_distribution() -> None:
    torch.manual_seed(0)
    shares = [draw_mixup(4, 0.3, CPU)[1] for _ in range(2000)]
    # Beta(a, a): mean 1/2, variance 1 / (4 (2 a + 1)).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(1 / (4 * 1.6), rel=0.06)
