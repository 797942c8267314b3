"""Run a study: every cell once, in any number of sittings and processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from sonotype.data.manifest import Manifest
from sonotype.data.parts import without_validation
from sonotype.data.rows import counted
from sonotype.data.source import open_source
from sonotype.data.splits import Split, cross_validation
from sonotype.errors import OptionsError, SonotypeError
from sonotype.progress import steps
from sonotype.study.cell import STOPPED, figures_of, finished, refuse_other, run_cell
from sonotype.study.plan import Cell, Plan
from sonotype.training.callbacks import Say, duration
from sonotype.training.run import inspect, parts_of, with_backbone
from sonotype.training.run_options import RunOptions


@dataclass(frozen=True)
class Task:
    """A cell with all that a process of its own needs to run it."""

    cell: Cell
    options: Mapping[str, Any]
    data: str
    manifest: Manifest
    fingerprint: str
    out: Path

    @property
    def folder(self) -> Path:
        """The cell's run folder."""
        return self.out / self.cell.folder


def run_study(
    plan: Plan,
    data: str | Path,
    out: str | Path,
    *,
    jobs: int = 1,
    progress: bool = False,
    say: Say = lambda _: None,
) -> bool:
    """Run every cell that is not finished; whether all are in the end.

    Each cell is a run folder as training makes it, with its log and its time beside. The maps of
    the frozen part are kept where those of all trainings are, so cells share them.

    Args:
        plan: from :func:`sonotype.study.plan.read_plan`.
        data: the source, as for training.
        out: the study's folder; finished cells in it are kept.
        jobs: cells that are run at a time, each in a process with its share of the processors.
        progress: draw bars.
        say: gets a line for each cell that is done.

    Raises:
        DataError: faults of the data.
        OptionsError: a cell in ``out`` was run with other options or data, or a fold is not there.
        SonotypeError: cells failed; the others are finished.
    """
    out = Path(out)
    tasks = _tasks(plan, data, out, progress)
    waiting = [task for task in tasks if not finished(task.folder)]
    done = len(tasks) - len(waiting)
    say(f"{plan.title}: {counted(len(tasks), 'cell')}, {done} of them finished")
    failures: dict[str, str] = {}
    start, count = time.monotonic(), 0
    interrupted = False
    with steps("cells", len(waiting), show=progress) as bar:
        for task, failure in _results(waiting, jobs, plan):
            if failure == STOPPED:
                interrupted = True
                continue
            count += 1
            name = task.cell.folder.removeprefix("cells/")
            if failure:
                failures[name] = failure
            left = (time.monotonic() - start) / count * (len(waiting) - count)
            state = f"failed: {failure}" if failure else figures_of(task.folder)
            with bar.done():
                say(f"{done + count:>3}/{len(tasks)}  {name}  {state}  {duration(left)} left")
    if failures:
        lines = "\n  ".join(f"{name}: {cause}" for name, cause in failures.items())
        raise SonotypeError(f"{len(failures)} of {counted(len(tasks), 'cell')} failed:\n  {lines}")
    return not interrupted


def _results(tasks: Sequence[Task], jobs: int, plan: Plan) -> Iterator[tuple[Task, str]]:
    """Each task as it ends, with what went wrong; those that teach before those that learn."""
    for _, turn in groupby(tasks, key=lambda task: plan.turn(task.cell.row)):
        failed = False
        for task, failure in _turn(list(turn), jobs):
            failed = failed or bool(failure)
            yield task, failure
        if failed:  # what learns from it would fail as well
            return


def _turn(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, str]]:
    if jobs <= 1:
        for task in tasks:
            failure = run_task(task)
            yield task, failure
            if failure == STOPPED:
                return
        return
    threads = max(1, (os.cpu_count() or 1) // jobs)
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), _begin_process, (threads,)
    )
    with pool:
        running = {pool.submit(run_task, task): task for task in tasks}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
                if future.result() == STOPPED:
                    pool.shutdown(wait=False, cancel_futures=True)
                    return
        except BrokenProcessPool:
            raise SonotypeError(
                "a process of the study was ended from outside, as happens where memory runs "
                "short; the same command goes on, and fewer --jobs need less memory"
            ) from None
        except KeyboardInterrupt:
            # The processes were interrupted as well, and leave their cells to be gone on with.
            pool.shutdown(wait=True, cancel_futures=True)
            yield next(iter(running.values())), STOPPED


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
    options = RunOptions.of({**task.options, "seed": task.cell.seed})
    try:
        parts = split_of(task.manifest, options, task.cell.fold)
    except SonotypeError as error:
        return str(error)
    return run_cell(
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
    return without_validation(parts) if options.train.keep == "last" else parts


def _tasks(plan: Plan, data: str | Path, out: Path, progress: bool) -> list[Task]:
    """Every cell, compared with what is already in the folder."""
    sources: dict[str, tuple[Manifest, str]] = {}
    tasks = []
    for cell in plan.cells():
        own = dict(plan.row(cell.row).options)
        if teachers := plan.teachers(cell.row):
            own["teachers"] = tuple(str(out / one.folder) for one in teachers)
        options = with_backbone(RunOptions.of({**own, "seed": cell.seed}), progress=progress)
        own["backbone"] = options.system.backbone
        key = repr(options.source)
        if key not in sources:
            manifest = inspect(open_source(data, options.source), progress=progress)
            # Decoded sounds are not kept for as long as a study takes.
            sources[key] = replace(manifest, decoded=None), manifest.fingerprint()
        manifest, fingerprint = sources[key]
        task = Task(cell, own, str(data), manifest, fingerprint, out)
        parts = split_of(manifest, options, cell.fold)
        refuse_other(task.folder, options, fingerprint, manifest, parts)
        tasks.append(task)
    return tasks
