"""Every entry of a header is checked: a wrong entry is a ``ModelFileError`` that names it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_models import HEADS, write_model

from sonotype.config import SystemOptions
from sonotype.core.errors import ModelFileError
from sonotype.inference.load import load
from sonotype.modelfile.card import FORMAT_VERSION, card_of
from sonotype.modelfile.model_file import load_model, read_card

GONE = object()
WRONG: list[Any] = [
    GONE, None, True, False, -1, 0, 1, 3, 1.5, 10**400, float("nan"), float("inf"), "", "x", "head",
    [], {}, ["x"], ["x", "x"], [1], [True], [1.5], [None], [[0]], [0, 0, 1, 2], [0, 0, 1, -1],
    [0, 0, 1, True], [0, 0, 1, 1, 1], {"x": 1}, {"x": "y"}, [{}],
]  # fmt: skip
NESTED = ("options", "labels", "training")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = {"training": {"clips": {"train": 8}, "split": {}, "teaching": {}, "data": "tones"}}
    return write_model(tmp_path_factory.mktemp("card") / "model.safetensors", card=card)


def document_in(model: Path) -> dict[str, Any]:
    with safe_open(model, framework="pt") as file:
        values: dict[str, Any] = json.loads(file.metadata()["sonotype"])
    return values


def changed(values: dict[str, Any], place: tuple[str, ...], value: Any) -> dict[str, Any]:
    values = copy.deepcopy(values)
    inner = values
    for name in place[:-1]:
        inner = inner[name]
    if value is GONE:
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = value
    return values


def places(values: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        yield (name,)
        if name in NESTED:
            yield from ((name, inner) for inner in value)
    yield ("colour",)
    yield from ((name, "colour") for name in NESTED)


def rewritten(model: Path, document: str, path: Path) -> Path:
    """The model with another document and the digest that goes with it."""
    with safe_open(model, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.numpy().tobytes())
    save_file(tensors, path, {"sonotype": document, "sha256": digest.hexdigest()})
    return path


def accepted(model: Path) -> dict[tuple[SystemOptions, Labels, int], str]:
    """Wrong documents that are no error by themselves, by what the network is built from."""
    found: dict[tuple[SystemOptions, Labels, int], str] = {}
    values = document_in(model)
    for place in places(values):
        for value in WRONG:
            document = json.dumps(changed(values, place, value))
            try:
                card = card_of(document, "m")
            except ModelFileError as error:
                assert str(error).startswith("m: ")
                assert len(str(error)) < 1_000
            else:
                found.setdefault((card.options, card.heads, card.sample_rate), document)
    return found


def test_a_changed_header_is_refused_or_the_model_works(model: Path, tmp_path: Path) -> None:
    """A model whose card is accepted either predicts or is refused."""
    path, worked, refused = tmp_path / "m.safetensors", 0, 0
    for (options, labels, _), document in accepted(model).items():
        if options.width >= 1 or options.seconds > 2:
            continue  # as any other, but slow
        rewritten(model, document, path)
        assert read_card(path).labels == labels
        try:
            answer = load(path).predict(torch.zeros(16_000).numpy(), 16_000)
        except ModelFileError as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
        else:
            assert abs(sum(answer.category_probabilities.values()) - 1) < 1e-5
            worked += 1
    assert worked > 5
    assert refused > 2


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("labels", 5, "labels is 5, must be an object"),
        ("labels.categories", "ab", 'categories is "ab", must be a list'),
        ("labels.categories", [], "categories is empty"),
        ("labels.categories", ["a", 1], "categories has 1, which is not a string"),
        ("labels.categories", ["a", "a"], 'categories has "a" twice'),
        ("labels.categories", GONE, "categories"),
        ("labels.events", ["hum"] * 4, 'events has "hum" twice'),
        ("labels.events", ["a", "b"], "event_category has 4 entries for 2 events"),
        ("labels.event_category", [0, 1], "event_category has 2 entries for 4 events"),
        ("labels.event_category", GONE, "event_category has 0 entries for 4 events"),
        (
            "labels.event_category",
            [0, 0, 1, 2],
            "event_category has 2, must be an index from 0 to 1",
        ),
        (
            "labels.event_category",
            [0, 0, 1, -1],
            "event_category has -1, must be an index from 0 to 1",
        ),
        (
            "labels.event_category",
            [0, 0, 1, True],
            "event_category has true, must be an index from 0",
        ),
        (
            "labels.event_category",
            [0, 0, 1, 1.0],
            "event_category has 1.0, must be an index from 0",
        ),
        ("sample_rate", 44_100, "sample_rate is 44100, must be a multiple of 16000 up to 192000"),
        ("sample_rate", "16000", 'sample_rate is "16000", must be a multiple of 16000'),
        ("sample_rate", 16_000.0, "sample_rate is 16000.0, must be a multiple of 16000"),
        ("front_ends", "VGGishLogMel", 'front_ends is "VGGishLogMel", must be a list'),
        ("front_ends", [1], "front_ends has 1, which is not a string"),
        ("tta_shifts", True, "tta_shifts must be of type int, got True"),
        ("options", [], "options is [], must be an object"),
        ("options.width", 10**400, "width must be at most 4, got 1"),
        ("options.seconds", True, "seconds must be of type float, got True"),
        ("options.adapters", 4, "adapters must be a list, got 4"),
        ("training", [], "training is [], must be an object"),
        ("training.split", "x", 'training.split is "x", must be an object'),
        ("scores", None, "scores is null, must be an object"),
        ("licences", {"data": 1}, "licences has 1, which is not a string"),
        (
            "format_version",
            True,
            f"format_version is true, must be an integer from 1 to {FORMAT_VERSION}",
        ),
        (
            "format_version",
            "2",
            f'format_version is "2", must be an integer from 1 to {FORMAT_VERSION}',
        ),
        (
            "format_version",
            0,
            f"format_version is 0, must be an integer from 1 to {FORMAT_VERSION}",
        ),
    ],
)
def test_a_wrong_entry_is_named(
    model: Path, tmp_path: Path, place: str, value: Any, reason: str
) -> None:
    document = json.dumps(changed(document_in(model), tuple(place.split(".")), value))
    path = rewritten(model, document, tmp_path / "m.safetensors")
    for reader in (read_card, load_model, load):
        with pytest.raises(ModelFileError) as caught:
            reader(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: the header does not describe a model (")
        assert reason in text


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("labels.categories", ["a", "b", "c"], "the weights do not fit the header ("),
        ("options.backbone", "mn03", "the header does not describe a model (backbone is 'mn03'"),
        ("options.pool_blocks", [4, 4], "the header does not describe a model (pool_blocks is"),
        (
            "sample_rate",
            32_000,
            (
                "the header does not describe a model (sample_rate is 32000, but the network takes "
                "16000 Hz)"
            ),
        ),
    ],
)
def test_a_header_that_does_not_fit_the_network(
    model: Path, tmp_path: Path, place: str, value: Any, reason: str
) -> None:
    document = json.dumps(changed(document_in(model), tuple(place.split(".")), value))
    path = rewritten(model, document, tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


@pytest.mark.parametrize("document", ["[" * 100_000, "5", "[]", '"x"', "null", "{", "1" * 5_000])
def test_a_document_that_is_no_object(document: str) -> None:
    with pytest.raises(ModelFileError, match="the header is no readable description of a model"):
        card_of(document, "m")


def test_the_labels_that_were_written_are_read(model: Path) -> None:
    assert read_card(model).labels == HEADS
