"""Windows of a map, pooled in constant time, against each window pooled by the layer itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sonotype.models.backbones.mobilenet import SqueezeExcitation
from sonotype.models.operation import LOG_SUM, MAXIMUM, SUM, Operation
from sonotype.models.pooling import POOLINGS, MapPooling, build_pooling
from sonotype.models.reduction import Pooling
from sonotype.models.statistics import STATISTICS
from sonotype.sliding.reductions import windows_of
from sonotype.sliding.squeeze import SlidingSqueeze, sliding_mean

SINGLE: dict[str, type[Pooling]] = {kind.__name__: kind for kind in STATISTICS}
KINDS = [
    (name, form)
    for name in (*POOLINGS, *SINGLE)
    for form in ("channels", "positions")
    if "attention" in name or form == "channels"
]
REFERENCES = {
    SUM: lambda x: x.sum(1),
    MAXIMUM: lambda x: x.amax(1),
    LOG_SUM: lambda x: x.logsumexp(1),
}


def layer_of(name: str, form: str, channels: int = 6) -> MapPooling:
    torch.manual_seed(0)
    if name in SINGLE:
        return SINGLE[name](channels).eval()  # type: ignore[call-arg]
    return build_pooling(name, channels, softmax_over=form, dropout=0.2).eval()


def maps(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.manual_seed(seed))


def pooled(layer: MapPooling, x: Tensor, starts: Tensor, count: int) -> Tensor:
    vectors = []
    for pooling in layer.reductions():
        totals = windows_of(pooling.operation, pooling.rows(x).numpy(), starts.numpy(), count)
        vectors.append(pooling.vector(torch.from_numpy(totals), count * x.shape[2]))
    return torch.cat(vectors, dim=1)


@pytest.mark.parametrize("operation", REFERENCES, ids=["sum", "maximum", "log_sum"])
@pytest.mark.parametrize("time", [1, 2, 5, 12, 13, 24])
@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_windows_equal_the_reduction_of_their_rows(
    operation: Operation, time: int, count: int
) -> None:
    if count > time:
        pytest.skip("no window of that many rows")
    rows = maps(2, time, 3).double()
    starts = torch.arange(time - count + 1)
    reduce = REFERENCES[operation]
    wanted = torch.stack([reduce(rows[:, start : start + count]) for start in starts], dim=1)
    actual = windows_of(operation, rows.numpy(), starts.numpy(), count)
    torch.testing.assert_close(torch.from_numpy(actual), wanted, rtol=1e-12, atol=0)


def test_windows_in_any_order_and_repeated() -> None:
    rows, starts = maps(1, 40, 2).numpy(), np.array([7, 0, 30, 7])
    wanted = np.stack([rows[:, start : start + 10].max(1) for start in starts], axis=1)
    np.testing.assert_array_equal(windows_of(MAXIMUM, rows, starts, 10), wanted)
    assert windows_of(MAXIMUM, rows, starts[:0], 10).shape == (1, 0, 2)


@pytest.mark.parametrize(("name", "form"), KINDS)
@pytest.mark.parametrize("count", [1, 3, 10])
@torch.no_grad()
def test_windows_equal_clips(name: str, form: str, count: int) -> None:
    layer, x = layer_of(name, form), maps(6, 31, 4)
    starts = torch.arange(32 - count)
    wanted = torch.cat([layer(x[None, :, start : start + count])[0] for start in starts])
    torch.testing.assert_close(pooled(layer, x, starts, count), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spread", [1.0, 30.0, 1_000.0])
@torch.no_grad()
def test_scores_of_any_size_lose_no_digits(spread: float) -> None:
    """Differences of prefix sums would be noise: scores span thousands of powers of e."""
    layer, x = layer_of("attention", "positions"), maps(6, 60, 2)
    layer.score.weight.mul_(spread)
    starts = torch.arange(51)
    wanted = torch.cat(
        [layer.double()(x[None, :, start : start + 10].double())[0] for start in starts]
    )
    actual = pooled(layer, x.double(), starts, 10)
    torch.testing.assert_close(actual, wanted, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_a_long_recording_loses_no_digits() -> None:
    layer, x = layer_of("attention", "channels"), maps(6, 20_000, 1)
    x[:, :10_000] *= 1_000
    last = torch.tensor([19_990])
    wanted = layer(x[None, :, 19_990:])[0]
    torch.testing.assert_close(pooled(layer, x, last, 10), wanted, rtol=1e-5, atol=1e-6)


# The squeeze


def squeeze(channels: int = 16) -> SqueezeExcitation:
    torch.manual_seed(3)
    layer = SqueezeExcitation(channels)
    nn.init.normal_(layer.fc2.weight)
    return layer.eval()


@pytest.mark.parametrize("time", [7, 8, 15, 40])
@pytest.mark.parametrize("count", [1, 4, 7])
def test_sliding_mean_equals_the_mean_of_each_window(time: int, count: int) -> None:
    x = maps(2, 3, time).double()
    wanted = []
    for row in range(time):
        first = min(max(row - count // 2, 0), time - count)
        wanted.append(x[:, :, first : first + count].mean(2))
    torch.testing.assert_close(
        sliding_mean(x, count), torch.stack(wanted, dim=2), rtol=1e-12, atol=1e-12
    )


@torch.no_grad()
def test_the_sliding_squeeze_of_a_clip_is_exact() -> None:
    exact, x = squeeze(), maps(2, 16, 9, 4)
    torch.testing.assert_close(SlidingSqueeze(exact, 9)(x), exact(x), rtol=1e-6, atol=1e-6)
    assert (SlidingSqueeze(exact, 5)(x) - exact(x)).abs().max() > 1e-2


@torch.no_grad()
def test_the_sliding_squeeze_weights_each_row_by_the_window_around_it() -> None:
    exact, x = squeeze(), maps(1, 16, 30, 4)
    actual = SlidingSqueeze(exact, 9)(x)
    for row in (0, 3, 14, 29):
        first = min(max(row - 4, 0), 21)
        alone = exact(x[:, :, first : first + 9])
        torch.testing.assert_close(
            actual[:, :, row], alone[:, :, row - first], rtol=1e-5, atol=1e-6
        )
