"""One file that holds a classifier: ``model.safetensors`` with everything else in its header.

The safetensors header carries one JSON document under the key ``sonotype`` and a digest that covers
the document and every tensor. Nothing in the file can run code. docs/model_file.md describes
the format for readers in other languages.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sonotype.config import ScoreOptions, SystemOptions, from_dict, to_dict
from sonotype.errors import ModelFileError, OptionsError
from sonotype.models.build import build_system
from sonotype.models.systems import System
from sonotype.readout import CATEGORY_FROM, CategoryFrom
from sonotype.types import Labels

FORMAT_VERSION = 2
KEY, DIGEST = "sonotype", "sha256"


@dataclass(frozen=True)
class ModelCard:
    """All that a model file says besides its weights.

    Attributes:
        options: rebuild the network.
        labels: names of the outputs.
        sample_rate: of the waveforms that the network takes, in Hz.
        front_ends: names of the log-mel front ends, in the order of the branches.
        category_from: how the category is read unless asked otherwise.
        shifts: over so many shifted versions of a clip the answers are averaged.
        training: recipe and options, split, data source and its fingerprint, best epoch.
        scores: of the test part, as :func:`sonotype.evaluation.scores.scores_to_json` gives them.
        versions: of Python and the packages that trained it.
        licences: of the pretrained weights inside and of the training data, where known.
    """

    options: SystemOptions
    labels: Labels
    sample_rate: int
    front_ends: tuple[str, ...]
    category_from: CategoryFrom = "head"
    shifts: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)


def save_model(path: str | Path, system: System, card: ModelCard, *, half: bool = False) -> Path:
    """Write a model file; it has its name only once it is whole.

    Args:
        path: of the file.
        system: its weights are kept.
        card: everything else.
        half: keep weights in half precision, at half the size; they are read back as single.

    Raises:
        ModelFileError: the file cannot be written; says why.
    """
    path = Path(path)
    document = json.dumps(
        {"format_version": FORMAT_VERSION, **asdict(card), "options": to_dict(card.options)},
        ensure_ascii=True,  # names from file systems may hold what UTF-8 has no bytes for
        sort_keys=True,
    )
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in system.state_dict().items()
    }
    metadata = {KEY: document, DIGEST: _digest(document, tensors)}
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        save_file(tensors, temporary, metadata=metadata)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{path}: the model cannot be written ({error})") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
    return path


def read_card(path: str | Path) -> ModelCard:
    """What a model file says of itself, without reading its weights.

    Raises:
        ModelFileError: as for :func:`load_model`, tampered weights excepted.
    """
    return _card(_document(Path(path))[0], Path(path))


def load_model(path: str | Path) -> tuple[System, ModelCard]:
    """Rebuild a classifier from its file alone, in evaluation mode, on the CPU.

    Raises:
        ModelFileError: missing, truncated, foreign (no sonotype model), newer than this version,
            or tampered with (header and weights no longer fit their digest); says which.
    """
    path = Path(path)
    document, digest = _document(path)
    card = _card(document, path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: the file is damaged ({error})") from error
    if _digest(document, tensors) != digest:
        raise ModelFileError(
            f"{path}: header or weights were changed after the file was written; get a fresh copy"
        )
    system = build_system(card.options, card.labels)
    try:
        system.load_state_dict(tensors)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: the weights do not fit the header ({detail})") from None
    return system.eval(), card


def _document(path: Path) -> tuple[str, str]:
    """The JSON document and the digest of a file's header."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from None
    # A safetensors file is the length of its header (8 bytes), the header (JSON), the tensors.
    if len(start) < 9 or start[8:] != b"{":
        raise ModelFileError(f"{path}: is no model file (no safetensors header)")
    if struct.unpack("<Q", start[:8])[0] + 8 > size:
        raise ModelFileError(f"{path}: the file is truncated ({size} bytes are there)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: the file is truncated or damaged ({error})") from error
    if KEY not in metadata or DIGEST not in metadata:
        raise ModelFileError(f"{path}: is a safetensors file, but no sonotype model")
    return metadata[KEY], metadata[DIGEST]


def _card(document: str, path: Path) -> ModelCard:
    try:
        values = json.loads(document)
        version = values.pop("format_version")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise ModelFileError(f"{path}: the header is no readable description of a model") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: was written by a newer sonotype (format {version}, this one reads up to "
            f"{FORMAT_VERSION}); upgrade sonotype"
        )
    try:
        labels = {name: tuple(entries) for name, entries in values.pop("labels").items()}
        from_dict(ScoreOptions, {"shifts": values.get("shifts", 1)})  # refuses what is no number
        card = ModelCard(
            options=from_dict(SystemOptions, values.pop("options")),
            labels=Labels(**labels),
            front_ends=tuple(values.pop("front_ends")),
            **values,
        )
    except (OptionsError, TypeError, KeyError, AttributeError) as error:
        raise ModelFileError(f"{path}: the header does not describe a model ({error})") from None
    if card.category_from not in CATEGORY_FROM:
        raise ModelFileError(f"{path}: category_from is {card.category_from!r}, not a known way")
    return card


def _digest(document: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the document, then of every tensor's name, type, shape and bytes, by name."""
    digest = hashlib.sha256(document.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
