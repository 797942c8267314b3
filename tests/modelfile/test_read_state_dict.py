from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sonotype.core.errors import WeightsError
from sonotype.modelfile.pretrained import read_state_dict
from sonotype.modelfile.weights_registry import entry

STATE = {"layer.weight": torch.arange(3000.0), "layer.bias": torch.tensor([1, 2])}


class Harmful:
    """Records whether a reader builds it."""

    built = False

    def __setstate__(self, _: object) -> None:
        Harmful.built = True


def save(path: Path, content: object, *, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        read_state_dict(path)
    text = str(caught.value)
    start, end = f"{path} cannot be read as weights: ", "; replace it by a good copy"
    assert text.startswith(start)
    assert text.endswith(end)
    assert "\n" not in text
    return text.removeprefix(start).removesuffix(end)


@pytest.mark.parametrize("legacy", [False, True])
def test_reads_both_formats(tmp_path: Path, legacy: bool) -> None:
    read = read_state_dict(save(tmp_path / "a.pt", STATE, legacy=legacy))
    assert list(read) == list(STATE)
    for name, tensor in STATE.items():
        torch.testing.assert_close(read[name], tensor, rtol=0, atol=0)


def test_reads_the_state_of_a_module(tmp_path: Path) -> None:
    read = read_state_dict(save(tmp_path / "a.pt", torch.nn.Linear(2, 3).state_dict()))
    assert {name: tuple(tensor.shape) for name, tensor in read.items()} == {
        "weight": (3, 2),
        "bias": (3,),
    }


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.pt") == "No such file or directory"


FOREIGN = "torch.save did not write it, or it is damaged ("


@pytest.mark.parametrize("kept", [4, 5, 30, 100, 1000, 10_000, -1])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_truncated_file(tmp_path: Path, kept: int, legacy: bool) -> None:
    path = save(tmp_path / "a.pt", STATE, legacy=legacy)
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(path).startswith(FOREIGN)


@pytest.mark.parametrize(
    "content",
    [b"", b"not weights\n", b"<!DOCTYPE html><html></html>", b"RIFF\0\0\0\0WAVE", b"\x80"],
)
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    assert refusal(tmp_path / "a.pt").startswith(FOREIGN)


def test_another_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refusal(tmp_path / "a.pt").startswith(FOREIGN)


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_are_refused_and_never_built(tmp_path: Path, legacy: bool) -> None:
    harmful = Harmful()
    harmful.content = 1  # type: ignore[attr-defined]
    path = save(tmp_path / "a.pt", {"weight": torch.zeros(1), "x": harmful}, legacy=legacy)
    assert refusal(path) == (
        f"it holds objects other than tensors ({Harmful.__module__}.Harmful), which could run code"
    )
    assert not Harmful.built


@pytest.mark.parametrize(
    "content",
    [
        [torch.zeros(1)],
        torch.zeros(1),
        {"epoch": 3, "state_dict": STATE},
        {"weight": torch.zeros(1), "more": {"bias": torch.zeros(1)}},
        {0: torch.zeros(1)},
        {},
    ],
)
def test_something_other_than_a_flat_dict(tmp_path: Path, content: object) -> None:
    assert refusal(save(tmp_path / "a.pt", content)) == "it is not a flat dict of tensors"


def test_the_real_file(assets: Path) -> None:
    state = read_state_dict(assets / "weights" / entry("mn04").file)
    assert len(state) == 312
    assert tuple(state["features.0.0.weight"].shape) == (8, 1, 3, 3)
    trained = [
        tensor.numel()
        for name, tensor in state.items()
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    ]
    assert np.sum(trained) == entry("mn04").parameters
