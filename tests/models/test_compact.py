"""The small network: shapes, size, and nothing in it that looks at a whole clip."""

from __future__ import annotations

import pytest
import torch

from sonotype.models.compact import CHANNELS, Compact
from sonotype.models.systems import cbir_1, cbir_2, cbir_4

FIELD = 180
"""Frames on each side that a position of the last map can see, generously counted."""


def test_shapes_are_those_of_the_papers_branch() -> None:
    network = Compact().eval()
    with torch.no_grad():
        maps = network(torch.zeros(2, 80_000))
    assert [tuple(x.shape) for x in maps] == [
        (2, channels, 480 // 2**block, 64 // 2**block)
        for block, channels in enumerate(CHANNELS, start=1)
    ]


def test_it_is_small() -> None:
    system = cbir_2(categories=5, events=50, backbone="compact", width=0, pooling="attention_mean")
    assert sum(parameter.numel() for parameter in system.parameters()) <= 1_500_000


def test_a_position_does_not_depend_on_sounds_far_away() -> None:
    torch.manual_seed(0)
    network = Compact().eval()
    x = torch.randn(1, 1, 960, 64)
    changed = x.clone()
    changed[:, :, 480 + FIELD :] = torch.randn(1, 1, 480 - FIELD, 64)
    with torch.no_grad():
        for block in network.blocks:
            x, changed = block(x), block(changed)
    assert torch.equal(x[:, :, :30], changed[:, :, :30])
    assert not torch.equal(x[:, :, -5:], changed[:, :, -5:])


@pytest.mark.parametrize("build", [cbir_1, cbir_2, cbir_4])
def test_it_stands_in_every_system_where_vggish_stands(build: object) -> None:
    width = {} if build is cbir_4 else {"width": 0.05, "adapters": (1, 2, 3, 4)}
    system = build(categories=2, events=3, backbone="compact", **width).eval()  # type: ignore[operator]
    with torch.no_grad():
        output = system(torch.zeros(2, 80_000))
    assert output.event.shape == (2, 3)
