"""The process that gives inputs to the program; its parent watches it, see ``watch.py``."""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import logging
import os
import resource
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from random import Random
from typing import Any

from fuzzing.case import LASTING, Case, Edge, FindError
from fuzzing.guard import Canaries, Guard, own_temporary

SPARE = 4096
"""MB of address space beyond the start; the limit protects the machine."""


def load_edge(name: str) -> Edge:
    """The edge of a name, or the ``EDGE`` of a Python file."""
    if not name.endswith(".py"):
        found: Edge = importlib.import_module(f"fuzzing.edges.{name}").EDGE
        return found
    spec = importlib.util.spec_from_file_location("fuzzed_edge", name)
    assert spec is not None  # noqa: S101
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    edge: Edge = module.EDGE
    return edge


def case_of(edge: Edge, state: Any, seed: int, number: int) -> Case:
    """The input of a number: always the same one for a seed."""
    return edge.make(state, Random(f"{seed}/{number}"))


class Worker:
    """Runs inputs, one after the other.

    Args:
        edge: that takes them.
        sandbox: an empty folder.
        report: gets a line of JSON before and after each input.
        finds: folder for inputs that find something; ``None`` to store none.
    """

    def __init__(self, edge: Edge, sandbox: Path, report: Any, finds: Path | None = None) -> None:
        self.edge, self._report, self._finds = edge, report, finds
        self._case = sandbox / "work" / "case"
        prepared = sandbox / "prepared"
        prepared.mkdir(parents=True)
        (sandbox / "work").mkdir()
        own_temporary(sandbox / "temporary")
        self.state = edge.prepare(prepared)
        self._guard = Guard([self._case, sandbox / "temporary", prepared])
        self._canaries = Canaries(sandbox)

    def limit_memory(self) -> None:
        """Measure memory from here on, and limit the address space."""
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit = used + SPARE * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        self._peak = _peak()

    def run(self, number: int, case: Case) -> bool:
        """Run one input and report what it broke; whether another input can follow."""
        self.send({"begin": number})
        found = self._find(case)
        grown = _peak() - self._peak
        if found is None and grown > self.edge.memory:
            found = {"kind": "memory", "detail": f"{grown:.0f} MB more than at the start"}
        if found is not None and self._finds is not None:
            store_case(self._finds, number, case)
        self.send({"done": number} if found is None else {"find": number, **found})
        shutil.rmtree(self._case)
        self._case.mkdir()
        return found is None or found["kind"] not in LASTING

    def _find(self, case: Case) -> dict[str, str] | None:
        from sonotype.core.errors import SonotypeError

        with self._guard.watching() as events:
            found = None
            try:
                self.edge.run(self.state, case, self._case)
            except FindError as error:
                found = {"kind": error.kind, "detail": str(error)}
            except MemoryError:
                found = {"kind": "memory", "detail": traceback.format_exc()}
            except (SonotypeError, *self.edge.documented) as error:
                if "not enough memory" in str(error):
                    found = {"kind": "memory", "detail": traceback.format_exc()}
            except Exception:
                found = {"kind": "exception", "detail": traceback.format_exc()}
        if found is None and events:
            found = dict(zip(("kind", "detail"), events[0], strict=True))
        if found is None and (changed := self._canaries.changed()):
            found = {"kind": "outside", "detail": changed}
        return found

    def send(self, values: dict[str, Any]) -> None:
        """Report to the parent."""
        self._report.write(json.dumps(values) + "\n")
        self._report.flush()


def _peak() -> float:
    """Most memory that was resident, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(edge: str, sandbox: Path, channel: int, task: dict[str, Any]) -> None:
    """Run inputs by number, or one from a file.

    Args:
        edge: as for :func:`load_edge`.
        sandbox: an empty folder.
        channel: descriptor of the pipe to the parent.
        task: ``case``, a file; or ``seed``, ``first`` and ``end``, and ``finds``, a folder. With
            ``store`` the inputs are stored there and not run.
    """
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    finds = Path(task["finds"]) if "finds" in task else None
    with os.fdopen(channel, "w") as report:
        worker = Worker(load_edge(edge), sandbox, report, finds)
        worker.limit_memory()
        if "case" in task:
            worker.run(0, Case.from_text(Path(task["case"]).read_text("utf-8")))
            return
        worker.send({"ready": True})
        for number in range(task["first"], task["end"]):
            case = case_of(worker.edge, worker.state, task["seed"], number)
            if "store" in task and finds is not None:
                store_case(finds, number, case)
            elif not worker.run(number, case):
                return


def store_case(finds: Path, number: int, case: Case) -> None:
    """Write an input for a replay."""
    folder = finds / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "case.json").write_text(case.to_text(), "utf-8")
