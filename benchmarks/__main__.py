"""Measure this project beside its peers: ``python -m benchmarks``, or ``make bench``.

Prints the page that it writes to docs/benchmarks.md. Needs no network. Real clips, mn04's weights
and YAMNet's file are taken from the folder that SONOTYPE_TEST_ASSETS names, where it does.
"""
# ruff: noqa: T201 - a script talks to whoever runs it

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile

from benchmarks import companions, machine
from benchmarks.clips import RATES, write_clips
from benchmarks.measure import FULL, QUICK, Effort, Row, count_steps, measure
from benchmarks.peer import Peer, asset
from benchmarks.peers import PEERS
from benchmarks.report import Page, render
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import SonotypeError
from sonotype.core.progress import steps


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; the exit code."""
    arguments = parser().parse_args(argv)
    peers = chosen(arguments.only)
    effort = QUICK if arguments.quick else FULL
    cores = available_cpus()
    threads = [1] if arguments.quick else sorted({1, cores})
    data = arguments.data or asset("data", "esc50")
    with tempfile.TemporaryDirectory(prefix="benchmarks_") as name:
        folder = Path(name)
        clips = write_clips(folder, data)
        rows = measured(peers, folder, threads, effort)
        page = Page(
            rows,
            threads,
            machine=f"{machine.processor()}, {cores} cores, {machine.memory()}",
            versions=machine.versions(package for peer in peers for package in peer.packages),
            clips=clips,
            peaks={count: machine.matmul_peak(count) for count in threads if counted(rows)},
        )
        if not arguments.only:
            page.commands = command_lines(folder, 3 if arguments.quick else 5)
    if not arguments.only:
        page.companions = {
            title: companions.run_companion(path, quick=arguments.quick)
            for title, path in companions.there()
        }
    text = render(page)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    made.add_argument(
        "--quick", action="store_true", help="a minute or two, on one thread, and rougher figures"
    )
    made.add_argument("--out", type=Path, help="write the page to this file, too")
    made.add_argument("--data", type=Path, help="a folder of real sounds, any layout")
    made.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help=f"only this row, beside the one that is the measure; may be given more than once: "
        f"{', '.join(peer.name for peer in PEERS)}",
    )  # fmt: skip
    return made


def chosen(only: Sequence[str]) -> list[Peer]:
    """All rows, or some with the first of their group, which is the measure."""
    unknown = sorted(set(only) - {peer.name for peer in PEERS})
    if unknown:
        sys.exit(
            f"error: --only: no row {', '.join(unknown)}; there are "
            f"{', '.join(peer.name for peer in PEERS)}"
        )
    groups = {peer.group for peer in PEERS if not only or peer.name in only}
    first = {group: next(peer.name for peer in PEERS if peer.group == group) for group in groups}
    return [
        peer
        for peer in PEERS
        if peer.group in groups and (not only or peer.name in {*only, first[peer.group]})
    ]


def measured(
    peers: Sequence[Peer], folder: Path, threads: Sequence[int], effort: Effort
) -> list[Row]:
    """With a bar, and a line for each step where there is no one to look at a bar."""
    start = time.perf_counter()
    with steps("measuring", count_steps(len(peers), len(threads))) as bar:

        @contextlib.contextmanager
        def step(what: str) -> Iterator[None]:
            with bar.done():
                print(f"{time.perf_counter() - start:4.0f} s  {what}", file=sys.stderr)
                yield

        return measure(peers, folder, threads, effort, step)


def counted(rows: Sequence[Row]) -> bool:
    """Whether there are multiply-adds to compare with the machine's peak."""
    return any(row.facts.multiply_adds is not None for row in rows)


def command_lines(folder: Path, repeats: int) -> dict[str, float]:
    """Seconds of what a user waits for at the terminal."""
    sound = folder / "clip.wav"
    soundfile.write(sound, np.load(folder / f"clips_{RATES[0]}.npy")[0], RATES[0])
    return {
        "sonotype --help": machine.seconds_of_command(["--help"], repeats),
        "sonotype predict clip.wav": machine.seconds_of_command(["predict", str(sound)], repeats),
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
