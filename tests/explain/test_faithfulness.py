"""Curves and scores of masked clips against slow references and values by hand."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
import torch
from explained_networks import clip_of, network_of
from small_models import HEADS
from torch import Tensor

from sonotype.explain.faithfulness import (
    Removal,
    area,
    curve,
    mask_scores,
    masked,
    masks_of,
    removed,
)
from sonotype.explain.methods import FUNCTIONS
from sonotype.explain.network import Network, Target

EVENT = Target(HEADS[-1], 1)


def slow_curve(
    network: Network, log_mels: list[Tensor], importance: list[Tensor], *, insert: bool, steps: int,
    removal: Removal,
) -> list[float]:  # fmt: skip
    """Removes one cell after the other."""
    found = []
    for step in range(steps + 1):
        parts: list[Tensor] = []
        for x, values in zip(log_mels, importance, strict=True):
            cells = x[0, 0].clone()
            blank = cells.clone()
            for band in range(cells.shape[1]):
                column = np.sort(cells[:, band].numpy())
                middle = column[(len(column) - 1) // 2]
                blank[:, band] = float(middle)
            if removal == "floor":
                blank = network.silence[len(parts)][0, 0].clone()
            order = sorted(np.ndindex(*values.shape), key=lambda at: -values[at].item())
            chosen = order[: int(np.ceil(step * len(order) / steps))]
            source, result = (cells, blank) if insert else (blank, cells)
            for at in chosen:
                result[at] = source[at]
            parts.append(result[None, None])
        found.append(network.proba(parts, EVENT.head)[0, EVENT.index].item())
    return found


@pytest.mark.parametrize("removal", ["floor", "median"])
@pytest.mark.parametrize("insert", [False, True])
@pytest.mark.parametrize("kind", ["statistics of two blocks", "two branches"])
def test_a_curve_is_that_of_cells_removed_one_by_one(
    kind: str, insert: bool, removal: Removal
) -> None:
    network = network_of(kind)
    log_mels = network.log_mels(clip_of(network))
    generator = torch.Generator().manual_seed(0)
    importance = [torch.rand(x.shape[2:], generator=generator) for x in log_mels]
    found = curve(
        network, log_mels, importance, EVENT, insert=insert, removal=removal, steps=3
    ).tolist()
    slow = slow_curve(network, log_mels, importance, insert=insert, steps=3, removal=removal)
    assert found == pytest.approx(slow, abs=1e-5)


def test_curves_begin_and_end_with_the_clip_and_with_silence() -> None:
    network = network_of()
    log_mels = network.log_mels(clip_of(network))
    [whole, silent] = (
        network.proba(x, EVENT.head)[0, EVENT.index].item() for x in (log_mels, network.silence)
    )
    for method in ("energy", "random"):
        importance = FUNCTIONS[method](network, log_mels, EVENT)
        deletion = curve(network, log_mels, importance, EVENT)
        insertion = curve(network, log_mels, importance, EVENT, insert=True)
        assert deletion[[0, -1]].tolist() == pytest.approx([whole, silent], abs=1e-5)
        assert insertion[[0, -1]].tolist() == pytest.approx([silent, whole], abs=1e-5)


def test_cells_of_equal_importance_are_spread() -> None:
    """Not one end of the clip before the other."""
    network = network_of()
    log_mels = network.log_mels(clip_of(network))
    even = [torch.ones(x.shape[2:]) for x in log_mels]
    mixed = [torch.rand(x.shape[2:]) for x in log_mels]
    one, other = (curve(network, log_mels, values, EVENT, steps=4) for values in (even, mixed))
    assert one.tolist() == pytest.approx(other.tolist(), abs=0.1)


def test_areas_by_hand() -> None:
    assert area(torch.tensor([1.0, 0.0])) == 0.5
    assert area(torch.tensor([1.0, 0.5, 0.0, 0.0])) == pytest.approx(1 / 3)
    assert area(torch.ones(11)) == pytest.approx(1)


def test_masks_are_shares_of_the_maximum() -> None:
    [mask] = masks_of([torch.tensor([[0.0, 1.0], [2.0, 4.0]])])
    assert mask.tolist() == [[0, 0.25], [0.5, 1]]
    [mask] = masks_of([torch.tensor([[0.0, 1.0], [2.0, 4.0]])], 0.5)
    assert mask.tolist() == [[0, 0.5], [pytest.approx(0.5**0.5), 1]]
    [mask] = masks_of([torch.zeros(2, 2)])
    assert mask.tolist() == [[1, 1], [1, 1]]


def test_masked_log_mels_by_hand() -> None:
    x, low = torch.tensor([[[[2.0, 4.0]]]]), torch.tensor([[[[-2.0, -2.0]]]])
    masks = torch.tensor([[[1.0, 1.0]], [[0.0, 0.5]]])
    [found] = masked([x], [masks], [low])
    assert found.tolist() == [[[[2, 4]]], [[[-2, 1]]]]


def test_the_median_is_that_of_each_band() -> None:
    network = network_of()
    x = torch.tensor([[[[1.0, 9.0], [3.0, 7.0], [2.0, 8.0]]]])
    [found] = removed(network, [x], "median")
    assert found.tolist() == [[[[2, 8]] * 3]]


class FixedNetwork(Network):
    """Gives the clip, its kept part and the rest certain probabilities."""

    def __init__(self, *proba: list[float]) -> None:
        other = network_of()
        super().__init__(other.system, HEADS, other.audio_spec)
        self.values = torch.tensor(proba)

    def proba(self, log_mels: object, head: object) -> Tensor:
        return self.values


@pytest.mark.parametrize(
    ("proba", "expected"),
    [
        # clip, kept part, rest: increase, drop, gain, faithfulness, fidelity
        ([[0.2, 0.8], [0.1, 0.9], [0.7, 0.3]], (1, 0, 0.5, 0.5, 1)),
        ([[0.2, 0.8], [0.4, 0.6], [0.1, 0.9]], (0, 0.25, 0, -0.1, 1)),
        ([[0.2, 0.8], [0.6, 0.4], [0.2, 0.8]], (0, 0.5, 0, 0, 0)),
    ],
)
def test_scores_by_hand(proba: list[list[float]], expected: tuple[float, ...]) -> None:
    network = FixedNetwork(*proba)
    masks = [torch.tensor([[0.0, 1.0], [0.5, 0.5]])]
    x = [torch.zeros(1, 1, 2, 2)]
    network.silence = [torch.zeros(1, 1, 2, 2)]
    found = mask_scores(network, x, masks, EVENT)
    assert astuple(found) == pytest.approx((*expected, 0.5), abs=1e-6)


def test_a_mask_of_ones_keeps_the_clip() -> None:
    network = network_of()
    log_mels = network.log_mels(clip_of(network))
    target = network.target(log_mels)
    found = mask_scores(network, log_mels, [torch.ones(x.shape[2:]) for x in log_mels], target)
    assert found.drop == pytest.approx(0, abs=1e-5)
    assert (found.fidelity, found.kept) == (1, 1)
