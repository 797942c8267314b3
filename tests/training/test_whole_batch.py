"""A batch that several processes share: parts, and a step that equals that of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from sonotype.config import TrainOptions, resolve
from sonotype.core.types import IGNORE_INDEX, Head
from sonotype.experiments.runner import processes
from sonotype.models.backbones.vggish import VGGish
from sonotype.models.build import cbir_2
from sonotype.models.system import System
from sonotype.training.dataset import EpochBatches
from sonotype.training.losses import label_loss
from sonotype.training.module import Learner
from sonotype.training.whole_batch import Part, WholeBatch, over_whole_batch

CLASSES = {"category": 2, "event": 4}
ROUNDING = 2e-3
"""Largest relative error of a gradient; measured: 1e-4 for 7 clips, 6e-4 for 2 clips, where batch
norm divides by small numbers."""


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 5, 17, 24])
def test_the_parts_are_the_batches_without_repeats(world: int, length: int) -> None:
    for batch in EpochBatches(length, 4, shuffle=True, seed=3):
        parts = [Part(rank, world) for rank in range(world)]
        own = [part.of(batch)[: part.count(len(batch))] for part in parts]
        assert sorted(key for keys in own for key in keys) == sorted(batch)
        assert sum(map(len, own)) == len(batch)


def test_a_process_without_rows_gets_one_for_the_network() -> None:
    part = Part(2, 3)
    assert part.count(2) == 0
    assert part.of([7, 8]) == [7]
    assert part.of(torch.tensor([7, 8])).tolist() == [7]


def system() -> System:
    torch.manual_seed(0)
    return cbir_2(
        categories=2, events=4, backbone=VGGish(width=0.05), width=0.02, pool_blocks=(3, 4),
        unfreeze_from=3, dropout=0.3,
    )  # fmt: skip


def step(size: int, batch: WholeBatch) -> dict[str, torch.Tensor]:
    """Gradients, running statistics and loss of a step on random clips, some without labels."""
    generator = torch.Generator().manual_seed(size)
    network = system()
    options = resolve(TrainOptions(recipe="modern", mixup=0.3), "cbir_2")
    heads = network_heads()
    learner = Learner(
        network, options, label_loss(heads, options, {"event": torch.tensor([1.0, 2, 3, 4])}),
        steps=1, from_scratch=True, batch=batch,
    )  # fmt: skip
    learner.log = lambda *_, **__: None  # type: ignore[assignment,method-assign]
    labels = {name: torch.randint(n, (size,), generator=generator) for name, n in CLASSES.items()}
    labels["event"][0] = IGNORE_INDEX
    waveform = torch.randn(size, 16_000, generator=generator)
    batch_in = {
        "feature_maps": network.frozen_part(batch.part.of(waveform)),
        "targets": labels,
        "files": [str(number) for number in range(size)],
    }
    torch.manual_seed(1)
    with over_whole_batch(network, batch):
        loss = learner.training_step(batch_in, 0)
        loss.backward()
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    for gradient in found.values() if batch.part.world > 1 else ():
        dist.all_reduce(gradient)  # what DistributedDataParallel does
        gradient /= batch.part.world
    running = {name: x for name, x in network.named_buffers() if "running" in name}
    return found | running | {"loss": loss.detach()}


def network_heads() -> tuple[Head, ...]:
    names = {name: tuple(f"{name} {n}" for n in range(count)) for name, count in CLASSES.items()}
    return tuple(Head(name, classes, "single") for name, classes in names.items())


def step_of_rank(rank: int, world: int, size: int, folder: str) -> None:
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    found = step(size, WholeBatch(Part(rank, world)))
    torch.save({name: x.contiguous() for name, x in found.items()}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(("world", "size"), [(2, 7), (3, 2)])
def test_a_step_of_several_processes_is_that_of_one(world: int, size: int, tmp_path: Path) -> None:
    arguments = [(rank, world, size, str(tmp_path)) for rank in range(world)]
    started = [processes().Process(target=step_of_rank, args=one) for one in arguments]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    expected = step(size, WholeBatch())
    # The gradient of a bias before batch norm is 0 but for rounding, so errors are relative to all.
    whole = sum(float(x.float().square().sum()) for x in expected.values()) ** 0.5
    for rank in range(world):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, x in expected.items():
            error = float((found[name] - x).float().norm())
            assert error <= ROUNDING * max(float(x.float().norm()), 0.01 * whole), name
