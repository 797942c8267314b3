"""How many processors a process may use: affinity, and quotas of fake cgroups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sonotype.core import cpu as module
from sonotype.core.cpu import available_cpus


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V1 = "5:memory:/m\n2:cpu,cpuacct:/docker/abc\n0::/\n"
GROUP = "sys/fs/cgroup"


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "200000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "10000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "max 100000\n"}, float("inf")),
        ({"proc/self/cgroup": "0::/\n", f"{GROUP}/cpu.max": "nonsense"}, float("inf")),
        ({"proc/self/cgroup": "0::/\n"}, float("inf")),
        ({}, float("inf")),
        # The own group, and a lower limit of its parent.
        (
            {
                "proc/self/cgroup": "0::/user/job:1\n",
                f"{GROUP}/user/job:1/cpu.max": "400000 100000\n",
                f"{GROUP}/user/cpu.max": "300000 100000\n",
                f"{GROUP}/cpu.max": "max 100000\n",
            },
            3,
        ),
        # A path of the host that is not there inside the container.
        ({"proc/self/cgroup": "0::/host/x\n", f"{GROUP}/cpu.max": "250000 50000\n"}, 5),
        (
            {
                "proc/self/cgroup": V1,
                f"{GROUP}/cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "250000\n",
                f"{GROUP}/cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            {
                "proc/self/cgroup": V1,
                f"{GROUP}/cpu/cpu.cfs_quota_us": "200000\n",
                f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": V1,
                f"{GROUP}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{GROUP}/cpu/cpu.cfs_period_us": "100000\n",
            },
            float("inf"),
        ),
        # Both versions at a time.
        (
            {
                "proc/self/cgroup": "2:cpu:/a\n0::/b\n",
                f"{GROUP}/cpu/a/cpu.cfs_quota_us": "400000\n",
                f"{GROUP}/cpu/a/cpu.cfs_period_us": "100000\n",
                f"{GROUP}/unified/b/cpu.max": "700000 100000\n",
            },
            4,
        ),
    ],
)
def test_the_quota_of_a_cgroup(tmp_path: Path, files: dict[str, str], allowed: float) -> None:
    assert module._quota(write(tmp_path, files)) == allowed


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs affinities")
@pytest.mark.parametrize(
    ("affinity", "quota", "wanted"), [(8, 3, 3), (2, 3, 2), (4, float("inf"), 4), (4, 0, 1)]
)
def test_the_smaller_of_affinity_and_quota_and_at_least_1(
    monkeypatch: pytest.MonkeyPatch, affinity: int, quota: float, wanted: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
    monkeypatch.setattr(module, "_quota", lambda _: quota)
    assert available_cpus() == wanted
    assert isinstance(available_cpus(), int)
