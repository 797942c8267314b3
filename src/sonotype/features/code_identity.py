"""Digest of the code and constants that compute feature maps, for the keys of the cache."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
import pkgutil
import re
from types import ModuleType
from typing import Any

PACKAGES = (
    "sonotype.audio",
    "sonotype.data.augment",
    "sonotype.frontends",
    "sonotype.models",
    "sonotype.sliding",
)
MODULES = ("sonotype.features.cache", "sonotype.features.vectors")


def code_identity(*more: str) -> str:
    """Digest of the code of :data:`PACKAGES`, :data:`MODULES` and ``more`` modules.

    It covers the file of each module and its upper-case constants as they are now, so a constant
    that is changed at run time gives another digest too.
    """
    modules = [importlib.import_module(name) for name in (*_names(), *more)]
    facts = [[_file_digest(module), _constants(module)] for module in modules]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@functools.cache
def _names() -> tuple[str, ...]:
    found = [*PACKAGES, *MODULES]
    for name in PACKAGES:
        path = importlib.import_module(name).__path__
        found += [module.name for module in pkgutil.walk_packages(path, f"{name}.")]
    return tuple(sorted(found))


@functools.cache
def _file_digest(module: ModuleType) -> str:
    """Of the module's file; the package may be in a zip archive, or without its source."""
    loader: Any = module.__loader__
    return hashlib.sha256(loader.get_data(module.__file__)).hexdigest()


def _constants(module: ModuleType) -> dict[str, str]:
    """Upper-case names of a module, also imported ones, with the values as text."""
    constants = {name: _text(value) for name, value in vars(module).items() if name.isupper()}
    return {name: re.sub(" at 0x[0-9a-f]+", "", text) for name, text in constants.items()}


def _text(value: object) -> str:
    """A value as text; the order of a set differs from process to process."""
    return f"set {sorted(map(repr, value))}" if isinstance(value, set | frozenset) else repr(value)
