"""Start the processes of a training, or find those that torchrun or SLURM started.

With ``devices`` above 1, rank 0 opens the data, then runs its own command again once for each
further process of this machine. These read the same options from the same command line, open the
same data, and meet rank 0 before the training. A process that ends too early ends all of them.

Lightning can start processes as well. It does so in ``Trainer.fit``: too late for the processes to
share the computation of the feature maps, and a killed process then ends the first one by SIGTERM
without a message.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sonotype.config import TrainOptions
from sonotype.core.device import device_of
from sonotype.core.errors import OptionsError, SonotypeError
from sonotype.core.json_text import json_text
from sonotype.experiments.context import RunContext
from sonotype.training.ranks import (
    Ranks,
    current,
    disconnect,
    is_connection_error,
    join,
    require_equal,
)
from sonotype.training.result import DONE

STORE, RUN, PARENT, LOCAL_RANK, NODE_RANK = (
    "SONOTYPE_STORE",
    "SONOTYPE_RUN",
    "SONOTYPE_PARENT",
    "LOCAL_RANK",
    "NODE_RANK",
)
"""Environment variables of a process that :func:`several_processes` starts."""
INTERACTIVE_JOBS = ("bash", "interactive")
"""Names of SLURM jobs in which a user starts commands by hand."""
GRACE = 10.0
"""Seconds until a process that lost another one is ended, if it does not end by itself."""
LOOK = 0.5
"""Seconds between two looks for processes that have ended."""


ONE_RUN = (
    "a script with devices above 1 trains one run only, as it runs again in each process, and this "
    "one trains {first} and {second}; use a script for each, or devices 1"
)

_started: list[Path] = []
"""The run folder for which this process has started others."""


@dataclass(frozen=True)
class Place:
    """The ranks of this process, and who started it.

    Attributes:
        local_rank: number of the process on its machine.
        node: number of the machine.
        starts_others: it starts the other processes of this machine.
        started_here: by such a process.
    """

    local_rank: int = 0
    node: int = 0
    starts_others: bool = False
    started_here: bool = False

    @property
    def writes(self) -> bool:
        """Whether it writes the files and the messages: rank 0 does."""
        return self.local_rank == 0 and self.node == 0


@dataclass
class _Children:
    """Processes that this one started, by rank.

    Attributes:
        processes: by rank.
        lost: which one ended too early, and what to do; empty if none did.
        joined: all processes are connected; from then on, one may end with exit code 0.
        over: the training has ended.
    """

    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    lost: str = ""
    joined: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


def place_of(options: TrainOptions, folder: Path) -> Place:
    """The place of this process in the training that the options describe.

    Raises:
        OptionsError: the options do not fit the processes that exist.
    """
    environ, wanted = os.environ, options.devices * options.nodes
    if STORE in environ:
        _require_same_run(folder)
        return Place(int(environ[LOCAL_RANK]), int(environ[NODE_RANK]), started_here=True)
    if "TORCHELASTIC_RUN_ID" in environ:
        here, world = int(environ["LOCAL_WORLD_SIZE"]), int(environ["WORLD_SIZE"])
        if (options.devices, options.nodes) != (here, world // here):
            raise OptionsError(
                f"torchrun started {world} processes, {here} on this machine; set devices to "
                f"{here} and nodes to {world // here}"
            )
        return Place(int(environ["LOCAL_RANK"]), int(environ["GROUP_RANK"]))
    if wanted == 1:
        return Place()
    tasks = int(environ.get("SLURM_NTASKS", "1"))
    if tasks > 1 and environ.get("SLURM_JOB_NAME") not in INTERACTIVE_JOBS:
        if tasks != wanted:
            raise OptionsError(
                f"SLURM has {tasks} tasks, devices {options.devices} and nodes {options.nodes} are "
                f"{wanted}; give srun --nodes {options.nodes} --ntasks-per-node {options.devices}"
            )
        return Place(int(environ["SLURM_LOCALID"]), int(environ["SLURM_NODEID"]))
    missing = [name for name in (NODE_RANK, "MASTER_ADDR", "MASTER_PORT") if name not in environ]
    if options.nodes > 1 and missing:
        raise OptionsError(
            f"nodes is {options.nodes}: start this command on every machine with torchrun or srun, "
            f"or set {', '.join(missing)}"
        )
    return Place(0, int(environ[NODE_RANK]) if options.nodes > 1 else 0, starts_others=True)


def _require_same_run(folder: Path) -> None:
    """Raise an ``OptionsError`` in a started process whose script has another training first."""
    if folder.resolve() != Path(os.environ[RUN]):
        raise OptionsError(ONE_RUN.format(first=folder, second=os.environ[RUN]))


@contextmanager
def several_processes(context: RunContext, place: Place) -> Iterator[None]:
    """Connect the processes of a training in this block; start them unless another program did.

    A finished training needs none: rank 0 scores it alone.

    Raises:
        OptionsError: this machine has too few devices, or a process has other data.
        SonotypeError: a process was killed or failed.
    """
    options = context.options.train
    if options.devices * options.nodes == 1:
        yield
        return
    if (context.folder / "training" / DONE).exists():
        if not place.writes:
            raise SystemExit(0)
        yield
        return
    children = _Children()
    try:
        with _store(place, options) as store:
            _start(children, place, context, store)
            _connect(context, place, store, children)
            yield
            _wait(children)
    except Exception as error:
        who = "" if place.writes else f"rank {_ranks(place, options).rank}: "
        if is_connection_error(error):
            raise SonotypeError(f"{who}{_lost(children, place, context.folder)}") from error
        if isinstance(error, SonotypeError) and who:
            error.args = (f"{who}{error}", *error.args[1:])
        raise
    finally:
        _end(children)
        disconnect()


@contextmanager
def _store(place: Place, options: TrainOptions) -> Iterator[Path | None]:
    """The file in which the processes of one machine meet; ``None`` where they have an address."""
    if place.started_here and os.environ[STORE]:
        yield Path(os.environ[STORE])
    elif place.starts_others and options.nodes == 1:
        folder = tempfile.mkdtemp(prefix="sonotype-")
        try:
            yield Path(folder) / "store"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    else:
        yield None


def _ranks(place: Place, options: TrainOptions) -> Ranks:
    return Ranks(place.local_rank, place.node, options.devices, options.nodes)


def _connect(context: RunContext, place: Place, store: Path | None, children: _Children) -> None:
    """Join the other processes, with this machine's processors divided among its processes."""
    options = context.options.train
    device = device_of(options.device)
    if place.started_here:
        _end_with_parent()
    if not store and "SLURM_NTASKS" in os.environ:
        _name_slurm_address()
    if device.type == "cpu" and (place.starts_others or place.started_here):
        torch.set_num_threads(max(1, torch.get_num_threads() // options.devices))

    def require_alive() -> None:
        if children.lost:
            raise SonotypeError(_lost(children, place, context.folder))

    join(_ranks(place, options), device, store, require_alive)
    children.joined.set()
    facts = json_text([context.fingerprint, *map(repr, (options, context.options.split))])
    require_equal(hashlib.sha256(facts.encode()).digest(), "data or options")


def writes() -> bool:
    """Whether this process writes the files of the run: the only one, or rank 0."""
    return current().rank == 0


def require_joined(context: RunContext) -> None:
    """Raise an ``OptionsError`` if the processes that the options describe do not exist."""
    options = context.options.train
    wanted = options.devices * options.nodes
    if wanted == 1 or (context.folder / "training" / DONE).exists():
        return
    if current().world != wanted:
        raise OptionsError(
            "devices and nodes are for the commands train and distill, which train one network; "
            "leave them out"
        )


def require_devices(options: TrainOptions) -> None:
    """Raise an ``OptionsError`` if this machine has too few devices."""
    kind = device_of(options.device).type
    if options.devices > 1 and kind == "mps":
        raise OptionsError("a Mac has one device of kind mps; set devices to 1, or device to cpu")
    if kind == "cuda" and torch.cuda.device_count() < options.devices:
        raise OptionsError(
            f"devices is {options.devices}, this machine has {torch.cuda.device_count()} of kind "
            "cuda; set devices to that number or less"
        )


def _name_slurm_address() -> None:
    """Set the address of rank 0 from the variables of SLURM, unless it is set."""
    from pytorch_lightning.plugins.environments import (  # type: ignore[attr-defined]
        SLURMEnvironment,
    )

    nodes = os.environ.get("SLURM_STEP_NODELIST") or os.environ.get("SLURM_NODELIST", "127.0.0.1")
    os.environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
    port = 15_000 + int(os.environ.get("SLURM_JOB_ID", "0")[-4:])
    os.environ.setdefault("MASTER_PORT", str(port))


def _start(children: _Children, place: Place, context: RunContext, store: Path | None) -> None:
    """Run this command again for the other processes of this machine, and watch them."""
    options = context.options.train
    if not place.starts_others or options.devices == 1:
        return
    if _started:
        raise OptionsError(ONE_RUN.format(first=_started[0], second=context.folder))
    command = own_command()
    _started.append(context.folder)
    shared = {
        STORE: str(store or ""),
        RUN: str(context.folder.resolve()),
        PARENT: str(os.getpid()),
        NODE_RANK: str(place.node),
    }
    # A started process ignores ctrl-C: this one tells it when to stop.
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for local_rank in range(1, options.devices):
            variables = os.environ | shared | {LOCAL_RANK: str(local_rank)}
            rank = place.node * options.devices + local_rank
            children.processes[rank] = _popen(command, variables)
    finally:
        signal.signal(signal.SIGINT, handler)
    remedy = _remedy(context.folder)
    threading.Thread(target=_watch, args=(children, remedy), daemon=True).start()


def _popen(command: list[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - it is the command that runs
        command, env=dict(variables), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def own_command() -> list[str]:
    """The command line that started this process.

    Raises:
        OptionsError: it cannot be run again, as in a notebook.
    """
    main = sys.modules["__main__"]
    if (
        hasattr(sys, "ps1")
        or multiprocessing.parent_process() is not None
        or threading.current_thread() is not threading.main_thread()
        or not (hasattr(main, "__file__") or sys.argv[:1] == ["-c"])
    ):
        raise OptionsError(
            "devices above 1 runs the command again for each process, which is not possible in a "
            "notebook, an interactive session, a thread or a worker process; use sonotype train, "
            "or call train in the main thread of a script"
        )
    return [sys.executable, *sys.orig_argv[1:]]


def _watch(children: _Children, remedy: str) -> None:
    """End all processes when one has failed."""
    while not children.over.wait(LOOK):
        for rank, process in children.processes.items():
            code = process.poll()
            if code or (code == 0 and not children.joined.is_set()):
                children.lost = _how_ended(rank, code, remedy)
                for other in children.processes.values():
                    other.kill()
                if not children.over.wait(GRACE):
                    # The main thread waits in a library for the process that has ended.
                    sys.stderr.write(f"error: {children.lost}\n")
                    sys.stderr.flush()
                    os._exit(1)
                return


def _how_ended(rank: int, code: int, remedy: str) -> str:
    if code == 0:
        return (
            f"the process of rank {rank} ended without reaching the training; call train in every "
            "process, with the same arguments"
        )
    if code < 0:
        name = signal.Signals(-code).name
        cause = f"was killed ({name}), perhaps for lack of memory"
    else:
        cause = f"failed with exit code {code}, see its message"
    return f"the process of rank {rank} {cause}; {remedy}"


def _remedy(folder: Path) -> str:
    return f"continue with sonotype train --resume {folder}"


def _lost(children: _Children, place: Place, folder: Path) -> str:
    """The message of a process that lost the connection to another one."""
    end = time.monotonic() + (4 * LOOK if place.starts_others else 0)
    while not children.lost and time.monotonic() < end:
        time.sleep(LOOK / 5)
    return children.lost or f"another process of the training ended; {_remedy(folder)}"


def _wait(children: _Children) -> None:
    """Wait for the processes that this one started; they end after the training."""
    children.over.set()
    for process in children.processes.values():
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()


def _end(children: _Children) -> None:
    """End the processes that this one started, if they have not ended."""
    children.over.set()
    for process in children.processes.values():
        if process.poll() is None:
            process.kill()
        process.wait()


def _end_with_parent() -> None:
    """End this process soon after the one that started it; else it would wait for it."""
    parent = int(os.environ[PARENT])

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK)
        time.sleep(GRACE)  # the lost connection has ended it, as a rule
        sys.stderr.write("error: the process of rank 0 ended, so this one ends\n")
        sys.stderr.flush()
        os._exit(1)

    if sys.platform != "win32":  # there, the number of the parent stays
        threading.Thread(target=look, daemon=True).start()
