"""The one training job of a project: start, progress, cancel, and restart after a crash.

The job runs in a process of its own (:mod:`sonotype.app.worker`), which ends with the server. While
it runs, ``training.json`` in the hidden folder names it: a server that finds this file continues
the job. A process that has imported everything waits for the next job, so that it starts at once.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from sonotype.app.advice import advice_of
from sonotype.app.disk import writing
from sonotype.app.needs import BACKBONES, why_not
from sonotype.app.project import Project
from sonotype.app.state import State
from sonotype.app.training_steps import PREPARING, STARTING, Place, place_of
from sonotype.app.worker_process import KILLED, Process, answers, end_worker, give_job, start_worker
from sonotype.core.errors import OptionsError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text, read_json
from sonotype.experiments.run_files import finished_at
from sonotype.serve.problems import ProblemError

JOB, LOG = "training.json", "training.log"
"""In the hidden folder: the job that runs, and what its process prints."""
MOST_ATTEMPTS = 2
"""Starts of one job; a third would crash as well."""
INTERRUPTED = "the training was interrupted; train again"
CANCELLED = "the training was cancelled"
NO_REPORT = "the report was not written: "
CHANGED = "classes or sounds were changed during the training."

Outcome = Literal["running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class Job:
    """A training, and how far it is.

    Attributes:
        run: name of the run folder.
        backbone: as for ``sonotype train --backbone``.
        began: monotonic time of the start.
        attempts: how often the job was started.
        state: whether it runs, or how it ended.
        place: the step and the share that is done.
        message: the last line of the training, or why it failed.
        seconds: how long it took; ``None`` while it runs.
    """

    run: str
    backbone: str
    began: float
    attempts: int = 1
    state: Outcome = "running"
    place: Place = PREPARING
    message: str = ""
    seconds: float | None = None

    def values(self) -> dict[str, Any]:
        """The JSON values."""
        seconds = time.monotonic() - self.began if self.seconds is None else self.seconds
        return {
            "run": self.run,
            "state": self.state,
            "step": self.place.step,
            "fraction": self.place.fraction,
            "seconds": round(seconds, 1),
            "message": self.message,
        }


class Training:
    """The training job of a project. Every method may be called in any thread.

    Args:
        project: its sounds are the data, its folder of runs has the result.
        state: is notified of every change.
    """

    def __init__(self, project: Project, state: State) -> None:
        self._project, self._state = project, state
        self._lock = threading.RLock()
        self._job: Job | None = None
        self._process: Process | None = None
        self._spare: Process | None = None
        self._closed = False
        self._last = 0

    def values(self) -> dict[str, Any] | None:
        """The JSON values of the job that runs or ran last; ``None`` without one."""
        job = self._job
        return None if job is None else job.values()

    def open(self) -> None:
        """Continue the job that an earlier server left, and get ready for the next one."""
        with self._lock:
            self._closed = False
            left = read_job(self._project.hidden / JOB)
            if self._job is None and left is not None:
                run, backbone, attempts = left
                if attempts < MOST_ATTEMPTS:
                    self._run(Job(run, backbone, time.monotonic(), attempts + 1), resume=True)
                    return
                self._job = Job(run, backbone, time.monotonic())
                self._end("failed", INTERRUPTED)
        self.prepare()

    def prepare(self) -> None:
        """Start a process for the next job, if there is none: it takes seconds to import all."""
        with self._lock:
            if self._closed or self._running:
                return
            if self._spare is None or self._spare.poll() is not None:
                with suppress(OSError):
                    self._spare = start_worker()

    def start(self, backbone: str | None = None) -> dict[str, Any]:
        """Start a training on all sounds of the project.

        Args:
            backbone: its name; ``None`` for that of the project.

        Returns:
            The JSON values of the job.

        Raises:
            ProblemError: a training runs, there are not enough sounds, or the backbone or the
                folder cannot be used.
        """
        chosen = backbone or self._project.backbone
        if chosen not in BACKBONES:
            names = ", ".join(BACKBONES)
            raise ProblemError("invalid-parameter", f"The backbone is one of {names}.")
        if problem := why_not(chosen):
            raise ProblemError("not-possible", f"Backbone {chosen}: {problem}")
        self._require_sounds()
        self._project.require_writable()
        with self._lock:
            if self._running and self._job is not None:
                raise ProblemError("training-runs", "A training runs: wait for it, or cancel it.")
            kept = read_job(self._project.hidden / JOB)
            with writing(self._project.folder):
                job = self._next_run()
            if kept is not None:  # it failed, and the user does not wait for it
                shutil.rmtree(self._project.runs / kept[0], ignore_errors=True)
            return self._run(Job(job, chosen, time.monotonic()), resume=False)

    def cancel(self) -> dict[str, Any] | None:
        """End the job that runs, and remove its folder. Of an ended job nothing changes."""
        with self._lock:
            if not self._running:
                return self.values()
            if self._process is not None:
                end_worker(self._process)
            self._end("cancelled", CANCELLED)
        self.prepare()
        return self.values()

    def close(self) -> None:
        """End the processes. A job that runs is continued by the next server."""
        with self._lock:
            self._closed = True
            if self._running and self._job is not None:
                with suppress(OptionsError):
                    self._write(replace(self._job, attempts=0))
            for process in (self._process, self._spare):
                if process is not None:
                    end_worker(process)
            self._process = self._spare = None

    def wait(self, seconds: float) -> dict[str, Any] | None:
        """Wait until no job runs, for some seconds at most; returns the JSON values."""
        end = time.monotonic() + seconds
        while self._running and time.monotonic() < end:
            time.sleep(0.02)
        return self.values()

    @property
    def _running(self) -> bool:
        return self._job is not None and self._job.state == "running"

    def _require_sounds(self) -> None:
        needs = advice_of(self._project)
        if not needs.ready:
            raise ProblemError("too-few-sounds", needs.advice, missing=dict(needs.missing))

    def _next_run(self) -> str:
        """The name of a folder that no run of this project has had since the server started."""
        try:
            names = os.listdir(self._project.runs)  # noqa: PTH208 (names are wanted)
        except FileNotFoundError:
            names = []
        numbers = [int(name) for name in names if name.isascii() and name.isdecimal()]
        self._last = max([self._last, *numbers]) + 1
        return f"{self._last:04}"

    def _run(self, job: Job, *, resume: bool) -> dict[str, Any]:
        """Give the job to a process, and listen to it in a thread."""
        hidden = self._project.hidden
        order = {
            "kind": "train",
            "data": str(self._project.folder),
            "run": str(self._project.runs / job.run),
            "options": {"backbone": job.backbone},
            "resume": resume,
            "log": str(hidden / LOG),
        }
        self._job = job
        try:
            self._write(job)
            process = self._ready_process(order)
        except (OSError, OptionsError) as error:
            self._end("failed", f"the training cannot start: {error}")
            return job.values() if self._job is None else self._job.values()
        self._process = process
        threading.Thread(target=self._listen, args=(process,), daemon=True).start()
        self._state.changed()
        return job.values()

    def _ready_process(self, order: dict[str, Any]) -> Process:
        """A process that has the job: the one that waits, or a new one if that has ended."""
        process, self._spare = self._spare, None
        if process is not None:
            with suppress(OSError):
                give_job(process, order)
                return process
        process = start_worker()
        give_job(process, order)
        return process

    def _listen(self, process: Process) -> None:
        """Follow a process to its end."""
        for answer in answers(process):
            answer = self._explained(answer)
            with self._lock:
                if self._process is not process or self._job is None or not self._running:
                    break
                self._take(answer)
        end_worker(process)
        self.prepare()

    def _explained(self, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer; of a failure because classes or sounds are missing now, with what to do."""
        if answer.get("failed", KILLED) == KILLED:
            return answer
        try:
            needs = advice_of(self._project)
        except OSError:  # the folder changes at this moment
            return answer
        if needs.ready:
            return answer
        return {**answer, "failed": f"{CHANGED} {needs.advice}", "details": False}

    def _take(self, answer: dict[str, Any]) -> None:
        job, kind = self._job, answer["kind"]
        if job is None:
            return
        if kind == "end":
            if "failed" in answer:
                log = f"; details are in {self._project.hidden / LOG}" if answer["details"] else ""
                self._end("failed", f"{answer['failed']}{log}", keep=answer.get("keep", False))
            else:
                self._end("done", answer["warning"])
            return
        if kind == "ready":
            self._job = replace(job, place=STARTING)
        elif kind == "message":
            self._job = replace(job, message=" ".join(answer["text"].split()))
        elif kind == "step":
            place = place_of(answer["step"], answer["done"], answer["total"], job.place)
            self._job = replace(job, place=place)
        self._state.changed()

    def _end(self, state: Outcome, message: str, *, keep: bool = False) -> None:
        """Record the end of the job, whose process has ended or is about to.

        What an unfinished job has written is removed, and the next server does not continue it. A
        run that is finished but for its report stays.

        Args:
            state: of the job.
            message: what went wrong, if anything did.
            keep: whether what was written stays, and the next server continues it; a new training
                removes it.
        """
        if self._job is None:
            return
        run = self._project.runs / self._job.run
        if state != "done" and finished_at(run) is not None:
            state, message = "done", f"{NO_REPORT}{message}"
        keep = keep and state != "done"
        if state != "done" and not keep:
            shutil.rmtree(run, ignore_errors=True)
        place = Place("", 1.0) if state == "done" else self._job.place
        seconds = time.monotonic() - self._job.began
        self._job = replace(self._job, state=state, message=message, place=place, seconds=seconds)
        with suppress(OSError, OptionsError):
            if keep:
                self._write(replace(self._job, attempts=0))
            else:
                (self._project.hidden / JOB).unlink(missing_ok=True)
        self._process = None
        self._state.changed()

    def _write(self, job: Job) -> None:
        values = {"run": job.run, "backbone": job.backbone, "attempts": job.attempts}
        write_text(self._project.hidden / JOB, json_text(values) + "\n")


def read_job(path: Path) -> tuple[str, str, int] | None:
    """Run, backbone and attempts in the file of a job; ``None`` if it is missing or damaged."""
    try:
        found = read_json(path, finite=True)
        run, backbone, attempts = str(found["run"]), str(found["backbone"]), int(found["attempts"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    valid = run.isascii() and run.isdecimal() and backbone in BACKBONES
    return (run, backbone, attempts) if valid else None
