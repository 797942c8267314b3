"""The number of processors that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from math import ceil, inf
from pathlib import Path, PurePosixPath


def available_cpus() -> int:
    """Processors that this process may use: those of its affinity, within its cgroup's quota."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    return max(1, int(min(allowed, _quota(Path("/")))))


def _quota(root: Path) -> float:
    """Processors that the cgroups of this process allow, rounded up; infinity without a limit.

    A limit of any ancestor holds as well. Version 2 has one file in each folder, ``cpu.max``, with
    quota and period in microseconds; version 1 has two. No limit is a quota of -1 or ``max``.

    Args:
        root: of the file system.
    """
    allowed = inf
    for folder in _cgroups(root):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            with suppress(OSError, ValueError):  # no such file, or the word max
                texts = [(folder / name).read_text(encoding="utf-8") for name in names]
                quota, period = map(int, " ".join(texts).split())
                if quota > 0 and period > 0:
                    allowed = min(allowed, ceil(quota / period))
    return allowed


def _cgroups(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups and of their ancestors, as far as they are mounted."""
    mounts = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounted = [mounts, mounts / "unified"]
        elif "cpu" in controllers.split(","):
            mounted = [mounts / "cpu", mounts / controllers]
        else:
            continue
        # Inside a container the path may be one of the host, whose end is the mount.
        own = PurePosixPath(path.lstrip("/"))
        yield from (mount / folder for mount in mounted for folder in (own, *own.parents))
