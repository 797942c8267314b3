"""An input of a fuzzed edge, and what an edge is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

LASTING = ("memory", "outside")
"""Kinds of finds after which a process ends: the peak of memory, or a changed canary, would be
found again with the next input."""


@dataclass(frozen=True)
class Case:
    """One input.

    Attributes:
        call: what the edge does with it.
        files: contents by name.
        values: JSON values, such as options of the call.
    """

    call: str
    files: dict[str, bytes] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def to_text(self) -> str:
        """As JSON."""
        files = {name: base64.b64encode(content).decode() for name, content in self.files.items()}
        return json.dumps({"call": self.call, "files": files, "values": self.values})

    @classmethod
    def from_text(cls, text: str) -> Case:
        """The inverse of :meth:`to_text`."""
        found = json.loads(text)
        files = {name: base64.b64decode(content) for name, content in found["files"].items()}
        return cls(found["call"], files, found["values"])


class FindError(Exception):
    """A broken promise that is no exception of the program itself.

    Attributes:
        kind: ``outside``, ``memory``, ``executed`` or ``answer``.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True)
class Edge:
    """Something that reads or writes what comes from outside.

    Attributes:
        name: of the edge.
        prepare: makes what all inputs share (corpus, models) in a folder, and returns it.
        make: an input from what ``prepare`` returned and random numbers; it has no side effects.
        run: gives an input to the program. The folder is empty, and the only one where files may
            be written, besides that of ``prepare``.
        documented: exceptions besides ``SonotypeError`` that the called functions document.
        memory: MB that the process may grow by.
        keeps: whether files may be left in the folder of ``prepare``.
    """

    name: str
    prepare: Callable[[Path], Any]
    make: Callable[[Any, Random], Case]
    run: Callable[[Any, Case, Path], None]
    documented: tuple[type[BaseException], ...] = ()
    memory: int = 512
    keeps: bool = False
