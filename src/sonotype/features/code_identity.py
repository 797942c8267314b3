"""Digest of the code and constants that compute feature maps, for the keys of the cache.

It covers the source of each module, and the loaded constants and bytecode: a value that is changed
at run time, or a file that is edited after its import, gives another digest too.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import importlib.util
import json
import pkgutil
from collections.abc import Mapping, Set
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor

PACKAGES = (
    "sonotype.audio",
    "sonotype.data.augment",
    "sonotype.frontends",
    "sonotype.models",
    "sonotype.sliding",
)
MODULES = ("sonotype.features.cache",)


def code_identity(*more: str) -> str:
    """Digest of code and constants of :data:`PACKAGES`, :data:`MODULES` and ``more`` modules."""
    names = (*_modules(), *more)
    loaded = {name: _content(importlib.import_module(name)) for name in names}
    sources = {name: _source_digest(name) for name in names}
    return hashlib.sha256(json.dumps([sources, loaded]).encode()).hexdigest()


@functools.cache
def _modules() -> tuple[str, ...]:
    found = [*PACKAGES, *MODULES]
    for name in PACKAGES:
        path = importlib.import_module(name).__path__
        found += [module.name for module in pkgutil.walk_packages(path, f"{name}.")]
    return tuple(sorted(found))


@functools.cache
def _source_digest(name: str) -> str:
    """Of a module's source, or of its bytecode if only that is installed."""
    spec = importlib.util.find_spec(name)
    loader: Any = None if spec is None else spec.loader
    source = loader.get_source(name)
    if source is None:
        # The first 16 bytes of a .pyc are a time stamp, not code.
        path = loader.get_filename(name)
        data = loader.get_data(path)
        content = data[16:] if path.endswith(".pyc") else data
    else:
        content = source.encode()
    return hashlib.sha256(content).hexdigest()


def _content(module: ModuleType) -> dict[str, Any]:
    """The contents of a module as JSON values, by name."""
    return {
        name: _plain(value, module.__name__)
        for name, value in sorted(vars(module).items())
        # Which submodules a package has as attributes depends on earlier imports.
        if not name.startswith("__") and not isinstance(value, ModuleType)
    }


def _plain(value: Any, home: str) -> Any:
    """A value as JSON, the same in every process: no addresses, no order of sets.

    Args:
        value: of a module, a class, or another value.
        home: the module; its own classes are included, others are named.
    """
    kind = type(value).__qualname__
    if value is None or isinstance(value, bool | int | str):
        return [kind, value]
    if isinstance(value, bytes):
        return [kind, value.hex()]
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return [kind, str(value.dtype), list(value.shape), digest]
    if isinstance(value, Mapping):
        return [kind, [[_plain(entry, home) for entry in item] for item in value.items()]]
    if isinstance(value, Set):
        return [kind, sorted(json.dumps(_plain(entry, home)) for entry in value)]
    if isinstance(value, list | tuple):
        return [kind, [_plain(entry, home) for entry in value]]
    if isinstance(value, CodeType):
        names = [value.co_names, value.co_varnames, value.co_freevars]
        return [
            kind,
            value.co_code.hex(),
            names,
            [_plain(entry, home) for entry in value.co_consts],
        ]
    if isinstance(value, FunctionType):
        inner = getattr(value, "__wrapped__", None)
        defaults = [value.__defaults__, value.__kwdefaults__, inner]
        named = f"{value.__module__}.{value.__qualname__}"
        return [kind, named, *(_plain(entry, home) for entry in [value.__code__, *defaults])]
    if isinstance(value, staticmethod | classmethod):
        return [kind, _plain(value.__func__, home)]
    if isinstance(value, property):
        return [kind, _plain(value.fget, home)]
    if isinstance(value, type):
        named = f"{value.__module__}.{value.__qualname__}"
        return [kind, named, _attributes(value) if value.__module__ == home else None]
    if isinstance(value, functools.partial):
        return [kind, [_plain(entry, home) for entry in (value.func, value.args, value.keywords)]]
    if dataclasses.is_dataclass(value):
        return [kind, _plain(vars(value), home) if hasattr(value, "__dict__") else repr(value)]
    text = repr(value)
    return [kind, getattr(value, "__name__", None) if " at 0x" in text else text]


def _attributes(kind: type) -> dict[str, Any]:
    """Attributes of a class; of special names only methods, because Python adds others later."""
    return {
        name: _plain(value, kind.__module__)
        for name, value in sorted(vars(kind).items())
        if isinstance(value, FunctionType) or not name.startswith(("__", "_abc_"))
    }
