"""Kill an archive's driver and Ray actors at random moments, and compare its rows.

``python scripts/archive_kills.py --files 5000 --driver-kills 10 --actor-kills 20``

Sounds are written into an S3-compatible server (moto) of this computer. One archive is made without
a disturbance, by local processes. Another one is made on a Ray cluster of this computer, while its
driver and its actors get SIGKILL. The script prints the number of rows that were lost, doubled or
differ, the time, and the peak memory of the drivers. The exit code is 1 if there is such a row.
"""
# ruff: noqa: T201, S603 - a script prints, and starts programs

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from ray_cluster import light_environment, ray_cluster

RATE = 16_000
BUCKET = "archive"
LONG_SECONDS = 1_200
"""Length of the long recordings, which are read in segments."""
OPTIONS = ("--hop", "2.5", "--segment", "60", "--partition", "prefix", "--flush", "3")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def main() -> int:
    """Make both archives; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=int, default=5000, help="short sounds")
    parser.add_argument("--long", type=int, default=2, help="long recordings")
    parser.add_argument("--driver-kills", type=int, default=10)
    parser.add_argument("--actor-kills", type=int, default=20)
    parser.add_argument("--pause", type=float, default=25.0, help="most seconds between two kills")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory(prefix="archive-kills-") as name, storage() as environment:
        os.environ.update(environment)
        folder = Path(name)
        begun = time.monotonic()
        write_sounds(folder / "sounds", arguments.files, arguments.long)
        upload(folder / "sounds")
        print(f"sounds: {time.monotonic() - begun:.0f} s", flush=True)
        workers = ("--workers", str(arguments.workers))
        begun = time.monotonic()
        memory = run_to_end(command(folder / "whole", "local", *workers))
        print(
            f"undisturbed, local: {time.monotonic() - begun:.0f} s, driver {memory} MB", flush=True
        )
        with ray_cluster(arguments.workers + 1, []) as address:
            begun = time.monotonic()
            disturbed = command(folder / "killed", "ray", "--address", address, *workers)
            kills = ["driver"] * arguments.driver_kills + ["actor"] * arguments.actor_kills
            generator.shuffle(kills)
            memory = disturb(disturbed, kills, generator, arguments.pause)
            memory = max(memory, run_to_end(disturbed))
        print(f"disturbed, Ray: {time.monotonic() - begun:.0f} s, driver {memory} MB", flush=True)
        return compare(folder / "whole", folder / "killed")


def write_sounds(folder: Path, number: int, long: int) -> None:
    """Noisy tones of a second, in folders, and long recordings."""
    generator = np.random.default_rng(1)
    for index in range(number + long):
        seconds = 1 if index < number else LONG_SECONDS
        time_axis = np.arange(seconds * RATE) / RATE
        tone = 0.3 * np.sin(2 * np.pi * generator.uniform(200, 4000) * time_axis)
        path = folder / f"site_{index % 7}" / f"{index:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = tone + 0.02 * generator.standard_normal(len(tone))
        subtype = "PCM_16" if seconds == 1 else "PCM_24"  # larger than what is kept in memory
        soundfile.write(path, sound, RATE, subtype=subtype)


def upload(folder: Path) -> None:
    """Copy a folder into the bucket."""
    import fsspec

    system = fsspec.filesystem("s3")
    system.mkdir(BUCKET)
    system.put(f"{folder}/", f"{BUCKET}/sounds/", recursive=True)


@contextmanager
def storage() -> Iterator[dict[str, str]]:
    """An S3-compatible server; yields the environment variables that lead to it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(300):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.2)
        yield CREDENTIALS | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    finally:
        process.kill()
        process.wait()


def command(out: Path, engine: str, *more: str) -> list[str]:
    """The command that makes an archive."""
    source = f"s3://{BUCKET}/sounds"
    return [
        sys.executable, "-m", "sonotype", "predict", source, "--out", str(out),
        "--engine", engine, *OPTIONS, *more,
    ]  # fmt: skip


def disturb(argv: list[str], kills: list[str], generator: random.Random, most: float) -> int:
    """Run a command, which is killed and started again; returns the peak memory in MB."""
    peak, done = 0, Counter[str]()
    process = subprocess.Popen(argv, env=light_environment([]))
    for kind in kills:
        until = time.monotonic() + generator.uniform(2, most)
        while time.monotonic() < until and process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.05)
        if process.poll() is not None:
            print(f"complete before all kills: {dict(done)}", flush=True)
            break
        if kind == "driver":
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = subprocess.Popen(argv, env=light_environment([]))
        elif actors := actors_below(os.getpid()):
            os.kill(generator.choice(actors), signal.SIGKILL)
        else:
            kind = "no actor"
        done[kind] += 1
    print(f"kills: {dict(done)}", flush=True)
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.2)
    return peak


def run_to_end(argv: list[str]) -> int:
    """Run a command; returns the peak memory of its process in MB."""
    process, peak = subprocess.Popen(argv, env=light_environment([])), 0
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(argv)}")
    return peak


def memory_of(pid: int) -> int:
    """Peak memory of a process in MB; 0 if it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
    return 0


def actors_below(pid: int) -> list[int]:
    """The actors of Ray Data that a process, or one of its processes, started."""
    found = []
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
        for child in map(int, children):
            found += actors_below(child)
            line = Path(f"/proc/{child}/cmdline").read_bytes()
            if line.startswith(b"ray::MapWorker"):
                found.append(child)
    return found


def compare(whole: Path, killed: Path) -> int:
    """Print how the rows of two archives differ; returns 1 if they do."""
    expected, found = rows(whole), rows(killed)
    lost, more = (expected - found).total(), (found - expected).total()
    keys = Counter((row[0], row[1]) for row in found.elements())
    doubled = sum(number - 1 for number in keys.values())
    print(f"rows: {expected.total()}; lost {lost}, doubled {doubled}, not expected {more}")
    return int(bool(lost or more or doubled))


def rows(out: Path) -> Counter[tuple[object, ...]]:
    """The rows of an archive, read as any program reads them."""
    import pyarrow.dataset

    table = pyarrow.dataset.dataset(out / "rows", format="parquet", partitioning="hive").to_table()
    columns = [table.column(name).to_pylist() for name in sorted(table.column_names)]
    path, start = (table.column(name).to_pylist() for name in ("path", "start"))
    return Counter(zip(path, start, *columns, strict=True))


if __name__ == "__main__":
    sys.exit(main())
