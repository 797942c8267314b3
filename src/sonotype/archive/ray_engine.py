"""Units of work in a pool of Ray actors, by Ray Data.

Ray Data repeats a task whose actor ended without a limit. So each actor tells a counter when it
begins a unit: after too many beginnings the unit is reported as lost, and not done again. Blocks
that Ray Data loses, or a pipeline that it ends, leave units without a result; the caller does these
in its next round.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, replace
from itertools import islice
from typing import Any
from uuid import uuid4

from sonotype.archive.local_engine import OnUnit, failure, use_one_thread
from sonotype.archive.tasks import Message, OpenTask, Task, TaskSpec, Unit, work
from sonotype.core.errors import MissingExtraError, SonotypeError

SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Of Ray, where the user has not set them: no notes on the terminal, no reports of its use."""
CLUSTER_STARTS = 4
"""Tries to start a cluster: on a busy machine its processes may not be ready in the time that they
wait for each other."""
WAVE = 1024
"""Units of one pipeline."""
BLOCK = 8 << 20
"""Bytes of results that an actor gives at once."""
ERRORS = 5
"""So many pipelines in a row may end with an error without any result."""


def run_ray(
    spec: TaskSpec,
    units: Iterable[Unit],
    open_task: OpenTask,
    *,
    workers: int,
    address: str,
    retries: int,
    on_unit: OnUnit,
) -> Generator[Message, None, None]:
    """Do units in actors; their messages, in any order of the units.

    Args:
        spec: what to do.
        units: in the order of their start.
        open_task: opens the models in each actor.
        workers: number of actors; 0 for the processors, or GPUs, of the cluster.
        address: see :func:`connect`.
        retries: how often a unit whose actor ended is repeated; then it is ``lost``.
        on_unit: is called with each unit before it starts.

    Raises:
        MissingExtraError: Ray is not installed.
        SonotypeError: the cluster cannot be reached; the models cannot be opened there; the
            pipeline fails again and again.
    """
    ray = connect(address)
    if spec.device == "auto":
        has_gpus = ray.cluster_resources().get("GPU", 0) >= 1
        spec = replace(spec, device="cuda" if has_gpus else "cpu")
    counter = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Beginnings).remote()
    rest, failures = iter(units), 0
    while wave := list(islice(rest, WAVE)):
        for unit in wave:
            on_unit(unit)
        some = False
        try:
            for message in _pipeline(ray, spec, wave, open_task, counter, workers, retries):
                if message.kind == "failed":
                    raise SonotypeError(message.text)
                some = True
                yield message
        except ray.exceptions.RayError as error:
            failures = 0 if some else failures + 1
            if failures >= ERRORS:
                raise SonotypeError(f"Ray cannot do the work: {_first_line(error)}") from error
        else:
            failures = 0


def connect(address: str) -> Any:
    """Ray, connected to a cluster; a new one of this machine is given several tries to start.

    Args:
        address: of a running cluster; empty for that of the environment variable ``RAY_ADDRESS``,
            as in a job of a cluster, or for a new one.

    Raises:
        MissingExtraError: it is not installed.
        SonotypeError: the cluster cannot be reached.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("--engine ray", "ray") from error
    address = address or os.environ.get("RAY_ADDRESS", "")
    settings: dict[str, Any] = {} if address else {"include_dashboard": False}
    for tries in range(1 if address else CLUSTER_STARTS, 0, -1):
        if ray.is_initialized():
            break
        try:
            # Without an address Ray would wait for the last cluster of this machine, which may have
            # been killed.
            ray.init(
                address or "local", log_to_driver=False, logging_level=logging.ERROR, **settings
            )
        except Exception as error:  # Ray raises many kinds, Exception itself among them
            ray.shutdown()
            if tries > 1:
                continue
            where = f"--address {address}" if address else "a cluster on this machine"
            raise SonotypeError(
                f"{where}: Ray cannot connect ({_first_line(error)}); start a cluster with ray "
                "start --head, or use --engine local"
            ) from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return ray


class _Beginnings:
    """Counts how often each unit was begun."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()

    def begin(self, unit: str) -> int:
        """Count a beginning; how many there are."""
        self._numbers[unit] += 1
        return self._numbers[unit]


class _Actor:
    """Does units, which come as rows of a table; gives messages as rows of tables."""

    def __init__(
        self, spec: TaskSpec, open_task: OpenTask, counter: Any, retries: int, wave: str
    ) -> None:
        self._spec, self._open_task = spec, open_task
        self._counter, self._retries, self._wave = counter, retries, wave
        self._task: Task | None = None

    def __call__(self, table: Any) -> Iterator[Any]:
        for text in table.column("unit").to_pylist():
            for message in self._messages(Unit.from_json(text)):
                yield _table([message])

    def _messages(self, unit: Unit) -> Iterator[Message]:
        import ray

        if self._task is None:
            try:
                self._task = self._open_task(self._spec)
                use_one_thread()
            except Exception as error:
                yield failure(error)
                return
        begun = ray.get(self._counter.begin.remote(f"{self._wave} {unit.number}"))
        if begun > self._retries + 1:
            yield Message(unit.number, 0, "lost")
        else:
            yield from work(self._task, unit)


def _pipeline(
    ray: Any,
    spec: TaskSpec,
    units: list[Unit],
    open_task: OpenTask,
    counter: Any,
    workers: int,
    retries: int,
) -> Iterator[Message]:
    """The messages of some units."""
    data = ray.data
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK
    context.max_errored_blocks = -1
    gpus = int(spec.device == "cuda")
    available = int(ray.cluster_resources().get("GPU" if gpus else "CPU", 1))
    size = min(workers or max(available, 1), len(units))
    found = data.from_items(
        [{"unit": unit.to_json()} for unit in units], override_num_blocks=len(units)
    ).map_batches(
        _Actor,
        batch_size=1,
        batch_format="pyarrow",
        compute=data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
        fn_constructor_args=(spec, open_task, counter, retries, uuid4().hex),
        num_cpus=1,
        num_gpus=gpus,
    )
    with contextlib.closing(_tables(found)) as tables:
        for table in tables:
            for row in table.to_pylist():
                yield Message(**row)


def _tables(dataset: Any) -> Generator[Any, None, None]:
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _table(messages: list[Message]) -> Any:
    """Messages as a table, with one type for each column also where it is empty."""
    import pyarrow

    schema = pyarrow.schema(
        [
            ("unit", pyarrow.int64()),
            ("sequence", pyarrow.int64()),
            ("kind", pyarrow.string()),
            ("row", pyarrow.int64()),
            ("seconds", pyarrow.float64()),
            ("text", pyarrow.string()),
            ("table", pyarrow.large_binary()),
            ("before", pyarrow.string()),
        ]
    )
    return pyarrow.Table.from_pylist([asdict(one) for one in messages], schema=schema)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
