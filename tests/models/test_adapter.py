from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from sonotype.models.adapter import LateralAdapter, align


def resized(line: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """One axis on its own: means of a shrinking one's bins, straight lines through a growing."""
    if size < len(line):
        starts = [math.floor(i * len(line) / size) for i in range(size)]
        ends = [math.ceil((i + 1) * len(line) / size) for i in range(size)]
        return np.array([line[a:b].mean() for a, b in zip(starts, ends, strict=True)])
    centres = (np.arange(size) + 0.5) * len(line) / size - 0.5
    return np.interp(centres, np.arange(len(line)), line)


@pytest.mark.parametrize(
    "size",
    [(6, 4), (3, 2), (1, 1), (12, 8), (7, 9), (3, 8), (12, 2), (5, 3), (6, 8), (3, 4)],
)
def test_each_axis_is_pooled_or_interpolated(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 6, 4, generator=torch.manual_seed(0))
    expected = np.apply_along_axis(resized, 2, x.numpy().astype(np.float64), size[0])
    expected = np.apply_along_axis(resized, 3, expected, size[1])
    np.testing.assert_allclose(align(x, size), expected, rtol=1e-5, atol=1e-6)


def test_the_right_size_stays() -> None:
    x = torch.randn(1, 2, 6, 4)
    assert align(x, (6, 4)) is x


def test_a_constant_stays_constant() -> None:
    x = torch.full((1, 1, 16, 4), 2.5)
    for size in ((30, 4), (5, 9), (40, 2)):
        torch.testing.assert_close(align(x, size), torch.full((1, 1, *size), 2.5))


@torch.no_grad()
def test_the_adapter_is_a_matrix_on_channels_then_relu_then_align() -> None:
    torch.manual_seed(0)
    adapter = LateralAdapter(5, 3)
    shapes = {name: tuple(tensor.shape) for name, tensor in adapter.named_parameters()}
    assert shapes == {"conv.weight": (3, 5, 1, 1), "conv.bias": (3,)}
    x = torch.randn(2, 5, 6, 4)
    mixed = torch.einsum("oc,bctf->botf", adapter.conv.weight[:, :, 0, 0], x)
    mixed = (mixed + adapter.conv.bias[:, None, None]).clamp(min=0)
    torch.testing.assert_close(adapter(x, (6, 4)), mixed)
    torch.testing.assert_close(adapter(x, (9, 2)), align(mixed, (9, 2)))
    assert adapter(x, (9, 2)).min() >= 0
