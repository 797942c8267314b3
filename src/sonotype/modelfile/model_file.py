"""A classifier in one file: ``model.safetensors``, with everything but the weights in its header.

The safetensors header carries one JSON document under the key ``sonotype`` and a digest of the
document and every tensor. Nothing in the file can run code. docs/model_file.md describes the format
for readers in other languages.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sonotype.core.errors import ModelFileError, OptionsError, is_memory_error
from sonotype.core.io import atomic
from sonotype.modelfile.card import KEY, ModelCard, card_of, document_of
from sonotype.modelfile.card_file import DIGEST, header_of
from sonotype.modelfile.card_file import read_card as read_card
from sonotype.modelfile.older_formats import renamed_weights
from sonotype.models.build import build_system
from sonotype.models.frame_head import FrameHead
from sonotype.models.members import POOLING, Members, member_of
from sonotype.models.system import System
from sonotype.models.unknown import UnknownScore
from sonotype.sliding.system_frames import frame_features, frame_scales, has_frames

MANY = 10_000
"""Classes for which a network takes noticeable memory."""
MEMBER_NAME = re.compile(r"members\.networks\.(\d+)\.pooling\.attentions\.(\d+)\.")


def save_model(path: str | Path, system: System, card: ModelCard, *, half: bool = False) -> Path:
    """Write a model file; no incomplete file ever has this name.

    Args:
        path: of the file.
        system: the weights.
        card: everything else.
        half: store weights in half precision, at half the size; they are read as single precision.

    Raises:
        ModelFileError: the file cannot be written, or a weight is not finite.
    """
    path = Path(path)
    document = document_of(card)
    if (name := first_not_finite(system.state_dict())) is not None:
        raise ModelFileError(
            f"{path}: the model is not written: its weights {name} are not finite; train again "
            "with a lower learning rate"
        )
    tensors = {
        name: (tensor.half() if half and tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in system.state_dict().items()
    }
    if half and (name := first_not_finite(tensors)) is not None:
        raise ModelFileError(
            f"{path}: the model is not written: its weights {name} are too large for half "
            "precision; keep single precision"
        )
    metadata = {KEY: document, DIGEST: _digest(document, tensors)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic(path) as part:
            save_file(tensors, part, metadata=metadata)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path}: the model cannot be written ({error}); its folder needs free space and the "
            "permission to write"
        ) from error
    return path


def load_model(path: str | Path) -> tuple[System, ModelCard]:
    """Rebuild a system from its file alone, in evaluation mode, on the CPU.

    Raises:
        ModelFileError: the file is missing, truncated, no sonotype model, newer than this version,
            changed (header and weights do not fit their digest), or a weight is not finite.
    """
    path = Path(path)
    document, digest = header_of(path)
    card = card_of(document, path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: the file is damaged ({error})") from error
    if _digest(document, tensors) != digest:
        raise ModelFileError(
            f"{path}: header or weights were changed after the file was written; get a fresh copy"
        )
    if (name := first_not_finite(tensors)) is not None:
        raise ModelFileError(
            f"{path}: the weights {name} are not finite, so the model cannot classify; train it "
            "again with a lower learning rate"
        )
    tensors = renamed_weights(tensors)
    _check_heads(card, tensors, path)
    try:
        system = build_system(card.options, card.heads)
    except (OptionsError, ValueError) as error:
        raise ModelFileError(f"{path}: the header does not describe a model ({error})") from None
    if system.sample_rate != card.sample_rate:
        raise ModelFileError(
            f"{path}: the header does not describe a model (sample_rate is {card.sample_rate}, "
            f"but the network takes {system.sample_rate} Hz)"
        )
    _add_unknown(system, card, tensors, path)
    _add_members(system, card, tensors, path)
    _add_frame_head(system, card, tensors, path)
    try:
        system.load_state_dict(tensors)
    except RuntimeError as error:
        if is_memory_error(error):
            raise
        detail = " ".join(str(error).split())[:200]
        raise ModelFileError(f"{path}: the weights do not fit the header ({detail})") from None
    return system.eval(), card


def _check_heads(card: ModelCard, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Compare the classes with the weights before memory is taken for classes without weights."""
    for head in card.heads:
        weight = tensors.get(f"classifiers.{head.name}.weight")
        if weight is None and len(head.classes) <= MANY:
            continue  # is noticed when the weights are loaded
        if weight is None or weight.shape[:1] != (len(head.classes),):
            raise ModelFileError(
                f"{path}: the weights do not fit the header (the classes of {head.name})"
            )


def _add_unknown(
    system: System, card: ModelCard, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Give the system an unknown score of the shape in the file, if the card names one."""
    if not card.unknown_head:
        return
    centres, axes = tensors.get("unknown.centres"), tensors.get("unknown.axes")
    if centres is None or axes is None or centres.ndim != 2 or axes.ndim != 2:
        raise ModelFileError(f"{path}: the weights do not fit the header (no unknown score)")
    system.set_unknown(card.unknown_head, UnknownScore(len(centres), centres.shape[1], len(axes)))


def _add_frame_head(
    system: System, card: ModelCard, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Give the system a frame head of the shape in the file, if the card names its scales."""
    if card.detection is None or not card.detection.frame_scales:
        return
    weight, scales = tensors.get("frame_head.classify.weight"), card.detection.frame_scales
    count = next(len(head.classes) for head in card.heads if head.name == card.detection.head)
    features = frame_features(system)
    if weight is None or tuple(weight.shape) != (count, len(scales) * features):
        raise ModelFileError(f"{path}: the weights do not fit the header (frame head)")
    if not has_frames(system) or max(scales) > max(frame_scales(system, card.audio_spec.length)):
        raise ModelFileError(f"{path}: the header does not describe a model (frame_scales)")
    system.set_frame_head(FrameHead(scales, features, count))


def _add_members(
    system: System, card: ModelCard, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Give the system as many members as the file has weights of."""
    found = {match.groups() for name in tensors if (match := MEMBER_NAME.match(name))}
    if not found:
        return
    if (card.options.system, card.options.pooling) != ("cbir_2", "statistics"):
        raise ModelFileError(f"{path}: the weights do not fit the header (members of an ensemble)")
    members = []
    for _, maps in sorted(Counter(int(member) for member, _ in found).items()):
        blocks = sorted(card.options.pool_blocks)[-maps:]
        options = dataclasses.replace(card.options, pooling=POOLING, pool_blocks=tuple(blocks))
        members.append(member_of(build_system(options, card.heads, system.branch_1)))
    system.set_members(Members(members, {head.name: 1.0 for head in card.heads}))


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the first tensor with NaN or an infinite value; ``None`` if all are finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            return name
    return None


def _digest(document: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the document, then of every tensor's name, type, shape and bytes, by name."""
    digest = hashlib.sha256(document.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
