"""Read the card in a model file, and nothing of its weights; imports no network."""

from __future__ import annotations

import struct
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sonotype.core.errors import ModelFileError
from sonotype.modelfile.card import KEY, ModelCard, card_of

DIGEST = "sha256"
"""Name of the digest in the header of a model file."""


def read_card(path: str | Path) -> ModelCard:
    """Read the card of a model file without its weights.

    Raises:
        ModelFileError: as for :func:`sonotype.modelfile.model_file.load_model`, except for changed
            weights.
    """
    return card_of(header_of(Path(path))[0], path)


def header_of(path: Path) -> tuple[str, str]:
    """The JSON document and the digest of a file's header.

    Raises:
        ModelFileError: the file is missing, truncated, or no sonotype model.
    """
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
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"{path}: the file is truncated or damaged ({error})") from error
    if KEY not in metadata or DIGEST not in metadata:
        raise ModelFileError(f"{path}: is a safetensors file, but no sonotype model")
    return metadata[KEY], metadata[DIGEST]
