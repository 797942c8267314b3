"""The speed report, and the number of threads that is tried out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from training_data import SMALL, write_tones

from sonotype.experiments.pipeline import train
from sonotype.models.build import cbir_2
from sonotype.models.system import System
from sonotype.training import trainer as fit_room
from sonotype.training.probe import fewer_threads, training_step
from sonotype.training.speed import Speed, SpeedMeter, matmul_peak, step_multiply_adds


def system(**options: object) -> System:
    torch.manual_seed(0)
    return cbir_2(**{"categories": 3, "events": 7, "backbone": "mn01", "width": 0} | options)


def stage_of(one: System, clips: int = 2) -> dict[str, Tensor]:
    generator = torch.manual_seed(1)
    return one.frozen_part(0.1 * torch.randn(clips, one.sample_rate, generator=generator))


def test_multiply_adds_of_a_step_by_hand() -> None:
    """One frozen map, its mean, then linear layers: each costs its size forward and backward."""
    one = system(pooling="mean")
    channels, wide = one.branch_1.channels[3], 256
    heads = 128 * (3 + 7)
    # Forward, the gradient of the weights, and that of the input, which the first layer's map needs
    # not: it comes from what is frozen.
    wanted = 2 * channels * wide + 3 * (wide * 128 + heads)
    assert step_multiply_adds(one, stage_of(one)) == wanted


def test_what_is_frozen_counts_once_and_only_where_it_is_computed() -> None:
    one = system(width=0.125)
    cached = step_multiply_adds(one, stage_of(one, clips=1))
    from_sound = step_multiply_adds(one, None, seconds=1.0)
    assert cached < from_sound
    thawed = system(width=0.125, unfreeze_from=4)
    assert step_multiply_adds(thawed, stage_of(thawed)) > cached


def test_counting_and_trying_change_nothing() -> None:
    one = system(width=0.125, dropout=0.5)
    before = {name: x.clone() for name, x in one.state_dict().items()}
    drawn = torch.get_rng_state()
    step_multiply_adds(one, None, seconds=1.0)
    feature_maps = stage_of(one)
    torch.set_rng_state(drawn)
    training_step(one, feature_maps)()
    assert torch.equal(torch.get_rng_state(), drawn)
    for name, x in one.state_dict().items():
        assert torch.equal(x, before[name]), name
    assert all(x.grad is None for x in one.parameters())


def test_no_gradient_of_what_is_frozen_is_computed() -> None:
    """Neither the log-mel nor a lateral map takes one, so neither do the layers that read them."""
    one = system(width=0.125)
    feature_maps = stage_of(one)
    assert not any(x.requires_grad for x in feature_maps.values())
    one.train().trained_part(feature_maps).category.sum().backward()
    assert all(x.grad is None for x in feature_maps.values())
    assert all(x.grad is None for x in one.branch_1.parameters())
    assert one.branch_2 is not None
    assert one.branch_2.adapters["4"].conv.weight.grad.shape[1] == one.branch_1.channels[3]


def test_the_peak_is_the_best_of_several_products() -> None:
    size, rates = 1024, []
    one = torch.ones(size, size)
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(one, one)
        rates.append(2 * size**3 / (time.perf_counter() - start))
    # The same within what another process may take in the meantime.
    assert max(rates) / 20 < matmul_peak(torch.device("cpu"), 0.1) < max(rates) * 20


def test_what_is_said(tmp_path: Path) -> None:
    speed = Speed(3000, 2.0, 25_000_000, 75.0, 200.0, 2)
    assert str(speed) == (
        "1,500 clips a second in training, 25.0 million multiply-adds each: 75.0 GFLOP/s, 38% of "
        "the 200 that matrix products reach here"
    )
    speed.write(tmp_path / "speed.json")
    assert Speed(**json.loads((tmp_path / "speed.json").read_text())) == speed


def test_an_epoch_that_is_broken_off_counts_neither_its_clips_nor_its_time() -> None:
    meter, trainer = SpeedMeter(), SimpleNamespace(num_training_batches=3)
    one = SimpleNamespace(device=torch.device("cpu"))
    for batches in (3, 2):
        meter.on_train_epoch_start()
        for index in range(batches):
            meter.on_train_batch_end(trainer, one, None, {"category": [0] * 4}, index)  # type: ignore[arg-type]
    assert meter.clips == 12
    before = meter.seconds
    meter.on_train_epoch_start()
    assert meter.seconds == before > 0


def test_threads_are_as_before_when_a_step_fails() -> None:
    def failing() -> None:
        torch.set_num_threads(1)
        raise RuntimeError("no memory")

    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="no memory"):
        fewer_threads(failing, before)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("cache", [True, False])
def test_a_run_tells_its_speed(tmp_path: Path, cache: bool) -> None:
    tones = write_tones(tmp_path / "tones")
    said: list[str] = []
    train(tones, tmp_path / "run", on_message=said.append, **SMALL | {"cache": cache})
    found = json.loads((tmp_path / "run/training/speed.json").read_text())
    split = (tmp_path / "run/split.csv").read_text().splitlines()
    clips = sum(line.startswith("train") for line in split)
    # Three epochs; a last batch of one clip is left out of each.
    assert found["clips"] == 3 * (clips - (clips % 4 == 1))
    rate = 2 * found["multiply_adds"] * found["clips"] / found["seconds"] / 1e9
    assert found["gflops"] == pytest.approx(rate)
    assert found["threads"] == torch.get_num_threads()
    assert sum("GFLOP/s" in line for line in said) == 1


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine of eight threads, and which numbers of them were set."""
    set_to = [8]
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: set_to[-1])
    return set_to


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({8: 0.030, 4: 0.031, 2: 0.05, 1: 0.1}, 8),
        ({8: 0.030, 4: 0.028, 2: 0.01, 1: 0.01}, 8),  # no great gain at first: not gone on
        ({8: 0.030, 4: 0.020, 2: 0.019, 1: 0.01}, 4),
        ({8: 0.030, 4: 0.020, 2: 0.010, 1: 0.005}, 1),
        ({8: 0.400, 4: 0.100, 2: 0.100, 1: 0.1}, 8),  # too long to be tried
    ],
)
def test_fewer_threads_where_they_are_faster(
    monkeypatch: pytest.MonkeyPatch, threads: list[int], seconds: dict[int, float], best: int
) -> None:
    monkeypatch.setattr("sonotype.training.probe._timed", lambda _: seconds[threads[-1]])
    assert fewer_threads(lambda: None, 8) == best
    assert threads[-1] == 8


def test_a_resumed_training_takes_the_threads_of_the_first_sitting(
    monkeypatch: pytest.MonkeyPatch, threads: list[int], tmp_path: Path
) -> None:
    one = system()
    feature_maps = stage_of(one)
    asked: list[int] = []

    def chosen(_: Callable[[], None], count: int) -> int:
        asked.append(count)
        return 2

    monkeypatch.setattr(fit_room, "fewer_threads", chosen)
    said: list[str] = []
    for _ in range(2):
        with fit_room._threads_for(one, feature_maps, torch.device("cpu"), tmp_path, said.append):
            assert threads[-1] == 2
        assert threads[-1] == 8
    assert (asked, said) == ([8], ["a step is fastest with 2 of 8 threads"] * 2)
    with fit_room._threads_for(one, None, torch.device("cpu"), tmp_path / "new", said.append):
        assert threads[-1] == 8, "nothing to try where maps are not cached"
