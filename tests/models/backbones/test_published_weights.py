"""Files of weights into backbones: one with the public names, and the real ones where they are."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sonotype.core.errors import WeightsError
from sonotype.frontends.vggish_logmel import VGGishLogMel
from sonotype.modelfile.pretrained import load_backbone, read_state_dict
from sonotype.modelfile.weights_registry import WEIGHTS
from sonotype.models.backbones.mobilenet import MobileNet
from sonotype.models.backbones.vggish import VGGish

FILE = "vggish-10086976.pth"
CONVS = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
DENSE = {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}


def public_state() -> dict[str, Tensor]:
    """Random numbers under the public names, in the public shapes."""
    generator = torch.manual_seed(0)
    state = {}
    for layer, (after, before) in CONVS.items():
        state[f"features.{layer}.weight"] = torch.randn(after, before, 3, 3, generator=generator)
        state[f"features.{layer}.bias"] = torch.randn(after, generator=generator)
    for layer, (after, before) in DENSE.items():
        # One number, seen as a matrix: the shape of 51 million without their 205 MB.
        state[f"embeddings.{layer}.weight"] = torch.zeros(1).expand(after, before)
        state[f"embeddings.{layer}.bias"] = torch.zeros(after)
    return state


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(tmp_path))
    return tmp_path


def publish(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the registry take a file for the published one of that name."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entries = tuple(
        replace(one, size=None, sha256=digest[:8]) if one.name == name else one for one in WEIGHTS
    )
    monkeypatch.setattr("sonotype.modelfile.weights_registry.WEIGHTS", entries)


def test_a_file_with_the_public_names_is_loaded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = public_state()
    torch.save(state, folder / FILE)
    publish(folder / FILE, "vggish", monkeypatch)
    network = load_backbone("vggish")
    assert isinstance(network, VGGish)
    convs = [layer for block in network.blocks for layer in block if hasattr(layer, "weight")]
    for layer, number in zip(convs, CONVS, strict=True):
        assert torch.equal(layer.weight, state[f"features.{number}.weight"])
        assert torch.equal(layer.bias, state[f"features.{number}.bias"])


def test_a_file_that_is_not_the_published_one_is_refused(folder: Path) -> None:
    torch.save(public_state(), folder / FILE)
    digest = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    with pytest.raises(WeightsError) as caught:
        load_backbone("vggish")
    address = f"https://github.com/harritaylor/torchvggish/releases/download/v0.1/{FILE}"
    for fact in (str(folder / FILE), "SONOTYPE_WEIGHTS", digest, "10086976", address):
        assert fact in str(caught.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"features.13.bias": None}, 'Missing key(s) in state_dict: "blocks.3.2.bias".'),
        ({"features.15.bias": (1,)}, 'Unexpected key(s) in state_dict: "features.15.bias".'),
        ({"features.0.bias": (65,)}, "size mismatch for blocks.0.0.bias: copying a param with"),
    ],
    ids=["missing", "extra", "shape"],
)
def test_a_file_of_another_network_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, tuple[int] | None],
    complaint: str,
) -> None:
    state = public_state()
    for name, shape in change.items():
        if shape is None:
            del state[name]
        else:
            state[name] = torch.zeros(shape)
    torch.save(state, folder / FILE)
    publish(folder / FILE, "vggish", monkeypatch)
    with pytest.raises(WeightsError) as caught:
        load_backbone("vggish")
    prefix = f"{folder / FILE} does not hold the weights of vggish: "
    assert str(caught.value).startswith(f"{prefix}Error(s) in loading state_dict for VGGish: ")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mn04_from_a_folder(assets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(assets / "weights"))
    network = load_backbone("mn04")
    assert isinstance(network, MobileNet)
    expected = MobileNet.rename(read_state_dict(assets / "weights" / "mn04_as_mAP_432.pt"))
    state = network.state_dict()
    assert set(state) == set(expected)
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def real_vggish() -> Path:
    """The published file, from the folder of weights or of test assets."""
    for variable, below in (("SONOTYPE_WEIGHTS", ""), ("SONOTYPE_TEST_ASSETS", "weights")):
        folder = os.environ.get(variable)
        if folder and (Path(folder) / below / FILE).is_file():
            return Path(folder) / below / FILE
    pytest.skip(f"{FILE} is neither in SONOTYPE_WEIGHTS nor in SONOTYPE_TEST_ASSETS/weights")


@torch.no_grad()
def test_the_real_vggish_hears_a_sine_as_the_original_does(monkeypatch: pytest.MonkeyPatch) -> None:
    path = real_vggish()
    monkeypatch.setenv("SONOTYPE_WEIGHTS", str(path.parent))
    network = load_backbone("vggish")
    sine = torch.sin(2 * torch.pi * 1_000 * torch.arange(3 * 16_000) / 16_000)
    log_mel = VGGishLogMel()(sine)
    x = log_mel[:288].reshape(3, 1, 96, 64)  # the original takes patches one by one
    for block in network.blocks:
        x = block(x)
    x = x.permute(0, 2, 3, 1).flatten(1)  # time, frequency, channels
    dense = read_state_dict(path)
    for layer in (0, 2, 4):
        x = F.linear(x, dense[f"embeddings.{layer}.weight"], dense[f"embeddings.{layer}.bias"])
        x = x if layer == 4 else x.relu()
    embeddings = x.numpy()
    assert embeddings.shape == (3, 128)
    assert np.mean(embeddings) == pytest.approx(0.000657, rel=0.1)
    assert np.std(embeddings) == pytest.approx(0.343, rel=0.1)
