from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sonotype.frontends import EfficientATLogMel, VGGishLogMel
from sonotype.frontends.frames import BLOCK, in_blocks, squared_parts


def sums(frames: Tensor) -> Tensor:
    return torch.stack([frames.sum(-1), frames.amax(-1)], dim=-1)


@pytest.mark.parametrize("clips", [1, 3])
@pytest.mark.parametrize("count", [1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_blocks_change_nothing(clips: int, count: int) -> None:
    frames = torch.randn(clips, count, 5, generator=torch.manual_seed(0))
    assert torch.equal(in_blocks(sums, frames), sums(frames))


def test_squares_of_both_parts_stand_side_by_side() -> None:
    spectrum = torch.tensor([[1 + 2j, -3 + 0.5j]])
    assert squared_parts(spectrum).tolist() == [[1.0, 4.0, 9.0, 0.25]]


@pytest.mark.parametrize(("front_end", "time"), [(VGGishLogMel(), -2), (EfficientATLogMel(), -1)])
def test_a_long_recording_has_the_frames_of_its_parts(
    front_end: VGGishLogMel | EfficientATLogMel, time: int
) -> None:
    hop = front_end.sample_rate // 100
    waveform = torch.randn(1_300 * hop, generator=torch.manual_seed(0)) * 0.1
    whole = front_end(waveform).numpy()
    part = front_end(waveform[600 * hop : 1_200 * hop]).numpy()
    frames = range(5, 590)  # those at the edges see the cut
    np.testing.assert_allclose(
        np.take(part, frames, axis=time),
        np.take(whole, [600 + frame for frame in frames], axis=time),
        rtol=0,
        atol=2e-6,
    )
