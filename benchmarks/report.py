"""The page as Markdown whose tables are readable as plain text, at most 80 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from benchmarks.baseline import SECONDS
from benchmarks.measure import Row

WIDTH = 80
MIN_RUNS = 100
"""With fewer runs the 99th percentile is close to the slowest run."""

METHOD = (
    "Each row runs in a process of its own that imports its own packages only. All processes of a "
    "table run at the same time, and their repeats are interleaved, so that other load of the "
    "machine affects all rows. `times slower` is the speed of the first row over that of the row, "
    "below 1 where the row is faster: the median over the repeats, each compared with the first "
    "row's, and in brackets the smallest and the largest. All rows get the same clips of 5 s at "
    "their own sample rate: resampling and decoding are not timed. Many clips are processed in the "
    "mode that is fastest for the row: `1 x 16` is one caller with batches of 16, whose library "
    "may use all threads; `2 x 1` are two callers with a clip each. Deviations are those of the "
    "timed predictions from a slow computation in double precision, one clip at a time: relative "
    "to the largest value for classifiers, absolute for log-mels. Times of predictions that "
    "deviate too far are left out."
)
FEW_RUNS = f"\\* of fewer than {MIN_RUNS} runs, so close to the slowest of them."
SIZES = (
    "Memory is the peak of the whole process in MB, with one clip at a time and with many; start "
    "is the time from the start of the process to the prediction for a first clip, the median of "
    "several, with all files in the system's cache."
)
ARITHMETIC = (
    "Multiply-adds (MACs) of one clip in millions, without Fourier transforms; the GFLOP/s that "
    "they amount to over the whole path, and their share of the matrix product's:"
)


def render(
    rows: Sequence[Row], peaks: Mapping[int, float], facts: Mapping[str, str],
    commands: Mapping[str, float], extras: Mapping[str, str],
) -> str:  # fmt: skip
    """The whole page.

    ``peaks`` has GFLOP/s of a matrix product by number of threads: 1, and those of all cores.
    ``commands`` has seconds by command line, ``extras`` outputs of other benchmarks by title.
    """
    sections = ["# Benchmarks", "Written by `make bench`: do not edit.", METHOD]
    sections += ["\n".join(f"- {title}: {text}" for title, text in facts.items())]
    for group in dict.fromkeys(row.baseline.group for row in rows):
        members = [row for row in rows if row.baseline.group == group]
        classifiers = group == "classifier"
        sections += [f"## {'Classifiers: from waveform to prediction' if classifiers else group}"]
        sections += speed(members, list(peaks))
        if classifiers:
            sections += ["### One clip of 5 s", *latency(members, list(peaks))]
            sections += ["### Size and start", sizes(members, min(peaks)), SIZES]
            sections += arithmetic(members, peaks)
        sections += notes(members)
    if commands:
        lines = [[f"`{command}`", figure(value)] for command, value in commands.items()]
        sections += ["## The command line, from a cold start", table(["command", "s"], lines)]
    for title, text in extras.items():
        sections += [f"## {title}", text]
    return "\n\n".join(x if "|" in x else wrap(x) for x in sections) + "\n"


def wrap(text: str) -> str:
    """Paragraphs and list items at the width of the tables."""
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  " * line.startswith("- "), **options)
        for line in text.splitlines()
    )


def cores(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def speed(rows: Sequence[Row], threads: Sequence[int]) -> list[str]:
    """Throughput: for a processor second on one thread, for a wall second on all."""
    sections = []
    for count, clock, unit, titles in (
        (threads[0], "cpu", "that one processor second processes", ["per CPU s", "times slower"]),
        (threads[-1], "wall", "in a wall second", ["per s", "times slower", "best mode"]),
    )[: len(threads)]:
        cells = partial(speed_cells, rows[0], count, clock)
        sections += [f"Seconds of audio {unit}, on {cores(count)}:"]
        sections += [row_table(rows, ["", *titles, "deviation"], cells)]
    return sections


def speed_cells(first: Row, threads: int, clock: str, row: Row) -> list[str]:
    phase = row.phases[threads]
    speeds: list[float] = getattr(phase, clock)
    slower = "1" if row is first else "-"
    if row is not first and not first.issue:
        pairs = zip(getattr(first.phases[threads], clock), speeds, strict=True)
        found = [ours / other for ours, other in pairs]
        slower = f"{figure(median(found))} [{figure(min(found), 2)}, {figure(max(found), 2)}]"
    mode = [phase.mode] if clock == "wall" else []
    return [figure(median(speeds)), slower, *mode, small(phase.deviation[1])]


def latency(rows: Sequence[Row], threads: Sequence[int]) -> list[str]:
    """Median and 99th percentile of one clip, in milliseconds."""

    def cells(row: Row) -> list[str]:
        found = []
        for count in threads:
            milliseconds = 1e3 * np.array(row.phases[count].single)
            star = "*" if len(milliseconds) < MIN_RUNS else ""
            p99 = figure(float(np.quantile(milliseconds, 0.99)))
            found += [figure(float(np.median(milliseconds))), p99 + star]
        return [*found, small(row.phases[threads[0]].deviation[0])]

    titles = [title for count in threads for title in (cores(count), "p99")]
    found = row_table(rows, ["milliseconds", *titles, "deviation"], cells)
    return [found, FEW_RUNS] if "*" in found else [found]


def sizes(rows: Sequence[Row], threads: int) -> str:
    """Parameters, file, memory and start."""

    def cells(row: Row) -> list[str]:
        parameters, _, size = row.facts
        phase = row.phases[threads]
        return [
            "-" if parameters is None else f"{parameters / 1e6:.2f} M",
            "-" if size is None else figure(size / 1e6),
            *(figure(peak / 1e6) for peak in phase.memory),
            figure(median(phase.starts)),
        ]

    return row_table(rows, ["", "parameters", "file MB", "one clip", "many", "start s"], cells)


def arithmetic(rows: Sequence[Row], peaks: Mapping[int, float]) -> list[str]:
    """GFLOP/s and the share of the processor's peak, where the multiply-adds are known."""

    def cells(row: Row) -> list[str]:
        macs = row.facts.multiply_adds or 0
        found = [f"{macs / 1e6:,.0f}"]
        for count, peak in peaks.items():
            reached = 2 * macs * median(row.phases[count].wall) / SECONDS / 1e9
            found += [figure(reached), f"{reached / peak:.0%}"]
        return found

    known = [row for row in rows if row.facts.multiply_adds and not row.issue]
    head = ["", "M MACs", *(title for count in peaks for title in (cores(count), "share"))]
    return ["### Arithmetic", ARITHMETIC, row_table(known, head, cells)] if known else []


def notes(rows: Sequence[Row]) -> list[str]:
    """Notes of the baselines, and reasons for missing figures."""
    lines = [(row, row.error or row.baseline.note) for row in rows]
    lines += [(row, f"wrong, deviates by more than {row.baseline.tolerance:g}")
              for row in rows if row.issue == "wrong"]  # fmt: skip
    found = "\n".join(f"- {row.baseline.title}: {note}" for row, note in lines if note)
    return [found] if found else []


def row_table(rows: Sequence[Row], head: Sequence[str], cells: Callable[[Row], list[str]]) -> str:
    """A table with a line for each row; unusable rows show the reason and the deviation."""
    lines = []
    for row in rows:
        found = ["-"] * (len(head) - 1) if row.error else cells(row)
        if row.issue:
            last = found[-1] if head[-1] == "deviation" else "-"
            found = [row.issue, *["-"] * (len(head) - 3), last]
        lines.append([row.baseline.title, *found])
    return table(head, lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column to the left, the others to the right."""
    widths = [max(3, *(len(row[column]) for row in (head, *rows))) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        aligned = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join([cells[0].ljust(widths[0]), *aligned[1:]])} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def figure(value: float, digits: int = 3) -> str:
    """Three significant digits, with commas and without exponents."""
    rounded = float(f"{value:.{digits}g}")
    if abs(value) >= 10 ** (digits - 1):
        return f"{rounded:,.0f}"
    return f"{rounded:.10f}".rstrip("0").rstrip(".")


def small(value: float) -> str:
    """A deviation: one digit and its power of ten."""
    return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")
