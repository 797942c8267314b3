"""The engines: processes of this machine, or Ray."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sonotype.archive.archive_options import ArchiveOptions
from sonotype.archive.driver import Messages, OnUnit, RunUnits
from sonotype.archive.local_engine import run_local
from sonotype.archive.ray_engine import run_ray
from sonotype.archive.tasks import OpenTask, TaskSpec, Unit
from sonotype.core.cpu import available_cpus


def engine_of(options: ArchiveOptions) -> RunUnits:
    """The function that does units."""

    def local(
        spec: TaskSpec, units: Iterable[Unit], open_task: OpenTask, on_unit: OnUnit
    ) -> Messages:
        if spec.device == "auto":
            from sonotype.core.device import device_of

            spec = replace(spec, device=device_of("auto").type)
        workers = options.workers or (available_cpus() if spec.device == "cpu" else 1)
        return run_local(
            spec, units, open_task,
            workers=workers, retries=options.retries, on_unit=on_unit,
        )  # fmt: skip

    def on_ray(
        spec: TaskSpec, units: Iterable[Unit], open_task: OpenTask, on_unit: OnUnit
    ) -> Messages:
        return run_ray(
            spec, units, open_task, workers=options.workers, address=options.address,
            retries=options.retries, on_unit=on_unit,
        )  # fmt: skip

    return on_ray if options.engine == "ray" else local
