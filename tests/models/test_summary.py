from __future__ import annotations

import numpy as np
import pytest
import torch

from sonotype.frontends import efficientat_logmel as efficientat
from sonotype.frontends import vggish_logmel as vggish
from sonotype.models.build import cbir_1, cbir_2, cbir_4
from sonotype.models.summary import Part, Summary, summarise
from sonotype.models.system import System


def small(function: object = cbir_2, **changes: object) -> System:
    torch.manual_seed(0)
    options = {"categories": 3, "events": 7, "backbone": "mn01", "width": 0.125, **changes}
    return function(**options)  # type: ignore[operator]


@pytest.mark.parametrize("function", [cbir_1, cbir_2, cbir_4])
@pytest.mark.parametrize("first", [None, 3])
def test_parameters_are_all_counted(function: object, first: int | None) -> None:
    system = small(function, unfreeze_from=first)
    summary = summarise(system, 1.0)
    assert summary.total.parameters == sum(one.numel() for one in system.parameters())
    frozen = sum(one.numel() for one in system.parameters() if not one.requires_grad)
    assert summary.total.frozen == frozen > 0
    by_name = {part.name: part for part in summary.parts}
    assert by_name["category"].parameters == 128 * 3 + 3
    assert by_name["event"].parameters == 128 * 7 + 7
    blocks = system.branch_1.blocks
    assert by_name["branch_1"].parameters == sum(one.numel() for one in blocks.parameters())
    assert [part.name for part in summary.parts if part.frozen] == ["branch_1"]


def mel_products(weights: np.ndarray) -> int:
    """Of one frame: sixteen bands each with the bins from the first to the last they reach."""
    total = 0
    for first in range(0, weights.shape[1], 16):
        bins = np.flatnonzero(weights[:, first : first + 16].sum(axis=1))
        total += 16 * (bins[-1] - bins[0] + 1)
    return int(total)


def test_multiply_adds_counted_by_hand() -> None:
    # CBIR_4 on a second: 98 frames, of which 96 go through blocks of 8, 16, 32 and 64 channels.
    summary = summarise(small(cbir_4, backbone="none"), 1.0)
    by_name = {part.name: part.multiply_adds for part in summary.parts}
    log_mel = 98 * mel_products(vggish.mel_weights())
    convs = 9 * (
        96 * 64 * 1 * 8
        + 48 * 32 * 8 * 16
        + 24 * 16 * (16 * 32 + 32 * 32)
        + 12 * 8 * (32 * 64 + 64 * 64)
    )
    assert by_name == {
        "branch_1": log_mel + convs,
        "embedding": 64 * 128,
        "category": 128 * 3,
        "event": 128 * 7,
    }
    assert summary.total.multiply_adds == log_mel + convs + 128 * (64 + 3 + 7)


def test_multiply_adds_of_the_small_network_counted_by_hand() -> None:
    # 1.9 s are 190 frames, all of which go through its blocks.
    summary = summarise(small(cbir_4, backbone="compact"), 1.9)
    by_name = {part.name: part.multiply_adds for part in summary.parts}
    pair = 2 * 9
    convs = (
        25 * 95 * 32 * 1 * 16
        + 48 * 16 * (9 * 16 * 32 + pair * 32 * 32)
        + 24 * 8 * (9 * 32 * 64 + pair * 64 * 64)
        + 12 * 4 * (9 * 64 * 128 + 2 * pair * 128 * 128)
    )
    assert by_name["branch_1"] == 190 * mel_products(vggish.mel_weights()) + convs


def test_multiply_adds_of_the_second_branch_counted_by_hand() -> None:
    summary = summarise(small(cbir_2, backbone="vggish", adapters=(4,)), 1.0)
    by_name = {part.name: part.multiply_adds for part in summary.parts}
    assert by_name["front_end_2"] == 98 * mel_products(vggish.mel_weights())
    assert "decimate" not in by_name  # both branches take 16 kHz
    convs = 9 * (
        96 * 64 * 1 * 8
        + 48 * 32 * 8 * 16
        + 24 * 16 * (16 * 32 + 32 * 32)
        + 12 * 8 * (32 * 64 + 64 * 64)
        + 6 * 4 * (128 * 64 + 64 * 64)
    )
    assert by_name["branch_2"] == convs + 6 * 4 * 512 * 64
    assert by_name["pooling"] == 6 * 4 * 2 * 256 * (512 + 64)


def test_a_longer_clip_costs_more() -> None:
    system = small()
    short, long = summarise(system, 1.0), summarise(system, 2.0)
    assert 1.9 < long.total.multiply_adds / short.total.multiply_adds < 2.1
    assert long.total.parameters == short.total.parameters


def test_mn04_costs_what_its_authors_say() -> None:
    # 0.11 G for 10 s; the log-mel's products, twice for each bin, come on top.
    summary = summarise(small(cbir_4, backbone="mn04"), 10.0)
    network = {part.name: part for part in summary.parts}["branch_1"].multiply_adds
    log_mel = 1_000 * 2 * mel_products(efficientat.mel_weights())
    assert (network - log_mel) / 1e9 == pytest.approx(0.11, abs=0.005)


@pytest.mark.parametrize("mode", [True, False])
def test_the_system_is_left_as_it_was(mode: bool) -> None:
    system = small().train(mode)
    before = {name: tensor.clone() for name, tensor in system.state_dict().items()}
    modes = [layer.training for layer in system.modules()]
    summarise(system, 1.0)
    assert [layer.training for layer in system.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in system.state_dict().items())


def test_the_printed_table() -> None:
    summary = Summary(
        (Part("branch_1", 1_234_567, 1_234_567, 98_765_432), Part("category", 645, 0, 640)), 5.0
    )
    assert str(summary).splitlines() == [
        "part              parameters        frozen     multiply-adds",
        "branch_1           1,234,567     1,234,567            98.8 M",
        "category                 645             0             0.0 M",
        "total              1,235,212     1,234,567            98.8 M",
        "multiply-adds are those of one clip of 5 s, Fourier transforms left out",
    ]


def test_the_printed_table_fits_a_terminal() -> None:
    huge = Summary((Part("front_end_2", 10**9, 10**9, 10**15),), 59.97)
    assert (
        max(map(len, [*str(huge).splitlines(), *str(summarise(small(), 1.0)).splitlines()])) <= 80
    )
