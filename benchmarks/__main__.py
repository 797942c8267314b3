"""Compare this package with others: ``python -m benchmarks``, or ``make bench``.

Prints the page docs/benchmarks.md. Uses no network. Real clips, mn04's weights and YAMNet's file
come from the folder in the variable SONOTYPE_TEST_ASSETS, if it is set.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
import soundfile
import torch
from torch.utils.benchmark import Timer

from benchmarks.baseline import ROOT, SECONDS, Baseline, asset
from benchmarks.baselines import BASELINES
from benchmarks.measure import FULL, QUICK, measure
from benchmarks.report import cores, figure, render
from sonotype.audio.clip import AudioSpec, load_clip
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import SonotypeError
from sonotype.data.records import is_sound

SCRIPTS = {"Long recordings": "windows.py", "Training": "training.py"}
SCRIPT_TIMEOUT = 600
N_CLIPS = 16
RATES = (16_000, 32_000)
MATRIX = 2048


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one thread, few repeats")
    parser.add_argument("--out", type=Path, help="write the page to this file too")
    parser.add_argument(
        "--only", action="append", default=[], choices=[row.name for row in BASELINES],
        help="measure this row and the first row of its group; can be repeated",
    )  # fmt: skip
    options = parser.parse_args(argv)
    baselines = select(options.only)
    quick, n_cores, begin = options.quick, available_cpus(), time.perf_counter()

    def on_message(text: str) -> None:
        print(f"{time.perf_counter() - begin:4.0f} s  {text}", file=sys.stderr)

    threads = [1] if quick else sorted({1, n_cores})
    with tempfile.TemporaryDirectory(prefix="benchmarks_") as name:
        folder = Path(name)
        clips = write_clips(folder)
        rows = measure(baselines, folder, threads, QUICK if quick else FULL, on_message)
        peaks = {count: matmul_peak(count) for count in threads}
        peak_texts = [f"{figure(peak)} on {cores(count)}" for count, peak in peaks.items()]
        facts = {
            "Date": datetime.date.today().isoformat(),
            "Machine": describe_machine(n_cores),
            "GFLOP/s of a float32 matrix product": ", ".join(peak_texts),
            "Versions": versions(package for row in baselines for package in row.packages),
            "Clips": clips,
        }
        commands, extras = {}, {}
        if not options.only:
            commands = command_seconds(folder, 3 if quick else 5)
            on_message("other benchmarks")
            extras = {title: run_script(name, quick=quick) for title, name in SCRIPTS.items()}
    text = render(rows, peaks, facts, commands, extras)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    return 0


def select(only: Sequence[str]) -> list[Baseline]:
    """All rows, or the named rows and the first of each of their groups."""
    first: dict[str, str] = {}
    for row in BASELINES:
        first.setdefault(row.group, row.name)
    chosen = {*only, *(first[row.group] for row in BASELINES if row.name in only)}
    return [row for row in BASELINES if row.name in chosen or not only]


def write_clips(folder: Path) -> str:
    """Write ``clips_RATE.npy``, ``[16, samples]``, for each rate; return a description.

    The clips are evenly spread over ESC-50 if it is there, else over ``examples/esc10``.
    """
    source = asset("data/esc50") or ROOT / "examples" / "esc10"
    paths = sorted(path for path in source.rglob("*") if is_sound(path))
    chosen = [paths[number * len(paths) // N_CLIPS] for number in range(N_CLIPS)]
    for rate in RATES:
        spec = AudioSpec(sample_rate=rate, seconds=SECONDS)
        np.save(folder / f"clips_{rate}.npy", np.stack([load_clip(path, spec) for path in chosen]))
    return f"{N_CLIPS} recordings of {source.name}"


def matmul_peak(threads: int) -> float:
    """GFLOP/s of a float32 matrix product in torch, the best of eight."""
    x = torch.randn(MATRIX, MATRIX)
    timer = Timer("x @ x", globals={"x": x}, num_threads=threads)
    return float(2 * MATRIX**3 / min(timer.timeit(1).mean for _ in range(8)) / 1e9)


def describe_machine(n_cores: int) -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    processor = (names or [platform.processor() or platform.machine()])[0]
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{processor}, {n_cores} cores, {gigabytes:.0f} GB of memory"


def versions(packages: Iterable[str]) -> str:
    found = [f"Python {platform.python_version()}"]
    for package in sorted(set(packages), key=str.lower):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def command_seconds(folder: Path, repeats: int) -> dict[str, float]:
    """Median wall seconds of command lines, each run in a fresh process."""
    sound = folder / "clip.wav"
    soundfile.write(sound, np.load(folder / f"clips_{RATES[0]}.npy")[0], RATES[0])
    found = {}
    for words in ["--help"], ["predict", sound.name]:
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            command = [sys.executable, "-m", "sonotype", *words]
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
            seconds.append(time.perf_counter() - start)
        found[f"sonotype {' '.join(words)}"] = median(seconds)
    return found


def run_script(name: str, *, quick: bool) -> str:
    """The output of another benchmark, or a sentence that says how it failed."""
    command = [sys.executable, str(Path(__file__).parent / name), *["--quick"] * quick]
    try:
        return subprocess.check_output(command, text=True, timeout=SCRIPT_TIMEOUT).strip()
    except subprocess.TimeoutExpired:
        return f"{name} took longer than {SCRIPT_TIMEOUT} s and was stopped."
    except subprocess.CalledProcessError as error:
        return f"{name} failed with exit code {error.returncode}."


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
