"""The machine, the installed versions, the clips, and other programs."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch
from torch.utils.benchmark import Timer

from benchmarks.baseline import ROOT, SECONDS
from sonotype.audio.clip import AudioSpec, load_clip
from sonotype.core.errors import OptionsError
from sonotype.data.records import is_sound

N_CLIPS = 16
RATES = (16_000, 32_000)
MATRIX = 2048
SCRIPT_TIMEOUT = 600


def describe(cores: int) -> str:
    """Processor, cores and memory."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = (names or [platform.processor() or platform.machine()])[0]
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (AttributeError, ValueError, OSError):
        return f"{processor}, {cores} cores, memory unknown"
    return f"{processor}, {cores} cores, {size:.0f} GB of memory"


def versions(packages: Iterable[str]) -> str:
    """Of Python and of the packages."""
    found = [f"Python {platform.python_version()}"]
    for package in sorted(set(packages), key=str.lower):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def matmul_peak(threads: int) -> float:
    """GFLOP/s of a float32 matrix product in torch, the best of eight."""
    x = torch.randn(MATRIX, MATRIX)
    timer = Timer("x @ x", globals={"x": x}, num_threads=threads)
    return float(2 * MATRIX**3 / min(timer.timeit(1).mean for _ in range(8)) / 1e9)


def command_seconds(folder: Path, repeats: int) -> dict[str, float]:
    """Median wall seconds of command lines, each run in a fresh process."""
    sound = folder / "clip.wav"
    soundfile.write(sound, np.load(folder / f"clips_{RATES[0]}.npy")[0], RATES[0])
    found = {}
    for title, words in (("--help", ["--help"]), ("predict clip.wav", ["predict", str(sound)])):
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            command = [sys.executable, "-m", "sonotype", *words]
            subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        found[f"sonotype {title}"] = median(seconds)
    return found


def write_clips(folder: Path, data: Path | None) -> str:
    """Write ``clips_RATE.npy``, ``[16, samples]``, for each rate; return a description.

    The clips are evenly spread over the sounds of ``data``, or of ``examples/esc10``.

    Raises:
        OptionsError: ``data`` has fewer than 16 sounds.
    """
    source = data or ROOT / "examples" / "esc10"
    paths = sorted(path for path in source.rglob("*") if is_sound(path))
    if len(paths) < N_CLIPS:
        raise OptionsError(f"{source} has {len(paths)} sounds; the benchmark needs {N_CLIPS}")
    chosen = [paths[number * len(paths) // N_CLIPS] for number in range(N_CLIPS)]
    for rate in RATES:
        spec = AudioSpec(sample_rate=rate, seconds=SECONDS)
        np.save(folder / f"clips_{rate}.npy", np.stack([load_clip(path, spec) for path in chosen]))
    return f"{N_CLIPS} recordings of {source.name}"


def run_script(path: Path, *, quick: bool) -> str:
    """What another benchmark prints, or a sentence that says how it failed."""
    command = [sys.executable, str(path), *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=SCRIPT_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return f"{path.name} took longer than {SCRIPT_TIMEOUT} s and was stopped."
    if done.returncode:
        return f"{path.name} failed with exit code {done.returncode}."
    return done.stdout.strip()
