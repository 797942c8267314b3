"""Small model files taken apart, and put together with another header that fits its digest."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY, DIGEST = "sonotype", "sha256"


@dataclass(frozen=True)
class Parts:
    """A model file.

    Attributes:
        card: the JSON values of its header.
        tensors: entries of its tensors in the header of safetensors.
        data: bytes of all tensors.
    """

    card: dict[str, Any]
    tensors: dict[str, Any]
    data: bytes

    def file(self, document: str) -> bytes:
        """The model file with another document, whose digest is right."""
        digest = hashlib.sha256(document.encode("utf-8", "replace"))
        for name, entry in sorted(self.tensors.items()):
            kind = {"F32": "torch.float32", "F16": "torch.float16", "I64": "torch.int64"}
            shape = tuple(entry["shape"])
            digest.update(f"\0{name}\0{kind[entry['dtype']]}\0{shape}\0".encode())
            begin, end = entry["data_offsets"]
            digest.update(self.data[begin:end])
        metadata = {KEY: document.encode("utf-8", "replace").decode(), DIGEST: digest.hexdigest()}
        header = json.dumps({"__metadata__": metadata, **self.tensors}).encode()
        return struct.pack("<Q", len(header)) + header + self.data


def take_apart(content: bytes) -> Parts:
    """The parts of a model file."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    card = json.loads(header.pop("__metadata__")[KEY])
    return Parts(card, header, content[8 + size :])


def small_models(folder: Path) -> list[bytes]:
    """Model files of several kinds: with one, two and three heads, with frames, in format 1."""
    from frame_models import write
    from small_models import CATEGORIES, HEADS, write_model

    compact = {"backbone": "compact", "width": 0.0, "pooling": "statistics"}
    made = [
        write_model(folder / "two.safetensors", HEADS, width=0.01, card={"tta_shifts": 2}),
        write_model(folder / "one.safetensors", CATEGORIES, **compact),
        write(folder / "frames.safetensors"),
    ]
    return [path.read_bytes() for path in made]
