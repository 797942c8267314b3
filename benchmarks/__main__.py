"""Compare this package with others: ``python -m benchmarks``, or ``make bench``.

Prints the page docs/benchmarks.md. Uses no network. Real clips, mn04's weights and YAMNet's file
come from the folder in the variable SONOTYPE_TEST_ASSETS, if it is set.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.baseline import Baseline, asset
from benchmarks.baselines import BASELINES
from benchmarks.measure import FULL, QUICK, measure
from benchmarks.report import Page, render
from sonotype.core.cpu import available_cpus
from sonotype.core.errors import SonotypeError

SCRIPTS = {"Long recordings": "windows.py", "Training": "training.py"}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print and write; return the exit code."""
    arguments = parser().parse_args(argv)
    baselines = select(arguments.only)
    quick, cores, begin = arguments.quick, available_cpus(), time.perf_counter()

    def on_message(text: str) -> None:
        print(f"{time.perf_counter() - begin:4.0f} s  {text}", file=sys.stderr)

    threads = [1] if quick else sorted({1, cores})
    with tempfile.TemporaryDirectory(prefix="benchmarks_") as name:
        folder = Path(name)
        clips = machine.write_clips(folder, arguments.data or asset("data", "esc50"))
        rows = measure(baselines, folder, threads, QUICK if quick else FULL, on_message)
        page = Page(
            rows,
            threads,
            machine=machine.describe(cores),
            versions=machine.versions(package for x in baselines for package in x.packages),
            clips=clips,
            peaks={count: machine.matmul_peak(count) for count in threads},
        )
        if not arguments.only:
            page.commands = machine.command_seconds(folder, 3 if quick else 5)
    if not arguments.only:
        on_message("other benchmarks")
        page.extras = {
            title: machine.run_script(Path(__file__).parent / name, quick=quick)
            for title, name in SCRIPTS.items()
        }
    text = render(page)
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument(
        "--quick", action="store_true", help="one thread, few repeats: takes a minute or two"
    )
    options.add_argument("--out", type=Path, help="write the page to this file too")
    options.add_argument("--data", type=Path, help="a folder of sounds, in any layout")
    names = ", ".join(baseline.name for baseline in BASELINES)
    options.add_argument(
        "--only", action="append", default=[], metavar="NAME",
        help="measure this row and the first row of its group; can be repeated. Names: " + names,
    )  # fmt: skip
    return options


def select(only: Sequence[str]) -> list[Baseline]:
    """All rows, or the named rows and the first of each of their groups."""
    names = [baseline.name for baseline in BASELINES]
    if unknown := sorted(set(only) - set(names)):
        sys.exit(f"error: --only: unknown row {', '.join(unknown)}; choose from {', '.join(names)}")
    groups = {baseline.group for baseline in BASELINES if baseline.name in only}
    first = {group: next(x.name for x in BASELINES if x.group == group) for group in groups}
    return [x for x in BASELINES if not only or x.name in {*only, *first.values()}]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SonotypeError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
