"""Reading a file of weights without running anything that may be hidden in it."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

import torch

from sonotype.core.errors import WeightsError

# How files of `torch.save` begin: a zip archive, or (before torch 1.6) a pickled magic number.
_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a flat dict of tensors, onto the CPU.

    Uses ``torch.load(weights_only=True)``: objects other than tensors are refused, never built.

    Raises:
        WeightsError: the file is missing, truncated, no file of torch weights, holds other
            objects, or is not a flat dict of tensors; names the file and the cause.

    """
    path = Path(path)
    _check_kind(path)
    try:
        content: object = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        if forbidden is None:
            raise _refusal(path, "it is truncated or damaged (UnpicklingError)") from error
        cause = f"it holds objects other than tensors ({forbidden[1]}), which could run code"
        raise _refusal(path, cause) from error
    # Damaged bytes come out of torch as almost any error; none of them is a fault of this program.
    except Exception as error:
        raise _refusal(path, f"it is truncated or damaged ({type(error).__name__})") from error
    return _flat_tensors(path, content)


def _check_kind(path: Path) -> None:
    try:
        with path.open("rb") as stream:
            head = stream.read(max(len(_ZIP), len(_LEGACY)))
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from error
    if not head:
        raise _refusal(path, "it is empty")
    if head.startswith(_ZIP):
        if not zipfile.is_zipfile(path):  # the table of contents comes last
            raise _refusal(path, "it is truncated")
    elif not head.startswith(_LEGACY):
        raise _refusal(path, "it is not a file written by torch.save")


def _flat_tensors(path: Path, content: object) -> dict[str, torch.Tensor]:
    if not isinstance(content, dict):
        cause = f"it holds a {type(content).__name__} instead of a dict of tensors"
        raise _refusal(path, cause)
    if not content:
        raise _refusal(path, "it holds no tensors")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, torch.Tensor):
            cause = f"it is not a flat dict of tensors, {key!r} is a {type(value).__name__}"
            raise _refusal(path, cause)
    return dict(content)


def _refusal(path: Path, cause: str) -> WeightsError:
    return WeightsError(f"{path} cannot be read as weights: {cause}; put a good copy in its place")
