"""A process of its own for a training or an export: ``python -m sonotype.app.worker``.

It imports everything, says that it is ready, and reads one job, a line of JSON, from its standard
input. It writes lines of JSON to its standard output, and ends after the job. It ends at once when
its standard input does, as it does when the server ends or is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from sonotype.core.errors import (
    LinkError,
    OptionsError,
    SonotypeError,
    UnreadableError,
    is_memory_error,
    memory_cause,
)
from sonotype.core.json_text import json_text, json_value

IDLE_SECONDS = 1800
"""A process without a job ends after this time, since it holds memory."""
TELL_SECONDS = 0.1
"""Least time between two lines about one step."""

KEPT = LinkError, UnreadableError
"""Errors of a run after which what was trained so far stays: the user can remove the cause."""

USED = (
    "sonotype.experiments.pipeline",
    "sonotype.report.run_report",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "scipy.optimize",
)

Tell = Callable[..., None]
"""Writes a line: its kind, and further entries by name."""


def main() -> None:
    """Do one job."""
    tell = _telling(_own_output())
    _warm()
    tell("ready")
    idle = threading.Timer(IDLE_SECONDS, os._exit, (0,))
    idle.daemon = True
    idle.start()
    line = sys.stdin.buffer.readline()
    idle.cancel()
    if not line:
        return
    threading.Thread(target=_end_with_input, daemon=True).start()
    job = json_value(line)
    _print_to(Path(job["log"]))
    work = {"train": train, "export": export}[job["kind"]]
    try:
        tell("end", **work(job, tell))
    except Exception as error:
        known = isinstance(error, SonotypeError | OSError) or is_memory_error(error)
        if not known:
            traceback.print_exc()
        tell("end", failed=_message_of(error), details=not known, keep=isinstance(error, KEPT))


def train(job: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Train as ``sonotype train DATA --backbone NAME --out RUN`` does, and write the report.

    Args:
        job: ``data``, ``run``, ``options`` and ``log``; with ``resume`` an interrupted run is
            continued, or begun anew where the sounds have changed.
        tell: gets lines ``step`` and ``message``.

    Returns:
        ``warning``: why there is no report; empty if there is one.

    Raises:
        SonotypeError: as for :func:`sonotype.experiments.pipeline.train`.
    """
    from sonotype.core.progress import observed
    from sonotype.experiments.run_folder import finished_at
    from sonotype.report.run_report import write_training_report

    run = Path(job["run"])
    with observed(_observer(tell)):
        if finished_at(run) is None:
            _train(job, run, lambda text: tell("message", text=text))
        try:
            write_training_report(run)
        except Exception as error:
            return {"warning": f"the report was not written: {_message_of(error)}"}
    return {"warning": ""}


def _train(job: Mapping[str, Any], run: Path, on_message: Callable[[str], None]) -> None:
    from sonotype.experiments.pipeline import train

    more: dict[str, Any] = {"progress": True, "on_message": on_message}
    if job["resume"]:
        try:
            train(None, run, resume=True, **more)
            return
        except KEPT:
            raise
        except OptionsError:  # nothing to continue, or the sounds have changed
            shutil.rmtree(run, ignore_errors=True)
    train(job["data"], run, **more, **job["options"])


def export(job: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Export the ``model`` to the file ``out``, which is new.

    Raises:
        SonotypeError: as for :func:`sonotype.export.onnx.export_onnx`.
    """
    from sonotype.core.progress import observed
    from sonotype.export.onnx import export_onnx

    with observed(_observer(tell)):
        export_onnx(job["model"], job["out"], progress=True)
    return {}


def _own_output() -> BinaryIO:
    """The standard output; whatever else is printed goes to the standard error from now on."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return own


def _print_to(log: Path) -> None:
    """Write what is printed, such as the details of an unexpected error, to a file."""
    with contextlib.suppress(OSError), log.open("wb") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)


def _telling(stream: BinaryIO) -> Tell:
    lock = threading.Lock()

    def tell(kind: str, **entries: Any) -> None:
        with lock:
            stream.write(json_text({"kind": kind, **entries}).encode() + b"\n")
            stream.flush()

    return tell


def _observer(tell: Tell) -> Callable[[str, float, float | None], None]:
    """An observer of progress that tells the first and the last item of a step, and some others."""
    last = 0.0

    def observer(step: str, done: float, total: float | None) -> None:
        nonlocal last
        now = time.monotonic()
        if done and done != total and now - last < TELL_SECONDS:
            return
        last = now
        tell("step", step=step, done=done, total=total)

    return observer


def _end_with_input() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def _warm() -> None:
    """Import, before there is a job, what every training uses and what takes time to import."""
    for name in USED:
        import_module(name)


def _message_of(error: Exception) -> str:
    if isinstance(error, SonotypeError):
        return str(error)
    if is_memory_error(error):
        return f"{memory_cause(error)}: close other programs, and train again"
    text = " ".join(str(error).split())
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        return f"{text}: free space, or check the folder, and train again"
    return f"unexpected {type(error).__name__}: {text}"


if __name__ == "__main__":
    main()
