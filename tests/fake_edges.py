"""An edge with planted faults: what the harness of ``scripts/fuzz.py`` must find.

A fault has the number of its input.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzzing.case import Case, Edge

from sonotype.core.errors import SonotypeError

FAULTS = {
    2: "segfault", 4: "abort", 6: "hang", 8: "memory", 10: "exception", 12: "outside",
    14: "link", 16: "executed", 18: "parent", 20: "native",
}  # fmt: skip
CLEAN = 30
"""Inputs in all."""


def _prepare(folder: Path) -> dict[str, int]:
    return {"number": -1}


def _make(state: dict[str, int], rng: Random) -> Case:
    return Case("run", {"file": rng.randbytes(8)})


def _run(state: dict[str, int], case: Case, folder: Path) -> None:
    (folder / "file").write_bytes(case.files["file"])
    numbers = {_make(state, Random(f"7/{number}")).files["file"]: number for number in range(CLEAN)}
    fault = FAULTS.get(numbers[case.files["file"]], "")
    if fault:
        _faults(fault, folder)
    raise SonotypeError("the input is refused")


def _faults(fault: str, folder: Path) -> Any:
    if fault == "segfault":
        ctypes.string_at(0)
    elif fault == "abort":
        os.abort()
    elif fault == "hang":
        time.sleep(600)
    elif fault == "memory":
        np.ones(700 * 2**20, np.uint8).sum()
    elif fault == "exception":
        raise KeyError("unexpected")
    elif fault == "outside":
        (folder.parent.parent / "new").write_text("")
    elif fault == "link":
        (folder / "link").symlink_to(folder.parent)
        (folder / "link" / "new").write_text("")
    elif fault == "parent":
        (folder / ".." / "canary").write_text("changed")
    elif fault == "executed":
        subprocess.run([sys.executable, "-c", ""], check=True)
    elif fault == "native":  # by a C library, which Python does not see
        libc = ctypes.CDLL(None)
        libc.creat(os.fsencode(folder.parent / "native"), 0o600)


EDGE = Edge("fake", _prepare, _make, _run)
