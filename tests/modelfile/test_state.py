from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sonotype.core.errors import WeightsError
from sonotype.modelfile.state import read_state_dict
from sonotype.modelfile.weights_registry import entry

STATE = {"layer.weight": torch.arange(3000.0), "layer.bias": torch.tensor([1, 2])}


class Harmful:
    """Says so when a careless reader builds it."""

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
    start, end = f"{path} cannot be read as weights: ", "; put a good copy in its place"
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


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.pt").touch()
    assert refusal(tmp_path / "a.pt") == "it is empty"


@pytest.mark.parametrize("kept", [4, 5, 30, 100, 1000, 10_000, -1])
def test_a_truncated_file(tmp_path: Path, kept: int) -> None:
    path = save(tmp_path / "a.pt", STATE)
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(path) in {"it is truncated", "it is truncated or damaged (OSError)"}


@pytest.mark.parametrize("kept", [15, 16, 30, 100, 1000, 10_000, -1])
def test_a_truncated_file_in_the_old_format(tmp_path: Path, kept: int) -> None:
    path = save(tmp_path / "a.pt", STATE, legacy=True)
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(path).startswith("it is truncated or damaged (")


@pytest.mark.parametrize(
    "content", [b"not weights\n", b"<!DOCTYPE html><html></html>", b"RIFF\0\0\0\0WAVE", b"\x80"]
)
def test_another_kind_of_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    assert refusal(tmp_path / "a.pt") == "it is not a file written by torch.save"


def test_another_zip_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refusal(tmp_path / "a.pt") == "it is truncated or damaged (RuntimeError)"


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
    ("content", "cause"),
    [
        ([torch.zeros(1)], "it holds a list instead of a dict of tensors"),
        (torch.zeros(1), "it holds a Tensor instead of a dict of tensors"),
        (
            {"epoch": 3, "state_dict": STATE},
            "it is not a flat dict of tensors, 'epoch' is a int",
        ),
        (
            {"weight": torch.zeros(1), "more": {"bias": torch.zeros(1)}},
            "it is not a flat dict of tensors, 'more' is a dict",
        ),
        ({0: torch.zeros(1)}, "it is not a flat dict of tensors, 0 is a Tensor"),
        ({}, "it holds no tensors"),
    ],
)
def test_something_other_than_a_flat_dict(tmp_path: Path, content: object, cause: str) -> None:
    assert refusal(save(tmp_path / "a.pt", content)) == cause


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
