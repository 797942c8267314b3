"""The machine: what it is, what is installed on it, and how fast it multiplies."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.team import ROOT, environment

MATMUL = """
import json, time, torch
size = 2048
a, b = torch.randn(size, size), torch.randn(size, size)
best = float("inf")
for _ in range(8):
    start = time.perf_counter()
    a @ b
    best = min(best, time.perf_counter() - start)
print(json.dumps(2 * size**3 / best / 1e9))
"""


def processor() -> str:
    """The model's name."""
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> str:
    """Of the whole machine."""
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return "memory unknown"
    return f"{pages / 2**30:.0f} GB of memory"


def versions(packages: Iterable[str]) -> str:
    """Of Python and of those packages that are installed."""
    named = [f"Python {platform.python_version()}"]
    for package in sorted(set(packages), key=str.lower):
        try:
            named.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            named.append(f"{package} not installed")
    return ", ".join(named)


def matmul_peak(threads: int) -> float:
    """GFLOP/s of a float32 matrix product in torch, the best of eight."""
    done = subprocess.run(
        [sys.executable, "-c", MATMUL], env=environment(threads), check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    return float(json.loads(done.stdout))


def seconds_of_command(words: Iterable[str], repeats: int) -> float:
    """Median wall seconds of ``sonotype`` with these words, each in a fresh process."""
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "sonotype", *words], cwd=ROOT, check=True, capture_output=True
        )
        taken.append(time.perf_counter() - start)
    return median(taken)
