from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from sonotype.models.backbones.compact import Compact
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.backbones.vggish import VGGish
from sonotype.models.branch import TrainedBranch
from sonotype.models.build import cbir_2, cbir_4
from sonotype.models.fold_batch_norm import FusedBlocks, fuse_batch_norm
from sonotype.models.summary import summarise
from sonotype.models.system import System

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def trained_norms(module: nn.Module) -> nn.Module:
    """The module in evaluation mode, with the batch-norm statistics of a trained module."""
    generator = torch.manual_seed(5)
    for one in module.modules():
        if isinstance(one, NORMS):
            size = one.num_features
            one.running_mean.copy_(0.3 * torch.randn(size, generator=generator))
            one.running_var.copy_(0.5 + torch.rand(size, generator=generator))
            with torch.no_grad():
                one.weight.copy_(0.5 + torch.rand(size, generator=generator))
                one.bias.copy_(0.3 * torch.randn(size, generator=generator))
    return module.eval()


def norms(module: nn.Module) -> int:
    return sum(isinstance(one, NORMS) for one in module.modules())


def waveform(rate: int) -> Tensor:
    return 0.1 * torch.randn(2, rate, generator=torch.manual_seed(1))


def system(backbone: str = "mn01", width: float = 0.125, **options: object) -> System:
    torch.manual_seed(0)
    made = cbir_2(categories=3, events=7, backbone=backbone, width=width, **options)
    return trained_norms(made)


@pytest.mark.parametrize(
    "make",
    [Compact, lambda: VGGish(width=0.125), lambda: MobileNet(width=0.1)],
    ids=["compact", "vggish", "mobilenet"],
)
@torch.no_grad()
def test_a_backbone_gives_the_same_maps_without_its_batch_norms(
    make: Callable[[], nn.Module],
) -> None:
    torch.manual_seed(0)
    network = trained_norms(make())
    fused = fuse_batch_norm(network)
    assert norms(fused) == 0
    x = waveform(network.sample_rate)
    for one, other in zip(fused(x), network(x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_trained_branch_gives_the_same_map() -> None:
    torch.manual_seed(0)
    branch = trained_norms(TrainedBranch(width=0.125, lateral={4: 8}))
    fused = fuse_batch_norm(branch)
    assert (norms(branch), norms(fused)) == (2, 0)
    x, lateral = torch.randn(2, 1, 96, 64), {4: torch.randn(2, 8, 5, 3)}
    torch.testing.assert_close(fused(x, lateral), branch(x, lateral), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["attention", "mean", "max", "attention_mean"])
@torch.no_grad()
def test_a_system_gives_the_same_answers(pooling: str) -> None:
    network = system(pooling=pooling)
    fused = fuse_batch_norm(network)
    # Those that follow a weighted sum of positions have no layer to be folded into.
    assert norms(fused) == norms(network.pooling)
    x = waveform(network.sample_rate)
    torch.testing.assert_close(tuple(fused(x)), tuple(network(x)), rtol=1e-5, atol=1e-5)


def test_the_copy_learns_nothing_and_the_original_is_as_it_was() -> None:
    network = system()
    network.train()
    before = copy.deepcopy(network.state_dict())
    fused = fuse_batch_norm(network)
    assert (fused.training, network.training) == (False, True)
    assert not any(one.requires_grad for one in fused.parameters())
    assert any(one.requires_grad for one in network.parameters())
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_batch_norm_without_statistics_of_its_own_stays() -> None:
    layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False))
    assert norms(fuse_batch_norm(layers)) == 1


def unfolded_maps(network: System, x: Tensor) -> dict[str, Tensor]:
    """Reference: the blocks themselves."""
    return network.feature_maps(network.log_mels(x), folded=False)


@pytest.mark.parametrize("options", [{}, {"unfreeze_from": 3}, {"pool_blocks": (1, 2, 4)}])
def test_the_frozen_part_runs_fused_and_gives_the_same_maps(options: dict[str, object]) -> None:
    network = system(**options)
    x = waveform(network.sample_rate)
    wanted, found = unfolded_maps(network, x), network.frozen_part(x)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)
    copies = network._fused.of(network.frozen_blocks())
    assert sum(map(norms, copies)) == 0


def test_the_fused_blocks_are_no_part_of_the_system() -> None:
    network, fresh = system(), system()
    network.frozen_part(waveform(network.sample_rate))
    assert list(network.state_dict()) == list(fresh.state_dict())
    assert len(list(network.modules())) == len(list(fresh.modules()))
    assert summarise(network, 1.0) == summarise(fresh, 1.0)


def changed_by_load(network: System) -> System:
    other = trained_norms(cbir_2(categories=3, events=7, backbone="mn01", width=0.125))
    network.load_state_dict(other.state_dict())
    return network


@torch.no_grad()
def changed_in_place(network: System) -> System:
    next(network.branch_1.blocks[1].parameters()).mul_(1.5)
    return network


def changed_statistics(network: System) -> System:
    norm = next(one for one in network.branch_1.modules() if isinstance(one, nn.BatchNorm2d))
    norm.running_mean.add_(1)
    return network


def changed_copy(network: System) -> System:
    return changed_in_place(copy.deepcopy(network))


@pytest.mark.parametrize(
    "change",
    [
        changed_by_load,
        changed_in_place,
        changed_statistics,
        changed_copy,
        lambda network: network.double(),
        System.channels_last,
    ],
    ids=["load", "in place", "statistics", "copy", "double", "channels_last"],
)
def test_a_change_of_the_weights_is_noticed(change: Callable[[System], System]) -> None:
    network = system()
    x = waveform(network.sample_rate)
    network.frozen_part(x)
    network = change(network)
    x = x.to(next(network.parameters()).dtype)
    for name, value in unfolded_maps(network, x).items():
        torch.testing.assert_close(network.frozen_part(x)[name], value, rtol=1e-5, atol=1e-5)


def test_copies_are_made_once_and_also_while_inferring() -> None:
    network = system()
    with torch.inference_mode():
        first = network._fused.of(network.frozen_blocks())
    assert network._fused.of(network.frozen_blocks()) is first
    assert not any(one.is_inference() for block in first for one in block.parameters())


def test_copying_and_pickling_leave_the_copies_behind() -> None:
    blocks = FusedBlocks()
    blocks.of(system().frozen_blocks())
    for copied in (copy.deepcopy(blocks), pickle.loads(pickle.dumps(blocks))):
        assert copied._made is None


def test_where_nothing_is_to_be_folded_the_blocks_themselves_run() -> None:
    for network in (fuse_batch_norm(system()), cbir_4(categories=3, backbone="vggish")):
        blocks = network.frozen_blocks()
        assert network._fused.of(blocks) is blocks


def test_a_system_with_fused_blocks_can_be_exported() -> None:
    network = fuse_batch_norm(system("compact"))
    x = waveform(network.sample_rate)
    log_mels = tuple(network.log_mels(x))

    class FromLogMel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *log_mels: Tensor) -> Tensor:
            return self.network.trained_part(self.network.feature_maps(log_mels)).logits["category"]

    exported = torch.export.export(FromLogMel(), log_mels).module()
    torch.testing.assert_close(
        exported(*log_mels), network(x).logits["category"], rtol=1e-5, atol=1e-5
    )
