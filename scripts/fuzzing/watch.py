"""Start workers, watch them, and store what they find; a run can be interrupted and resumed."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzzing.case import LASTING

SCRIPT = Path(__file__).resolve().parent.parent / "fuzz.py"
PREPARE_SECONDS = 300.0
"""Longest start of a worker."""
PATIENCE = 6
"""A hang is also this many times the limit of seconds without progress, busy or not."""
LIFE = 5000
"""Inputs of one worker: the next one starts with fresh memory."""
MOST_OF_A_KIND = 20
"""Inputs that are stored of one kind of find and one place."""


@dataclass
class State:
    """What a run did so far; stored as ``state.json``.

    Attributes:
        seed: of the inputs.
        next: the first input that is not done.
        seconds: of all starts together.
        finds: numbers by kind.
        places: numbers by the kind and the last lines of the message.
    """

    seed: int
    next: int = 0
    seconds: float = 0.0
    finds: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)

    def save(self, folder: Path) -> None:
        """Replace the stored state."""
        part = folder / "state.part"
        part.write_text(json.dumps(self.__dict__), "utf-8")
        part.replace(folder / "state.json")

    @classmethod
    def of(cls, folder: Path, seed: int) -> State:
        """The stored state of a folder, or a new one.

        Raises:
            ValueError: the folder has a run with another seed.
        """
        file = folder / "state.json"
        if not file.exists():
            return cls(seed)
        values = json.loads(file.read_text("utf-8"))
        if values["seed"] != seed:
            raise ValueError(f"{folder}: was run with --seed {values['seed']}; name another --out")
        counters = {name: Counter(values.pop(name)) for name in ("finds", "places")}
        return cls(**values, **counters)


class Process:
    """A worker, and its line of reports.

    Args:
        edge: its name or file.
        task: see :func:`fuzzing.worker.work`.
        log: file for what it prints.
    """

    def __init__(self, edge: str, task: dict[str, Any], log: Path) -> None:
        self._sandbox = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._log = log.open("ab")
        reading, writing = os.pipe()
        command = [sys.executable, str(SCRIPT), edge, "--worker", json.dumps(task)]
        command += ["--channel", str(writing), "--out", str(self._sandbox / "sandbox")]
        self._process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
            pass_fds=(writing,), start_new_session=True,
        )  # fmt: skip
        os.close(writing)
        self._channel, self._rest = reading, b""

    def lines(self, seconds: float) -> list[dict[str, Any]] | None:
        """Reports that come within some seconds; ``None`` at the end of the process."""
        if not select.select([self._channel], [], [], seconds)[0]:
            return []
        data = os.read(self._channel, 1 << 16)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def busy(self) -> float:
        """Seconds of processor time so far."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> int:
        """Kill it if it still runs; its exit code."""
        with suppress(ProcessLookupError, PermissionError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        os.close(self._channel)
        self._log.close()
        shutil.rmtree(self._sandbox, ignore_errors=True)
        return code

    def wait(self, seconds: float) -> None:
        """Wait for its own end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)


def watch(process: Process, hang: float, on_report: Any) -> tuple[int | None, str]:
    """Wait for the end of a worker, or for a hang.

    Args:
        process: the worker.
        hang: seconds of processor time for one input.
        on_report: gets each report; it returns whether to stop the worker.

    Returns:
        The number of the input at work at its end, ``None`` for none, and the kind of the find:
        ``crash``, ``hang`` or empty.
    """
    running: int | None = None
    started, busy, ready = time.monotonic(), 0.0, False
    try:
        while True:
            reports = process.lines(1.0)
            if reports is None:
                process.wait(10)
                break
            for report in reports:
                running = report.get("begin")
                if on_report(report):
                    return None, ""
            if reports:
                started, busy, ready = time.monotonic(), process.busy(), True
                continue
            waited = time.monotonic() - started
            if not ready and waited < PREPARE_SECONDS:
                continue
            if process.busy() - busy > hang or waited > PATIENCE * hang:
                return running, "hang"
    finally:
        code = process.end()
    return (running, "crash") if code else (running, "")


class Run:
    """Fuzzing of one edge.

    Args:
        edge: name or file.
        folder: where state, log and finds are stored.
        seed: of the inputs.
        hang: see :func:`watch`.
    """

    def __init__(self, edge: str, folder: Path, seed: int, hang: float) -> None:
        self._edge, self._folder, self._hang = edge, folder, hang
        self._finds = folder / "finds"
        folder.mkdir(parents=True, exist_ok=True)
        self.state = State.of(folder, seed)

    def go(self, inputs: int) -> State:
        """Run inputs until so many are done."""
        state, start, before = self.state, time.monotonic(), self.state.seconds
        saved = start

        def on_report(report: dict[str, Any]) -> bool:
            nonlocal saved
            if "done" in report:
                state.next = report["done"] + 1
            elif "find" in report:
                state.next = report["find"] + 1
                self._store(report["find"], report["kind"], report["detail"])
            now = time.monotonic()
            state.seconds = before + now - start
            if now > saved + 1:
                saved = now
                state.save(self._folder)
            return report.get("kind") in LASTING

        try:
            while state.next < inputs:
                end = min(inputs, state.next + LIFE)
                process = Process(self._edge, self._task(state.next, end), self._folder / "log.txt")
                running, kind = watch(process, self._hang, on_report)
                if kind and running is None:
                    raise RuntimeError(f"no worker starts; see {self._folder / 'log.txt'}")
                if kind:
                    state.next = running + 1  # type: ignore[operator]
                    self._store(int(running or 0), kind, self._tail())
        finally:
            state.save(self._folder)
        return state

    def _task(self, first: int, end: int) -> dict[str, Any]:
        seed, finds = self.state.seed, str(self._finds.absolute())
        return {"seed": seed, "first": first, "end": end, "finds": finds}

    def _tail(self) -> str:
        """The end of what workers printed."""
        content = (self._folder / "log.txt").read_bytes()[-3000:]
        return content.decode("utf-8", "replace")

    def _store(self, number: int, kind: str, detail: str) -> None:
        lines = [line.strip() for line in detail.strip().splitlines()]
        places = [line for line in lines if line.startswith("File ")][-1:]
        place = " ".join([kind, *places, lines[-1][:60] if lines else ""])
        if kind in ("crash", "hang"):
            place = kind  # the message is what the worker printed before
        self.state.finds[kind] += 1
        self.state.places[place] += 1
        folder = self._finds / str(number)
        if self.state.places[place] > MOST_OF_A_KIND:
            shutil.rmtree(folder, ignore_errors=True)
            return
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "find.txt").write_text(f"{kind}\n{detail}\n", "utf-8", "replace")
        if not (folder / "case.json").exists():  # the worker died before it could
            task = {**self._task(number, number + 1), "store": True}
            process = Process(self._edge, task, self._folder / "log.txt")
            process.wait(PREPARE_SECONDS)
            process.end()


def replay(edge: str, case: Path, hang: float, log: Path) -> str:
    """Run one stored input; what it breaks, empty if nothing."""
    found: list[str] = []

    def on_report(report: dict[str, Any]) -> bool:
        if "find" in report:
            found.append(f"{report['kind']}\n{report['detail']}")
        return False

    _, kind = watch(Process(edge, {"case": str(case)}, log), hang, on_report)
    return found[0] if found else kind
