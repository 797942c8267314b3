"""The small network: shapes, size, and nothing in it that looks at a whole clip."""

from __future__ import annotations

import math

import pytest
import torch

from sonotype.modelfile.model_file import load_model
from sonotype.modelfile.pretrained import builtin_path
from sonotype.models.backbones.compact import CHANNELS, Compact
from sonotype.models.build import cbir_1, cbir_2, cbir_4

FIELD = 180
"""Frames on each side that a position of the last map can see, generously counted."""


def test_strides_are_those_of_the_papers_branch() -> None:
    network = Compact().eval()
    with torch.no_grad():
        maps = network(torch.zeros(2, 80_000))
    assert [tuple(x.shape) for x in maps] == [
        (2, channels, math.ceil(500 / 2**block), 64 // 2**block)
        for block, channels in enumerate(CHANNELS, start=1)
    ]


@pytest.mark.parametrize("samples", [1, 100, 160, 399])
def test_a_very_short_clip_has_a_frame(samples: int) -> None:
    with torch.no_grad():
        maps = Compact().eval()(torch.ones(1, samples))
    assert maps[-1].shape == (1, 128, 1, 4)


@pytest.mark.parametrize("seconds", [1.0, 1.9, 5.0])
@pytest.mark.parametrize("build", [cbir_1, cbir_2, cbir_4])
@torch.no_grad()
def test_a_clip_is_heard_to_its_last_sample(seconds: float, build: object) -> None:
    torch.manual_seed(0)
    width = {} if build is cbir_4 else {"width": 0.0}
    system = build(categories=2, events=3, backbone="compact", **width).eval()  # type: ignore[operator]
    clip = 0.1 * torch.randn(1, round(seconds * 16_000))
    changed = clip.clone()
    changed[:, -1] += 1
    assert (system(changed).logits["event"] - system(clip).logits["event"]).abs().max() > 1e-6
    # Every frame counts: silence in any tenth of a second changes the prediction.
    for first in range(0, clip.shape[1], 16_000 // 2):
        silenced = clip.clone()
        silenced[:, first : first + 1_600] = 0
        assert (system(silenced).logits["event"] - system(clip).logits["event"]).abs().max() > 1e-6


@torch.no_grad()
def test_the_builtin_model_hears_a_clip_to_its_end() -> None:
    system, card = load_model(builtin_path())
    clip = 0.1 * torch.randn(1, card.audio_spec.length, generator=torch.manual_seed(0))
    changed = clip.clone()
    changed[:, -160:] = 0
    assert (system(changed).logits["category"] - system(clip).logits["category"]).abs().max() > 1e-6


@pytest.mark.parametrize("adapters", [(4,), (1, 2, 3, 4)])
@torch.no_grad()
def test_adapters_join_rows_of_one_time(adapters: tuple[int, ...]) -> None:
    """Branch 2 takes 480 of the 500 frames: the first rows of each map are those of its rows."""
    torch.manual_seed(0)
    system = cbir_2(categories=2, events=3, backbone="compact", width=0.05, adapters=adapters)
    system.eval()
    clip = 0.1 * torch.randn(1, 80_000)
    maps = dict(enumerate(system.branch_1(clip), start=1))
    cut = {block: maps[block][:, :, : 480 // 2**block] for block in adapters}
    log_mel = system.front_end_2(clip)[:, None, :480]
    caught: list[torch.Tensor] = []
    system.pooling.register_forward_pre_hook(lambda _, given: caught.extend(given[0]))
    system(clip)
    assert caught[0].shape == (1, 128, 32, 4)
    torch.testing.assert_close(caught[1], system.branch_2(log_mel, cut), rtol=1e-4, atol=1e-4)


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
    assert output.logits["event"].shape == (2, 3)
