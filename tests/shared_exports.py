"""ONNX graphs that the tests of one run share: an export takes up to a minute.

The key of a graph is all that it depends on: classes, plain attributes and weights of all parts of
the module, the example inputs, the names and the sizes. Equal keys give equal graphs.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import nn

from sonotype.models.fold_batch_norm import FusedBlocks

OWN = ("_modules", "_parameters", "_buffers")
"""Attributes of a module that hold its parts and weights."""


def describe(value: object) -> str:
    """A text that two values share only if they are equal; a ``TypeError`` for what it cannot tell.

    Raises:
        TypeError: a value of another kind; exports of its module cannot be shared.
    """
    if isinstance(value, torch.Tensor):
        content = value.detach().contiguous().numpy()
        return f"{value.dtype} {tuple(value.stride())} {describe(content)}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, dict):
        return describe(tuple(value.items()))
    if isinstance(value, set | frozenset):
        return f"set {sorted(map(describe, value))}"
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} [{', '.join(map(describe, value))}]"
    if dataclasses.is_dataclass(value):
        fields = ((one.name, getattr(value, one.name)) for one in dataclasses.fields(value))
        return f"{_class(value)} {describe(tuple(fields))}"
    if isinstance(value, nn.Module):
        return f"{_class(value)} {describe(_parts(value))}"
    if isinstance(value, FusedBlocks):  # follows from the blocks
        return _class(value)
    if isinstance(value, FunctionType) and value.__closure__ is None:
        return f"{value.__module__}.{value.__qualname__}"
    if type(value).__module__.startswith("sonotype."):
        return f"{_class(value)} {describe(vars(value))}"
    if value is None or isinstance(value, bool | int | float | str | torch.dtype):
        return repr(value)
    raise TypeError(f"{type(value)}: a kind of value that is not described here")


def _class(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _parts(module: nn.Module) -> dict[str, object]:
    """The attributes, weights and parts of a module by name."""
    own = {name: value for name, value in vars(module).items() if name not in OWN}
    return dict(sorted(own.items())) | {name: dict(vars(module)[name]) for name in OWN}


@contextmanager
def shared_exports(folder: Path) -> Iterator[None]:
    """Export each module once; later exports of an equal module read the first graph.

    Args:
        folder: of the graphs; the processes of one run share it.
    """
    import onnx

    from sonotype.export import graph

    export = graph.exported

    def exported(
        module: nn.Module,
        example: tuple[Any, ...],
        inputs: Sequence[str],
        outputs: Sequence[str],
        sizes: tuple[Any, ...],
    ) -> Any:
        facts = (describe((module, example, list(inputs), list(outputs))), str(sizes))
        path = folder / f"{hashlib.sha256(' '.join(facts).encode()).hexdigest()}.onnx"
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                proto = export(module, example, inputs, outputs, sizes)
                part = path.with_suffix(".part")
                onnx.save(proto, part)
                part.rename(path)
                return proto
        return onnx.load(path)

    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(graph, "exported", exported)
        yield
