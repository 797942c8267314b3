"""Every entry of a header is checked: a wrong entry is a ``ModelFileError`` that names it."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from small_models import HEADS, write_model

from sonotype.config import SystemOptions
from sonotype.core.errors import ModelFileError
from sonotype.core.types import Head, Heads
from sonotype.inference.load import load
from sonotype.modelfile.card import FORMAT_VERSION, card_of
from sonotype.modelfile.model_file import load_model, read_card

GONE = object()
WRONG: list[Any] = [
    GONE, None, True, False, -1, 0, 1, 3, 1.5, 10**400, float("nan"), float("inf"), "", "x", "head",
    [], {}, ["x"], ["x", "x"], [1], [True], [1.5], [None], [[0]], [0, 0, 1, 2], [0, 0, 1, -1],
    [0, 0, 1, True], [0, 0, 1, 1, 1], {"x": 1}, {"x": "y"}, [{}], "type", "category", "multi",
]  # fmt: skip
Place = tuple[str | int, ...]
NESTED: tuple[Place, ...] = (("options",), ("heads", 0), ("heads", 1), ("training",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    card = {"training": {"clips": {"train": 8}, "split": {}, "teaching": {}, "data": "tones"}}
    return write_model(tmp_path_factory.mktemp("card") / "model.safetensors", card=card)


def document_in(model: Path) -> dict[str, Any]:
    with safe_open(model, framework="pt") as file:
        values: dict[str, Any] = json.loads(file.metadata()["sonotype"])
    return values


def inside(values: dict[str, Any], place: Place) -> Any:
    inner: Any = values
    for name in place:
        inner = inner[name]
    return inner


def changed(values: dict[str, Any], place: Place, value: Any) -> dict[str, Any]:
    values = copy.deepcopy(values)
    inner = inside(values, place[:-1])
    if value is GONE:
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = value
    return values


def places(values: dict[str, Any]) -> Iterator[Place]:
    for parent in ((), *NESTED):
        yield from ((*parent, name) for name in (*inside(values, parent), "colour"))


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


def accepted(model: Path) -> dict[tuple[SystemOptions, Heads, int], str]:
    """Wrong documents that are no error by themselves, by what the network is built from."""
    found: dict[tuple[SystemOptions, Heads, int], str] = {}
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
    for (options, heads, _), document in accepted(model).items():
        if options.width >= 1 or options.seconds > 2:
            continue  # as any other, but slow
        rewritten(model, document, path)
        assert read_card(path).heads == heads
        try:
            prediction = load(path).predict(torch.zeros(16_000).numpy(), 16_000)
        except ModelFileError as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
        else:
            for head in heads:
                total = sum(prediction.probabilities[head.name].values())
                assert head.problem == "multi" or abs(total - 1) < 1e-5
            worked += 1
    assert worked > 5
    assert refused > 2


ONE = {"name": "a", "classes": ["x"]}


def place_of(text: str) -> Place:
    return tuple(int(name) if name.isdecimal() else name for name in text.split("."))


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        ("heads", 5, "heads is 5, must be a list"),
        ("heads", [], "heads is [], must name at least one head"),
        ("heads", [5], "heads is 5, must be an object"),
        ("heads", [ONE, ONE], "heads has 'a' twice"),
        (
            "heads.1",
            ONE | {"parent": "b", "parent_index": [0]},
            "head 'a' is \"b\", must be a head",
        ),
        ("heads.0.name", GONE, "name has null, which is not a string"),
        ("heads.0.name", 3, "name has 3, which is not a string"),
        ("heads.0.name", "", "name of a head is '', must be letters, digits and underscores"),
        ("heads.0.name", "a.b", "name of a head is 'a.b', must be letters, digits"),
        ("heads.0.name", "embedding", "name of a head is 'embedding', must be letters, digits"),
        ("heads.0.name", "event", "heads has 'event' twice"),
        ("heads.0.classes", "ab", 'classes is "ab", must be a list'),
        ("heads.0.classes", [], "head 'category' has no classes"),
        ("heads.0.classes", ["a", 1], "classes has 1, which is not a string"),
        ("heads.0.classes", ["a", "a"], "head 'category' has the class 'a' twice"),
        ("heads.0.classes", GONE, "classes is null, must be a list"),
        ("heads.0.colour", "red", "colour"),
        ("heads.0.problem", "both", "problem of head 'category' is 'both', not single/multi"),
        ("heads.0.problem", 1, "problem of head 'category' is 1, not single/multi"),
        ("heads.0.temperature", 0, "temperature of head 'category' is 0, must be above 0"),
        ("heads.0.temperature", 10**400, "must be above 0 and at most 1000"),
        ("heads.0.temperature", float("nan"), "temperature has NaN, which is not a finite number"),
        ("heads.0.temperature", True, "temperature has true, which is not a finite number"),
        ("heads.0.temperature", "1", 'temperature has "1", which is not a finite number'),
        ("heads.0.thresholds", [0.5], "thresholds of head 'category' has 1 entries for 2 classes"),
        ("heads.0.thresholds", [0.5, 2], "thresholds of head 'category' has a value outside 0 to"),
        ("heads.0.thresholds", [0.5, float("nan")], "thresholds has NaN, which is not a finite"),
        ("heads.0.thresholds", 0.5, "thresholds is 0.5, must be a list"),
        ("heads.0.parent", "event", "parent_index of head 'category' has 0 entries for 2 classes"),
        ("heads.0.parent_index", [0, 1], "has 2 entries for a head without a parent"),
        ("heads.0.unlabelled", [0.5], "unlabelled of head 'category' has 1 shares for 0 classes"),
        ("heads.1.classes", ["hum"] * 4, "head 'event' has the class 'hum' twice"),
        ("heads.1.classes", ["a", "b"], "parent_index of head 'event' has 4 entries for 2 classes"),
        ("heads.1.parent", "event", "parent of head 'event' is \"event\", must be a head above it"),
        ("heads.1.parent", 3, "parent has 3, which is not a string"),
        ("heads.1.parent", GONE, "has 4 entries for a head without a parent"),
        (
            "heads.1.parent_index",
            [0, 1],
            "parent_index of head 'event' has 2 entries for 4 classes",
        ),
        ("heads.1.parent_index", GONE, "parent_index of head 'event' has 0 entries for 4 classes"),
        ("heads.1.parent_index", [0, 0, 1, 2], "has 2, must be an index from 0 to 1"),
        ("heads.1.parent_index", [0, 0, 1, -1], "has -1, must be an index from 0 to 1"),
        ("heads.1.parent_index", [0, 0, 1, True], "has true, which is not a finite number"),
        ("heads.1.parent_index", [0, 0, 1, 1.0], "has 1.0, must be an index from 0"),
        ("heads.1.unlabelled", [0.5], "unlabelled of head 'event' has 1 shares for 2 classes"),
        ("heads.1.unlabelled", [0.5, 2], "unlabelled of head 'event' has a share outside 0 to 1"),
        ("heads.1.unlabelled", [0.5, float("inf")], "unlabelled has Infinity, which is not a"),
        ("unknown_threshold", "x", 'unknown_threshold has "x", which is not a finite number'),
        ("unknown_threshold", float("nan"), "unknown_threshold has NaN, which is not a finite"),
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
        ("training.options", 5, "training.options is 5, must be an object"),
        ("training.source", ["x"], 'training.source is ["x"], must be an object'),
        ("training.teaching", None, "training.teaching is null, must be an object"),
        ("training.teaching", {"teachers": 5}, "training.teaching.teachers is 5, must be a list"),
        ("training.teaching", {"teachers": [1]}, "training.teaching.teachers has 1, which is not"),
        ("training.backbone", 5, "training.backbone has 5, which is not a string"),
        ("training.data", {}, "training.data has {}, which is not a string"),
        ("training.fingerprint", [], "training.fingerprint has [], which is not a string"),
        ("training.seen", 5, "training.seen is 5, must be a list"),
        ("training.seen", [[]], "training.seen has [], which is not a string"),
        ("training.options", {"seed": "x"}, 'training.options.seed is "x", which is another type'),
        ("training.options", {"class_weights": 1}, "training.options.class_weights is 1, which is"),
        ("training.best_epoch", 10**400, "which has more than 64 bits"),
        ("scores.heads", [10**400], "scores.heads has 1000000000"),
        ("unknown_threshold", 10**400, "unknown_threshold is 1000000000"),
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
    document = json.dumps(changed(document_in(model), place_of(place), value))
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
        ("heads.0.classes", ["a", "b", "c"], "the weights do not fit the header ("),
        ("heads", [ONE | {"name": "type"}], "the header does not describe a model (a head cannot"),
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
    document = json.dumps(changed(document_in(model), place_of(place), value))
    path = rewritten(model, document, tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


@pytest.mark.parametrize("document", ["[" * 100_000, "5", "[]", '"x"', "null", "{", "1" * 5_000])
def test_a_document_that_is_no_object(document: str) -> None:
    with pytest.raises(ModelFileError, match="the header is no readable description of a model"):
        card_of(document, "m")


def test_the_labels_that_were_written_are_read(model: Path) -> None:
    assert read_card(model).heads == HEADS


def test_all_fields_of_a_head_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Equality of heads ignores some of their fields."""
    category, event = HEADS
    heads = (
        replace(category, temperature=1.75, thresholds=(0.25, 0.5)),
        replace(event, unlabelled=(0.0, 0.125), temperature=0.5),
        Head("tags", ("loud", "near", "wet"), "multi", thresholds=(0.1, 0.0, 1.0)),
        Head("level_3", ("x", "y"), parent="event", parent_index=(3, 0), temperature=1000),
    )
    card = {"unknown_threshold": 0.375}
    read = read_card(write_model(tmp_path / "model.safetensors", heads, card=card))
    assert [asdict(head) for head in read.heads] == [asdict(head) for head in heads]
    assert read.unknown_threshold == 0.375
