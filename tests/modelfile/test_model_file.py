from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from heads import two_heads
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sonotype.config import SystemOptions, to_dict
from sonotype.core.errors import ModelFileError
from sonotype.modelfile import model_file
from sonotype.modelfile.card import FORMAT_VERSION, ModelCard
from sonotype.modelfile.model_file import load_model, read_card, save_model
from sonotype.models.build import build_system
from sonotype.models.system import System

CARD = ModelCard(
    options=SystemOptions(backbone="mn01", width=0.125, adapters=(2, 4), seconds=1.0),
    heads=two_heads(("Ünder", "水", "c"), ("d", "e", "f", "g"), (0, 1, 1, 2), (0.25, 0.0, 0.125)),
    sample_rate=32_000,
    front_ends=("EfficientATLogMel", "VGGishLogMel"),
    category_source="both",
    tta_shifts=4,
    training={"recipe": "modern", "source": {"name": "sounds", "clips": 12}, "best_epoch": 3},
    scores={"event": {"accuracy": 0.875, "per_class": [1.0, 0.75]}},
    versions={"sonotype": "0.1.0", "torch": "2.13.0"},
    licences={"mn01": "MIT", "data": "CC-BY-NC-3.0"},
)


def small_system(card: ModelCard = CARD) -> System:
    torch.manual_seed(0)
    system = build_system(card.options, card.heads)
    for name, tensor in system.state_dict().items():  # as training leaves them
        if "running_" in name:
            tensor.add_(torch.rand_like(tensor))
    return system.eval()


@pytest.fixture(scope="module")
def system() -> System:
    return small_system()


@pytest.fixture(scope="module")
def written(system: System, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("model")
    return save_model(folder / "model.safetensors", system, CARD).read_bytes()


def header_length(content: bytes) -> int:
    return int(struct.unpack("<Q", content[:8])[0])


def parts(content: bytes) -> tuple[dict[str, object], bytes]:
    """The header of a file, and its tensors."""
    end = 8 + header_length(content)
    return json.loads(content[8:end]), content[end:]


def refusal(path: Path, content: bytes | None = None) -> str:
    """Why a file is refused, without its name; the same of loading and of reading the card."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def same_refusal(path: Path, content: bytes | None = None) -> str:
    text = refusal(path, content)
    with pytest.raises(ModelFileError) as caught:
        read_card(path)
    assert str(caught.value) == f"{path}: {text}"
    return text


# There and back


def test_weights_and_card_come_back_bit_by_bit(tmp_path: Path, system: System) -> None:
    path = tmp_path / "deep" / "er" / "model.safetensors"
    assert save_model(path, system, CARD) == path
    loaded, card = load_model(str(path))
    assert card == CARD == read_card(path)
    assert card.heads[1].unlabelled == (0.25, 0.0, 0.125)  # which equality ignores
    state = loaded.state_dict()
    assert list(state) == list(system.state_dict())
    for name, tensor in system.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name]), name
    assert not any(layer.training for layer in loaded.modules())
    with torch.no_grad():
        waveform = 0.1 * torch.randn(2, 32_000)
        torch.testing.assert_close(tuple(loaded(waveform)), tuple(system(waveform)), rtol=0, atol=0)
    assert [entry.name for entry in path.parent.iterdir()] == ["model.safetensors"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["b\udcff", "\ud800", "é", "🐶", '"\\\n\0'])
def test_a_set_of_any_name(tmp_path: Path, system: System, name: str) -> None:
    """Names of folders need not be valid text; the header holds them all the same."""
    card = replace(CARD, training={"source": {"name": name}})
    path = save_model(tmp_path / "m.safetensors", system, card)
    assert load_model(path)[1] == card == read_card(path)
    header, _ = parts(path.read_bytes())
    assert str(header["__metadata__"]["sonotype"]).isascii()  # type: ignore[index]


@pytest.mark.parametrize("name", ["cbir_1", "cbir_3", "cbir_4"])
@pytest.mark.parametrize("backbone", ["mn01", "none"])
def test_each_system_is_rebuilt(tmp_path: Path, name: str, backbone: str) -> None:
    options = SystemOptions(system=name, backbone=backbone, width=0.125, unfreeze_from=4)
    rate = 32_000 if backbone == "mn01" else 16_000
    card = ModelCard(options, two_heads(("a", "b")), rate, ("VGGishLogMel",))
    original = small_system(card)
    loaded, read = load_model(save_model(tmp_path / "m.safetensors", original, card))
    assert read == card
    state = loaded.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in original.state_dict().items())
    learns = [parameter.requires_grad for parameter in original.parameters()]
    assert [parameter.requires_grad for parameter in loaded.parameters()] == learns


def test_half_precision_is_half_the_size_and_nearly_the_same(
    tmp_path: Path, system: System, written: bytes
) -> None:
    half = save_model(tmp_path / "half.safetensors", system, CARD, half=True)
    sizes = [len(parts(content)[1]) for content in (half.read_bytes(), written)]
    assert sizes[0] < 0.51 * sizes[1]
    found, card = load_model(half)
    assert card == CARD
    state = system.state_dict()
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == state[name].dtype, name
        whole = state[name]
        assert torch.equal(tensor, whole.half().float() if whole.is_floating_point() else whole)
    waveform = torch.randn(2, 32_000, generator=torch.manual_seed(0))
    with torch.inference_mode():
        for pooled in (torch.zeros(2, system.pooling.features), None):
            first, second = (
                one(waveform).logits if pooled is None else one.heads(pooled)[0]
                for one in (system, found)
            )
            torch.testing.assert_close(
                first, second, rtol=0, atol=1e-2 if pooled is not None else 0.2
            )


def test_the_memory_layout_does_not_show(tmp_path: Path, system: System, written: bytes) -> None:
    turned = copy.deepcopy(system).to(memory_format=torch.channels_last)
    again = save_model(tmp_path / "m.safetensors", turned, CARD).read_bytes()
    # The two entries of the header come in either order; all else is the same to the last bit.
    (first, weights), (second, same_weights) = parts(written), parts(again)
    assert first == second
    assert weights == same_weights


def test_the_file_says_everything_in_its_header(tmp_path: Path, written: bytes) -> None:
    length = header_length(written)
    header = json.loads(written[8 : 8 + length])
    metadata = header.pop("__metadata__")
    assert set(metadata) == {"sonotype", "sha256"}
    assert len(bytes.fromhex(metadata["sha256"])) == 32
    document = json.loads(metadata["sonotype"])
    defaults = {"problem": "single", "temperature": 1.0, "thresholds": []}
    assert document == {
        "format_version": 7,
        "detection": None,
        "options": to_dict(CARD.options),
        "heads": [
            {
                "name": "category",
                "classes": ["Ünder", "水", "c"],
                "parent": None,
                "parent_index": [],
                "unlabelled": [],
                **defaults,
            },
            {
                "name": "event",
                "classes": ["d", "e", "f", "g"],
                "parent": "category",
                "parent_index": [0, 1, 1, 2],
                "unlabelled": [0.25, 0.0, 0.125],
                **defaults,
            },
        ],
        "unknown_head": "",
        "unknown_threshold": None,
        "sample_rate": 32_000,
        "front_ends": ["EfficientATLogMel", "VGGishLogMel"],
        "category_source": "both",
        "tta_shifts": 4,
        "training": CARD.training,
        "scores": CARD.scores,
        "versions": CARD.versions,
        "licences": CARD.licences,
    }
    (tmp_path / "m.safetensors").write_bytes(written)
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        assert set(file.keys()) == set(header)


def write_document(path: Path, values: dict[str, Any], system: System) -> None:
    """A model file with this document."""
    document = json.dumps(values)
    digest = hashlib.sha256(document.encode())  # as docs/model_file.md has it
    tensors = {name: tensor.contiguous() for name, tensor in system.state_dict().items()}
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.numpy().tobytes())
    save_file(tensors, path, {"sonotype": document, "sha256": digest.hexdigest()})


def test_nothing_in_the_file_is_a_pickle(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(written)
    assert not zipfile.is_zipfile(tmp_path / "m.safetensors")
    # The length of a JSON header, the header, and then bare numbers up to the end.
    length = header_length(written)
    header = json.loads(written[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    assert 8 + length + max(ends) == len(written)
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {
        "F32", "I64"
    }  # fmt: skip


def test_frozen_weights_are_inside(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "m.safetensors").write_bytes(written)
    with safe_open(tmp_path / "m.safetensors", framework="pt") as file:
        names = list(file.keys())
    assert sum(name.startswith("branch_1.blocks.") for name in names) > 100


FRESH = """
import sys, torch
from sonotype.modelfile.model_file import load_model
system, card = load_model(sys.argv[1])
with torch.no_grad():
    output = system(torch.sin(torch.arange(32000) / 7)[None])
print(*output.logits["event"][0].tolist())
"""


def test_a_fresh_process_needs_the_file_alone(
    tmp_path: Path, system: System, written: bytes
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(written)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SONOTYPE_")},
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(path)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    with torch.no_grad():
        expected = system(torch.sin(torch.arange(32_000) / 7)[None]).logits["event"][0]
    actual = torch.tensor([float(number) for number in done.stdout.split()])
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    assert not (tmp_path / "cache").exists()


# What is refused


def test_a_missing_file(tmp_path: Path) -> None:
    text = same_refusal(tmp_path / "none.safetensors")
    assert text == "cannot be read (No such file or directory)"


def test_a_folder(tmp_path: Path) -> None:
    assert same_refusal(tmp_path) == "cannot be read (Is a directory)"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"I am no model.\n" * 9,
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        b"PK\x03\x04" + bytes(99),
        bytes(99),
    ],
    ids=["empty", "one byte", "text", "picture", "zip", "zeros"],
)
def test_what_is_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    text = same_refusal(tmp_path / "m.safetensors", content)
    assert text == "is no model file (no safetensors header)"


def test_a_truncated_file(tmp_path: Path, written: bytes) -> None:
    path = tmp_path / "m.safetensors"
    end = 8 + header_length(written)
    for length in (9, 100, end - 1):
        text = same_refusal(path, written[:length])
        assert text == f"the file is truncated ({length} bytes are there)"
    for length in (end, end + 1_000, len(written) - 1):
        text = same_refusal(path, written[:length])
        assert text.startswith("the file is truncated or damaged (")
    same_refusal(path, written + b"more")


CHANGED = "header or weights were changed after the file was written; get a fresh copy"


def test_one_flipped_bit_in_the_weights(tmp_path: Path, written: bytes) -> None:
    start = 8 + header_length(written)
    for place in (start, (start + len(written)) // 2, len(written) - 1):
        tampered = bytearray(written)
        tampered[place] ^= 1
        assert refusal(tmp_path / "m.safetensors", bytes(tampered)) == CHANGED
        assert read_card(tmp_path / "m.safetensors") == CARD  # which reads no weights


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"best_epoch", b"best_Epoch"),
        (b"0.875", b"0.975"),
        (b'\\"c\\"', b'\\"x\\"'),
        (b"mn01", b"mn02"),
        (b"branch_2.blocks.0.0.bias", b"branch_2.blocks.9.0.bias"),
        (b'"sha256":"', b'"sha256":"0'),
    ],
    ids=["training", "score", "label", "backbone", "name of a tensor", "digest"],
)
def test_an_edited_header(tmp_path: Path, written: bytes, before: bytes, after: bytes) -> None:
    header = written[8 : 8 + header_length(written)]
    assert before in header
    edited = header.replace(before, after)
    if len(edited) > len(header):
        digest = header.index(b'"sha256":"') + len(b'"sha256":"')
        edited = edited[: digest + 64] + edited[digest + 65 :]
    tampered = written[:8] + edited + written[8 + len(header) :]
    assert len(tampered) == len(written)
    assert refusal(tmp_path / "m.safetensors", tampered) == CHANGED


@pytest.mark.parametrize("error", [OSError("gone"), SafetensorError("gone")])
def test_weights_that_cannot_be_read_behind_a_good_header(
    tmp_path: Path, written: bytes, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def once(path: Path, **how: str) -> object:
        opened.append(path)
        if len(opened) > 1:
            raise error
        return safe_open(path, **how)

    for module in ("card_file", "model_file"):  # of the header, and of the weights
        monkeypatch.setattr(f"sonotype.modelfile.{module}.safe_open", once)
    assert refusal(tmp_path / "m.safetensors", written) == "the file is damaged (gone)"
    assert len(opened) == 2


def test_a_header_that_is_no_json(tmp_path: Path, written: bytes) -> None:
    tampered = written[:9] + b"!" * 20 + written[29:]
    text = same_refusal(tmp_path / "m.safetensors", tampered)
    assert text.startswith("the file is truncated or damaged (")


def test_a_foreign_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    for metadata in (None, {"format": "pt"}, {"sonotype": "{}"}):
        save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
        assert same_refusal(path) == "is a safetensors file, but no sonotype model"


@pytest.mark.parametrize("document", ["", "no JSON", "[]", "5", '"text"', "{}", "null"])
def test_a_document_that_describes_nothing(tmp_path: Path, document: str) -> None:
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata={"sonotype": document, "sha256": "0"})
    assert same_refusal(path) == "the header is no readable description of a model"


EVENT = {"categories": ["a"], "events": ["b"], "event_category": [0]}


def document(**changes: object) -> str:
    values = {
        "format_version": 2,
        "options": to_dict(CARD.options),
        "labels": {"categories": ["a"]},
        "sample_rate": 16_000,
        "front_ends": [],
    }
    values = {name: value for name, value in {**values, **changes}.items() if value is not None}
    return json.dumps(values)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"labels": None}, "the header does not describe a model ('labels' is missing)"),
        (
            {"options": {"width": 99}},
            "the header does not describe a model (width must be at most 4, got 99)",
        ),
        ({"category_source": "stars"}, "category_source is 'stars', must be one of head, events"),
        (
            {"tta_shifts": 0},
            "the header does not describe a model (tta_shifts must be at least 1, got 0)",
        ),
        (
            {"tta_shifts": "x"},
            "the header does not describe a model (tta_shifts must be of type int, got 'x')",
        ),
        ({"labels": []}, "the header does not describe a model ("),
        ({"labels": {}}, "the header does not describe a model ('categories' is missing)"),
        (
            {"labels": {"categories": ["a"], "events": ["b"]}},
            "the header does not describe a model ('event_category' is missing)",
        ),
        (
            {"labels": EVENT | {"event_less": [0.5, 0.5]}},
            "the header does not describe a model (unlabelled of head 'event' has 2 shares for 1",
        ),
        (
            {"labels": EVENT | {"event_less": [2]}},
            "the header does not describe a model (unlabelled of head 'event' has a share outside",
        ),
        (
            {"labels": EVENT | {"event_less": ["x"]}},
            'the header does not describe a model (unlabelled has "x", which is not a finite',
        ),
        ({"options": {"depth": 1}}, "the header does not describe a model (unknown options depth;"),
        ({"colour": "red"}, "the header does not describe a model ("),
        ({"front_ends": 5}, "the header does not describe a model ("),
    ],
)
def test_a_document_that_describes_no_model(
    tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    path = tmp_path / "m.safetensors"
    metadata = {"sonotype": document(**changes), "sha256": "0"}
    save_file({"a": torch.zeros(3)}, path, metadata=metadata)
    assert same_refusal(path).startswith(text)


def test_a_newer_format(tmp_path: Path, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.safetensors"
    with monkeypatch.context() as later:
        later.setattr("sonotype.modelfile.card.FORMAT_VERSION", FORMAT_VERSION + 1)
        save_model(path, system, CARD)
    assert same_refusal(path) == (
        f"was written by a newer sonotype (format {FORMAT_VERSION + 1}, this one reads up to "
        f"{FORMAT_VERSION}); upgrade sonotype"
    )


def test_weights_of_another_system(tmp_path: Path, system: System) -> None:
    card = ModelCard(SystemOptions(system="cbir_4", backbone="mn01"), CARD.heads, 32_000, ())
    path = save_model(tmp_path / "m.safetensors", system, card)
    text = refusal(path)
    start = "the weights do not fit the header (Error(s) in loading state_dict for System: "
    assert text.startswith(start)
    assert "\n" not in text


def test_classes_without_weights_take_no_memory(
    tmp_path: Path, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    *coarse, fine = CARD.heads
    many = replace(fine, classes=tuple(map(str, range(50_000))), parent_index=(0,) * 50_000)
    card = replace(CARD, heads=(*coarse, many), scores={})
    path = save_model(tmp_path / "m.safetensors", system, card)
    monkeypatch.setattr(model_file, "build_system", lambda *_: pytest.fail("is not built"))
    wanted = f"the weights do not fit the header (the classes of {many.name})"
    assert refusal(path) == wanted


# Weights that are not finite


def broken(system: System, value: float) -> tuple[System, str]:
    """A copy with one such weight, and the name of its tensor."""
    one = copy.deepcopy(system)
    name = "branch_2.blocks.0.0.bias"
    one.state_dict()[name][0] = value
    return one, name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("half", [False, True])
def test_weights_that_are_not_finite_are_not_written(
    tmp_path: Path, system: System, value: float, half: bool
) -> None:
    wrong, name = broken(system, value)
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelFileError) as caught:
        save_model(path, wrong, CARD, half=half)
    assert str(caught.value).startswith(f"{path}: the model is not written: its weights {name} are")
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_half_precision_are_not_packed(tmp_path: Path, system: System) -> None:
    wrong, name = broken(system, 1e6)
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelFileError, match=f"{name} are too large for half precision"):
        save_model(path, wrong, CARD, half=True)
    save_model(path, wrong, CARD)
    assert float(load_model(path)[0].state_dict()[name][0]) == 1e6


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_file_of_weights_that_are_not_finite_is_refused(
    tmp_path: Path, system: System, written: bytes, value: float
) -> None:
    wrong, name = broken(system, value)
    header, _ = parts(written)
    path = tmp_path / "m.safetensors"
    write_document(path, json.loads(header["__metadata__"]["sonotype"]), wrong)  # type: ignore[index]
    assert refusal(path).startswith(f"the weights {name} are not finite")


def test_numbers_that_json_does_not_know_are_null_in_the_header(
    tmp_path: Path, system: System
) -> None:
    card = replace(CARD, training={"val_f1": math.nan, "more": [math.inf, 1.5]})
    path = save_model(tmp_path / "m.safetensors", system, card)
    assert read_card(path).training == {"val_f1": None, "more": [None, 1.5]}


# Where it cannot be written


def assert_unwritable(path: Path, system: System, reason: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        save_model(path, system, CARD)
    assert str(caught.value).startswith(f"{path}: the model cannot be written (")
    assert reason in str(caught.value)


def test_a_target_under_a_file(tmp_path: Path, system: System) -> None:
    (tmp_path / "file").touch()
    assert_unwritable(tmp_path / "file" / "m.safetensors", system, "File exists")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_target_that_is_a_folder(tmp_path: Path, system: System) -> None:
    (tmp_path / "m.safetensors").mkdir()
    assert_unwritable(tmp_path / "m.safetensors", system, "Is a directory")
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")]
)
def test_a_full_disk_leaves_the_old_file(
    tmp_path: Path,
    system: System,
    written: bytes,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(written)

    def fill_up(_: object, target: str, **__: object) -> None:
        Path(target).write_bytes(b"half")
        raise error

    monkeypatch.setattr("sonotype.modelfile.model_file.save_file", fill_up)
    assert_unwritable(path, system, "No space left on device")
    assert path.read_bytes() == written
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]
