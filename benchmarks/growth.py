"""Cost against size: ``python -m benchmarks.growth files|hours|training --out FOLDER``.

Runs commands on more and more files, on longer and longer recordings, and on more and more training
clips, each in a process of its own. One row for each size: wall time, CPU time of the process and
its workers, the largest memory of one process, and the size of the output. CPU time depends least
on what else the computer does. The sounds are clips of a folder, copied under new names: links to
one file are one recording.
Rows are kept in FOLDER/rows.jsonl, and the sizes that it has are not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile

SIZES: dict[str, tuple[float, ...]] = {
    "files": (10, 100, 1_000, 10_000),
    "hours": (10 / 3600, 0.1, 1.0, 6.0, 24.0),
    "training": (1_000, 3_000, 10_000, 30_000, 100_000),
}
MEGABYTE = 1e6


@dataclass(frozen=True)
class Row:
    """The cost of one command.

    Attributes:
        what: was run.
        size: files, hours or clips.
        workers: processes of the command.
        wall: seconds.
        cpu: seconds of all processes.
        memory: of the largest process in MB.
        output: bytes of what was written, in MB.
    """

    what: str
    size: float
    workers: int
    wall: float
    cpu: float
    memory: float
    output: float


def measured(what: str, size: float, workers: int, command: Sequence[str], out: Path) -> Row:
    """Run a command of the program; its output folder is removed afterwards."""
    shutil.rmtree(out, ignore_errors=True)
    begin = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sonotype", *command, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    wall = time.monotonic() - begin
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    cpu = usage.ru_utime + usage.ru_stime
    return Row(what, size, workers, wall, cpu, usage.ru_maxrss * 1024 / MEGABYTE,
               written / MEGABYTE)  # fmt: skip


def files(clips: Sequence[Path], folder: Path, count: int) -> Path:
    """A folder with copies of clips under new names, a hundred in each folder."""
    made = folder / f"files_{count}"
    if not made.exists():
        for number in range(count):
            clip = clips[number % len(clips)]
            path = made / f"site_{number // 100:04}" / f"{number:06}{clip.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(clip, path)
    return made


def hours(clips: Sequence[Path], folder: Path, length: float) -> Path:
    """A recording of a length in hours: the clips one after the other."""
    path = folder / f"hours_{length:.4f}.wav"
    if not path.exists():
        rate = soundfile.info(clips[0]).samplerate
        left = round(length * 3600 * rate)
        with soundfile.SoundFile(path, "w", rate, 1, "PCM_16", format="RF64") as file:
            number = 0
            while left > 0:
                samples = soundfile.read(clips[number % len(clips)], always_2d=True)[0][:left, 0]
                file.write(samples)
                left -= len(samples)
                number += 1
    return path


def training(clips: Sequence[Path], folder: Path, count: int) -> Path:
    """A folder of ten classes: a second of a clip with noise, each one different."""
    made = folder / f"training_{count}"
    if not made.exists():
        with ProcessPoolExecutor() as pool:
            numbers = range(0, count, 1000)
            list(pool.map(partial(noisy_clips, list(clips[:10]), made, count), numbers))
    return made


def noisy_clips(clips: Sequence[Path], folder: Path, count: int, first: int) -> None:
    """Write at most a thousand of them."""
    rng = np.random.default_rng(first)
    sounds = [soundfile.read(clip, always_2d=True) for clip in clips]
    for number in range(first, min(first + 1000, count)):
        samples, rate = sounds[number % len(sounds)]
        path = folder / f"class_{number % 10}" / f"{number:06}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = int(rng.integers(0, max(1, len(samples) - rate)))
        clip = np.resize(samples[start : start + rate, 0], rate) * rng.uniform(0.2, 1)
        soundfile.write(path, clip + 0.01 * rng.standard_normal(rate), rate, "PCM_16")


class Rows:
    """The rows of a folder; those that are there are not measured again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "rows.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self.known = [Row(**json.loads(line)) for line in lines]

    def add(self, what: str, size: float, workers: int, measure: Callable[[], Row]) -> None:
        """Measure a row if it is missing, store it and print it."""
        if any((one.what, one.size, one.workers) == (what, size, workers) for one in self.known):
            return
        row = measure()
        self.known.append(row)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(
            f"{row.what:<28} {row.size:>10g} {row.workers} wall {row.wall:8.1f} s  "
            f"cpu {row.cpu:8.1f} s  {row.memory:7.0f} MB  out {row.output:8.2f} MB",
            flush=True,
        )


def main() -> None:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(description="Cost against size.")
    parser.add_argument("what", choices=tuple(SIZES))
    parser.add_argument("--sounds", type=Path, required=True, help="folder of clips of one rate")
    parser.add_argument("--out", type=Path, required=True, help="working folder")
    parser.add_argument("--least", type=float, default=0, help="smallest size")
    parser.add_argument("--most", type=float, default=float("inf"), help="largest size")
    parser.add_argument(
        "--workers", type=int, nargs="+", default=(1, 2), help="numbers of processes"
    )
    parser.add_argument("--device", default="cpu", help="that the network runs on")
    options = parser.parse_args()
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    clips = sorted(p.resolve() for p in options.sounds.rglob("*") if p.suffix in (".wav", ".ogg"))
    if not clips:
        raise SystemExit(f"{options.sounds}: has no .wav or .ogg files")
    rows, result = Rows(folder), folder / "result"
    sizes = [size for size in SIZES[options.what] if options.least <= size <= options.most]
    on = "" if options.device == "cpu" else f", {options.device}"
    device = ("--device", options.device)

    def add(what: str, size: float, workers: int, *command: str | Path) -> None:
        words = [str(word) for word in command]
        rows.add(what, size, workers, lambda: measured(what, size, workers, words, result))

    for size in sizes:
        if options.what == "files":
            source = files(clips, folder, round(size))
            for workers in options.workers:
                for verb in ("predict", "embed"):
                    add(f"{verb}, files{on}", size, workers, verb, source, "--workers",
                        str(workers), *device)  # fmt: skip
        elif options.what == "hours":
            source = hours(clips, folder, size)
            add(f"detect, hours{on}", size, 1, "detect", source, "--no-picture", *device)
            for workers in options.workers:
                add(f"detect, hours, segments{on}", size, workers, "detect", source,
                    "--workers", str(workers), *device)  # fmt: skip
                add(f"embed, hours{on}", size, workers, "embed", source,
                    "--workers", str(workers), *device)  # fmt: skip
        else:
            source = training(clips, folder, round(size))
            os.environ["SONOTYPE_CACHE"] = str(folder / "cache")
            add(f"train, clips of 1 s{on}", size, 1, "train", source, "--backbone", "builtin",
                "--device", options.device)  # fmt: skip
            shutil.rmtree(source)
            shutil.rmtree(folder / "cache", ignore_errors=True)


if __name__ == "__main__":
    main()
