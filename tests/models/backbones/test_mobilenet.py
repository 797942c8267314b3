from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sonotype.modelfile.pretrained import read_state_dict
from sonotype.models.backbones.mobilenet import MobileNet, SqueezeExcitation, make_divisible
from sonotype.models.backbones.names import MOBILENET_WIDTHS

PARAMETERS = {
    "mn01": 123_783,
    "mn02": 324_695,
    "mn04": 983_599,
    "mn05": 1_431_239,
    "mn10": 4_876_831,
    "mn20": 17_909_287,
    "mn30": 39_086_367,
    "mn40": 68_427_303,
}


@pytest.fixture(scope="module")
def public_state(assets: Path) -> dict[str, Tensor]:
    return read_state_dict(assets / "weights" / "mn04_as_mAP_432.pt")


@pytest.fixture(scope="module")
def mn04(public_state: dict[str, Tensor]) -> MobileNet:
    network = MobileNet(width=0.4, tagger=True)
    network.load_state_dict(MobileNet.rename(public_state, tagger=True))
    return network.eval()


def test_the_family_is_known() -> None:
    assert list(MOBILENET_WIDTHS) == list(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_each_member(name: str) -> None:
    with torch.device("meta"):
        network = MobileNet(width=MOBILENET_WIDTHS[name], tagger=True)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]
    assert (network.sample_rate, network.licence) == (32_000, "MIT")


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [(1.6, 8), (6.4, 8), (8, 8), (11, 16), (12, 16), (16.8, 16), (18, 24), (17.9, 24), (96, 96)],
)
def test_channels_are_rounded_to_eights_and_never_below_nine_tenths(
    channels: float, rounded: int
) -> None:
    assert make_divisible(channels) == rounded
    for count in np.arange(0.5, 200, 0.7):
        assert make_divisible(count) % 8 == 0
        assert make_divisible(count) >= max(8, 0.9 * count)


@torch.no_grad()
def test_blocks_end_where_the_stride_has_grown() -> None:
    torch.manual_seed(0)
    network = MobileNet(width=0.1).eval()
    assert network.channels == (8, 8, 16, 96)
    for samples, times in ((160_000, (125, 63, 32, 16)), (32_000, (25, 13, 7, 4))):
        waveform = torch.randn(2, samples)
        maps = network(waveform)
        bands = (32, 16, 8, 4)
        shapes = list(zip((2,) * 4, network.channels, times, bands, strict=True))
        assert [tuple(x.shape) for x in maps] == shapes
    x = network.prepare(network.front_end(waveform))
    for block, expected in zip(network.blocks, maps, strict=True):
        x = block(x)
        assert torch.equal(x, expected)


def test_rows_of_the_published_table() -> None:
    network = MobileNet(width=1.0)
    layers = [layer for block in network.blocks for layer in block]
    assert len(layers) == 17
    depthwise = [
        layer
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d) and layer.groups > 1
    ]  # fmt: skip
    kernels = [layer.kernel_size[0] for layer in depthwise]
    assert kernels == [3, 3, 3, 5, 5, 5, 3, 3, 3, 3, 3, 3, 5, 5, 5]
    assert [layer.stride[0] for layer in depthwise] == [1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1]
    expanded = [16, 64, 72, 72, 120, 120, 240, 200, 184, 184, 480, 672, 672, 960, 960]
    assert [layer.groups for layer in depthwise] == expanded
    squeezed = [
        any(isinstance(part, SqueezeExcitation) for part in layer.modules()) for layer in layers
    ]
    assert [number for number, found in enumerate(squeezed) if found] == [
        4,
        5,
        6,
        11,
        12,
        13,
        14,
        15,
    ]
    residual = [getattr(layer, "residual", False) for layer in layers]
    assert [number for number, adds in enumerate(residual) if adds] == [
        1,
        3,
        5,
        6,
        8,
        9,
        10,
        12,
        14,
        15,
    ]
    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


@torch.no_grad()
def test_squeeze_excitation_weighs_channels_by_a_sigmoid() -> None:
    torch.manual_seed(0)
    layer = SqueezeExcitation(64)
    assert layer.fc1.out_features == 16
    x = torch.randn(2, 64, 5, 3)
    hidden = np.maximum(
        x.mean((2, 3)).numpy() @ layer.fc1.weight.numpy().T + layer.fc1.bias.numpy(), 0
    )
    weight = 1 / (1 + np.exp(-(hidden @ layer.fc2.weight.numpy().T + layer.fc2.bias.numpy())))
    np.testing.assert_allclose(layer(x), x.numpy() * weight[:, :, None, None], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_equals_the_original(assets: Path, mn04: MobileNet) -> None:
    golden = np.load(assets / "golden" / "mn04.npz")
    waveform = torch.from_numpy(golden["waveform"])[None]
    assert golden["features"].shape == (384, 4, 16)  # frequency before time, ours the other way
    features = mn04(waveform)[-1][0].transpose(1, 2).numpy()
    np.testing.assert_allclose(features, golden["features"], rtol=0, atol=1e-3)
    logits = mn04.tag(waveform)[0].numpy()
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-3)


@torch.no_grad()
def test_the_network_alone_equals_the_original_more_closely(assets: Path, mn04: MobileNet) -> None:
    golden = np.load(assets / "golden" / "mn04.npz")
    x = mn04.prepare(torch.from_numpy(golden["log_mel"])[None])
    for block in mn04.blocks:
        x = block(x)
    np.testing.assert_allclose(x[0].transpose(1, 2), golden["features"], rtol=0, atol=1e-4)


def test_the_real_file_fits_strictly(public_state: dict[str, Tensor], mn04: MobileNet) -> None:
    renamed = MobileNet.rename(public_state, tagger=True)
    assert set(renamed) == set(mn04.state_dict())
    without = MobileNet.rename(public_state)
    assert set(without) == {name for name in renamed if not name.startswith("tagger.")}
    MobileNet(width=0.4).load_state_dict(without)


def test_kernels_are_turned(public_state: dict[str, Tensor], mn04: MobileNet) -> None:
    turned = mn04.state_dict()["blocks.0.0.0.weight"]
    assert torch.equal(turned, public_state["features.0.0.weight"].transpose(2, 3))
    assert not torch.equal(turned, public_state["features.0.0.weight"])


def test_a_strict_load_refuses_other_names(public_state: dict[str, Tensor]) -> None:
    network = MobileNet(width=0.4)
    name = "features.5.block.1.0.weight"
    tensor = public_state[name]
    rest = {key: value for key, value in public_state.items() if key != name}
    missing = r'Missing key\(s\) in state_dict: "blocks\.1\.1\.layers\.1\.0\.weight"'
    with pytest.raises(RuntimeError, match=missing):
        network.load_state_dict(MobileNet.rename(rest))
    for other in ("features.5.block.1.0.wait", "features.17.0.weight", "feature.5.weight"):
        with pytest.raises(RuntimeError, match=r"Unexpected key\(s\) in state_dict"):
            network.load_state_dict(MobileNet.rename({**public_state, other: tensor}))
        with pytest.raises(RuntimeError, match=missing):
            network.load_state_dict(MobileNet.rename({**rest, other: tensor}))


def test_a_strict_load_refuses_another_width(public_state: dict[str, Tensor]) -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        MobileNet(width=0.5).load_state_dict(MobileNet.rename(public_state))


def test_without_its_tagger_a_network_does_not_tag() -> None:
    with pytest.raises(ValueError, match=r"^this network was built without the tagger$"):
        MobileNet(width=0.1).tag(torch.zeros(1, 32_000))
