"""How many processors there are to work on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def available_cpus() -> int:
    """Processors that this process may use: those of its affinity, within its cgroup's quota."""
    return max(1, int(min(_affinity(), _quota(Path("/")))))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quota(root: Path) -> float:
    """Processors that the cgroups of this process allow, rounded up; infinity without a limit.

    A limit of any ancestor holds as well. Version 2 has one file in each folder, ``cpu.max``, with
    quota and period in microseconds; version 1 has two.

    Args:
        root: of the file system.
    """
    allowed = float("inf")
    for folder in _cgroups(root):
        quota, period = _limit(folder)
        if quota > 0 and period > 0:
            allowed = min(allowed, -(-quota // period))
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
        for mount in mounted:
            # Inside a container the path may be one of the host, of which the mount is the end.
            own = mount / path.strip("/")
            while own != mount:
                yield own
                own = own.parent
            yield mount


def _limit(folder: Path) -> tuple[int, int]:
    """Quota and period of a cgroup in microseconds; a quota of 0 or less means no limit."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text(encoding="utf-8")
            period = (folder / "cpu.cfs_period_us").read_text(encoding="utf-8")
        return int(quota), int(period)
    except (OSError, ValueError):  # the word max, no such files, or files of another kind
        return 0, 0
