"""Run a study: every cell once, in any number of sittings and processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from sonotype.core.cpu import available_cpus
from sonotype.core.errors import OptionsError
from sonotype.core.progress import steps
from sonotype.data.manifest import Manifest
from sonotype.data.readers.source import open_source
from sonotype.data.records import counted
from sonotype.data.splits.split import Split, cross_validation
from sonotype.data.splits.subsets import without_validation
from sonotype.experiments.failed_runs import FailedRunsError, described
from sonotype.experiments.grid_plan import Plan, PlannedRun
from sonotype.experiments.pipeline import inspect, parts_of, with_backbone
from sonotype.experiments.run_folder import CONFIG
from sonotype.experiments.run_options import RunOptions
from sonotype.experiments.runner import (
    STOPPED,
    check_same_config,
    figures_of,
    finished,
    note_failure,
    run_planned,
)
from sonotype.modelfile.pretrained import is_model_file
from sonotype.training.callbacks import OnMessage, duration

ENDED = (
    "its process was ended from outside, as happens where memory runs short; the same command goes "
    "on, and fewer --jobs need less memory"
)


@dataclass(frozen=True)
class Task:
    """A cell with all that a process of its own needs to run it."""

    planned: PlannedRun
    options: Mapping[str, Any]
    data: str
    manifest: Manifest
    fingerprint: str
    out: Path

    @property
    def folder(self) -> Path:
        """The cell's run folder."""
        return self.out / self.planned.folder


def run_study(
    plan: Plan,
    data: str | Path,
    out: str | Path,
    *,
    jobs: int = 1,
    progress: bool = False,
    on_message: OnMessage = lambda _: None,
) -> bool:
    """Run every cell that is not finished; whether all are in the end.

    Each cell is a run folder as training makes it, with its log and its time beside. The maps of
    the frozen part are kept where those of all trainings are, so cells share them.

    Args:
        plan: from :func:`sonotype.experiments.grid_plan.read_plan`.
        data: the source, as for training.
        out: the study's folder; finished cells in it are kept.
        jobs: cells that are run at a time, each in a process with its share of the processors.
        progress: draw bars.
        on_message: gets a line for each cell that is done.

    Raises:
        DataError: faults of the data.
        OptionsError: a cell in ``out`` was run with other options or data, or a fold is not there.
        FailedRunsError: cells failed; the others are finished. The next call runs these again.
    """
    out = Path(out)
    noted = _noted_paths(out)
    tasks = _tasks(plan, _found_again(str(data), noted), out, noted, progress)
    buffer_size = [task for task in tasks if not finished(task.folder)]
    done = len(tasks) - len(buffer_size)
    on_message(f"{plan.title}: {counted(len(tasks), 'cell')}, {done} of them finished")
    failures: dict[str, str] = {}
    start, count = time.monotonic(), 0
    interrupted = False
    for task in buffer_size:
        note_failure(task.folder, "")
    with steps("runs", len(buffer_size), show=progress) as bar:
        for task, failure in _results(buffer_size, jobs, plan):
            if failure == STOPPED:
                interrupted = True
                continue
            count += 1
            name = task.planned.folder.removeprefix("runs/")
            if failure:
                failures[name] = failure
                note_failure(task.folder, failure)
            left = (time.monotonic() - start) / count * (len(buffer_size) - count)
            state = f"failed: {failure}" if failure else figures_of(task.folder)
            with bar.done():
                on_message(
                    f"{done + count:>3}/{len(tasks)}  {name}  {state}  {duration(left)} left"
                )
    if failures:
        skipped = 0 if interrupted else len(buffer_size) - count
        more = f"{counted(skipped, 'cell')} not run: a teacher failed" if skipped else ""
        raise FailedRunsError(counted(len(tasks), "cell"), failures, more)
    return not interrupted


def _results(tasks: Sequence[Task], jobs: int, plan: Plan) -> Iterator[tuple[Task, str]]:
    """Each task as it ends, with what went wrong; those that teach before those that learn.

    What learns from a task that failed would fail as well, and is left out.
    """
    failed: set[PlannedRun] = set()
    for _, level in groupby(tasks, key=lambda task: plan.level(task.planned.row)):
        ready: list[Task] = []
        for task in level:
            if failed.isdisjoint(plan.teachers(task.planned.row)):
                ready.append(task)
            else:
                failed.add(task.planned)
        for task, failure in _run_level(ready, jobs):
            if failure:
                failed.add(task.planned)
            yield task, failure
            if failure == STOPPED:
                return


def _run_level(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, str]]:
    if jobs <= 1:
        for task in tasks:
            failure = run_task(task)
            yield task, failure
            if failure == STOPPED:
                return
        return
    threads = max(1, available_cpus() // jobs)
    buffer_size = list(reversed(tasks))
    # A pool of one process each: where a process dies, it is known which cell it was running.
    idle = [_process(threads) for _ in range(min(jobs, len(tasks)))]
    running: dict[Future[str], tuple[ProcessPoolExecutor, Task]] = {}
    try:
        while buffer_size or running:
            while buffer_size and idle:
                pool, task = idle.pop(), buffer_size.pop()
                running[_submitted(pool, task)] = pool, task
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                pool, task = running.pop(future)
                try:
                    failure = future.result()
                except BrokenProcessPool:
                    failure = ENDED
                    pool.shutdown(wait=False)
                    pool = _process(threads)
                except Exception as error:  # such as an answer that cannot be sent
                    failure = described(error)
                idle.append(pool)
                yield task, failure
                if failure == STOPPED:
                    return
    except KeyboardInterrupt:
        # The processes were interrupted as well; their cells can be resumed.
        yield next((task for _, task in running.values()), tasks[0]), STOPPED
    finally:
        for pool in [*idle, *(pool for pool, _ in running.values())]:
            pool.shutdown(wait=True, cancel_futures=True)


def _process(threads: int) -> ProcessPoolExecutor:
    """A process that runs one cell at a time; it starts with its first."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_process, (threads,))


def _submitted(pool: ProcessPoolExecutor, task: Task) -> Future[str]:
    """The task's result to come, also where the process has died meanwhile."""
    try:
        return pool.submit(run_task, task)
    except BrokenProcessPool as error:
        broken: Future[str] = Future()
        broken.set_exception(error)
        return broken


def _begin_process(threads: int) -> None:
    """Take a share of the processors; end when the study itself is killed."""
    torch.set_num_threads(threads)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()


def run_task(task: Task) -> str:
    """Run one cell, in whatever process; what went wrong, or nothing."""
    try:
        options = RunOptions.of({**task.options, "seed": task.planned.seed})
        parts = split_of(task.manifest, options, task.planned.fold)
    except Exception as error:  # one cell's; the others go on
        return described(error)
    return run_planned(
        task.manifest,
        parts,
        task.folder,
        options,
        data=task.data,
        fingerprint=task.fingerprint,
    )


def split_of(manifest: Manifest, options: RunOptions, fold: int | None) -> Split:
    """The parts of a cell: those of cross-validation whose test part is the fold, or a split.

    Raises:
        OptionsError: the source has no such fold.
    """
    if fold is None:
        return parts_of(manifest, options)
    if len(manifest.folds) == 1:
        raise OptionsError(f"{manifest.name} has fold {manifest.folds[0]} alone; two are needed")
    if fold not in manifest.folds:
        there = ", ".join(map(str, manifest.folds)) or "no folds"
        raise OptionsError(f"fold {fold} is not in {manifest.name}; there are {there}")
    splits = cross_validation(manifest, seed=options.train.seed)
    parts = splits[manifest.folds.index(fold)]
    return without_validation(parts) if options.train.checkpoint == "last" else parts


def _noted_paths(out: Path) -> set[Path]:
    """Absolute paths that the finished and unfinished cells of a study have noted."""
    noted: set[Path] = set()
    for path in out.glob(f"runs/*/*/{CONFIG}"):
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            options = config["options"]
            names = [config["data"], options["backbone"], *options["unlabelled"]]
            noted |= {Path(name) for name in names}
        except (OSError, ValueError, KeyError, TypeError):  # told when the cell is compared
            continue
    return {path for path in noted if path.is_absolute()}


def _found_again(name: str, noted: Collection[Path]) -> str:
    """A path that is not there from this working directory, as the study has noted it before.

    The file of a study names paths from where the study was begun.
    """
    path = Path(name)
    if path.is_absolute() or path.exists():
        return name
    parts = tuple(part for part in path.parts if part != "..")
    same = [one for one in noted if parts and one.parts[-len(parts) :] == parts]
    return str(same[0]) if len(same) == 1 else name


def _tasks(plan: Plan, data: str, out: Path, noted: Collection[Path], progress: bool) -> list[Task]:
    """Every cell, compared with what is already in the folder."""
    sources: dict[str, tuple[Manifest, str]] = {}
    tasks = []
    for planned in plan.planned_runs():
        own = dict(plan.row(planned.row).options)
        if is_model_file(own.get("backbone", "")):
            own["backbone"] = _found_again(own["backbone"], noted)
        if "unlabelled" in own:
            own["unlabelled"] = tuple(_found_again(one, noted) for one in own["unlabelled"])
        if teachers := plan.teachers(planned.row):
            own["teachers"] = tuple(str(out / one.folder) for one in teachers)
        options = with_backbone(RunOptions.of({**own, "seed": planned.seed}), progress=progress)
        own["backbone"] = options.system.backbone
        key = repr(options.source)
        if key not in sources:
            manifest = inspect(open_source(data, options.source), progress=progress)
            # Decoded sounds are not kept for as long as a study takes.
            sources[key] = replace(manifest, decoded=None), manifest.fingerprint()
        manifest, fingerprint = sources[key]
        task = Task(planned, own, data, manifest, fingerprint, out)
        parts = split_of(manifest, options, planned.fold)
        check_same_config(task.folder, options, fingerprint, manifest, parts)
        tasks.append(task)
    return tasks
