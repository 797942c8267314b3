"""The page as Markdown whose tables are readable as plain text, at most 80 columns wide."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from benchmarks.baseline import SECONDS
from benchmarks.measure import Phase, Row, ratio

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


@dataclass
class Page:
    """The content of the page."""

    rows: Sequence[Row]  # of all groups, in order
    threads: Sequence[int]  # 1 and the number of cores, which may be 1
    machine: str = ""
    versions: str = ""
    clips: str = ""
    peaks: Mapping[int, float] = field(default_factory=dict)  # GFLOP/s by number of threads
    commands: Mapping[str, float] = field(default_factory=dict)  # seconds by command line
    extras: Mapping[str, str] = field(default_factory=dict)  # output of other benchmarks
    date: datetime.date = field(default_factory=datetime.date.today)


Column = tuple[str, Callable[[Row], str]]
"""Title and the cell of a row."""


def render(page: Page) -> str:
    """The whole page."""
    sections = ["# Benchmarks", "Written by `make bench`: do not edit.", METHOD, header(page)]
    for group in dict.fromkeys(row.baseline.group for row in page.rows):
        rows = [row for row in page.rows if row.baseline.group == group]
        classifiers = group == "classifier"
        title = (
            "Classifiers: waveform in, answer out" if classifiers else group[0].upper() + group[1:]
        )
        sections += [f"## {title}", *speed(rows, page.threads)]
        if classifiers:
            sections += ["### One clip of 5 s", *latency(rows, page.threads)]
            sections += ["### Size and start", sizes(rows, page.threads[0]), SIZES]
            sections += arithmetic(rows, page)
        sections += notes(rows)
    if page.commands:
        lines = [(f"`{command}`", figure(value)) for command, value in page.commands.items()]
        sections += ["## The command line, from a cold start", table(["command", "s"], lines)]
    for title, text in page.extras.items():
        sections += [f"## {title}", text]
    return "\n\n".join(x if "|" in x or "```" in x else wrap(x) for x in sections) + "\n"


def wrap(text: str) -> str:
    """Paragraphs and list items at the width of the tables."""
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  " if line.startswith("- ") else "",
                      break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )  # fmt: skip


def header(page: Page) -> str:
    """Date, machine, versions, clips."""
    peaks = ", ".join(f"{figure(peak)} on {cores(count)}" for count, peak in page.peaks.items())
    lines = [f"- Date: {page.date.isoformat()}", f"- Machine: {page.machine}"]
    lines += [f"- GFLOP/s of a float32 matrix product: {peaks}"] if peaks else []
    return "\n".join([*lines, f"- Versions: {page.versions}", f"- Clips: {page.clips}"])


def cores(count: int) -> str:
    """A number of threads in words."""
    return "1 thread" if count == 1 else f"{count} threads"


def speed(rows: Sequence[Row], threads: Sequence[int]) -> list[str]:
    """Throughput: for a processor second on one thread, for a wall second on all."""

    def columns(count: int, unit: str, speeds: Callable[[Phase], list[float]]) -> list[Column]:
        def relative(row: Row) -> str:
            if row is rows[0] or unusable(rows[0]):
                return "1" if row is rows[0] else "-"
            found = ratio(speeds(rows[0].phases[count]), speeds(row.phases[count]))
            return f"{figure(found.value)} [{figure(found.low, 2)}, {figure(found.high, 2)}]"

        return [
            (unit, lambda row: figure(median(speeds(row.phases[count])))),
            ("times slower", relative),
        ]

    first, last = threads[0], threads[-1]
    sections = [
        f"Seconds of audio that one processor second processes, on {cores(first)}:",
        row_table(rows, "", [*columns(first, "per CPU s", lambda phase: phase.cpu),
                             deviation(first, 1)]),
    ]  # fmt: skip
    if len(threads) > 1:
        mode: Column = ("best mode", lambda row: row.phases[last].mode)
        sections += [
            f"Seconds of audio in a wall second, on {cores(last)}:",
            row_table(rows, "", [*columns(last, "per s", lambda phase: phase.wall), mode,
                                 deviation(last, 1)]),
        ]  # fmt: skip
    return sections


def deviation(threads: int, which: int) -> Column:
    """Deviation with one clip at a time (0) or with many (1); shown for wrong rows too."""
    return "deviation", lambda row: small(row.phases[threads].deviation[which])


def latency(rows: Sequence[Row], threads: Sequence[int]) -> list[str]:
    """Median and 99th percentile of one clip, in milliseconds."""

    def columns(count: int) -> list[Column]:
        def percentile(row: Row) -> str:
            seconds = row.phases[count].single
            star = "*" if len(seconds) < MIN_RUNS else ""
            return figure(1e3 * float(np.quantile(seconds, 0.99))) + star

        return [
            (cores(count), lambda row: figure(1e3 * median(row.phases[count].single))),
            ("p99", percentile),
        ]

    every = [column for count in threads for column in columns(count)]
    found = row_table(rows, "milliseconds", [*every, deviation(threads[0], 0)])
    return [found, FEW_RUNS] if "*" in found else [found]


def sizes(rows: Sequence[Row], threads: int) -> str:
    """Parameters, file, memory and start."""

    def millions(value: int | None, digits: int | None = None) -> str:
        if value is None:
            return "-"
        return figure(value / 1e6) if digits is None else f"{value / 1e6:.{digits}f} M"

    return row_table(rows, "", [
        ("parameters", lambda row: millions(row.facts.parameters, 2)),
        ("file MB", lambda row: millions(row.facts.size)),
        ("one clip", lambda row: millions(row.phases[threads].memory[0])),
        ("many", lambda row: millions(row.phases[threads].memory[1])),
        ("start s", lambda row: figure(median(row.phases[threads].starts))),
    ])  # fmt: skip


def arithmetic(rows: Sequence[Row], page: Page) -> list[str]:
    """GFLOP/s and the share of the processor's peak, where the multiply-adds are known."""
    known = [row for row in rows if row.facts.multiply_adds and not unusable(row)]

    def columns(count: int) -> list[Column]:
        def reached(row: Row) -> float:
            clips = median(row.phases[count].wall) / SECONDS
            return 2 * (row.facts.multiply_adds or 0) * clips / 1e9

        return [
            (cores(count), lambda row: figure(reached(row))),
            ("share", lambda row: f"{reached(row) / page.peaks[count]:.0%}"),
        ]

    macs: Column = ("M MACs", lambda row: f"{(row.facts.multiply_adds or 0) / 1e6:,.0f}")
    every = [macs, *(column for count in page.threads for column in columns(count))]
    return ["### Arithmetic", ARITHMETIC, row_table(known, "", every)] if known else []


def notes(rows: Sequence[Row]) -> list[str]:
    """Notes of the baselines, and reasons for missing figures."""
    lines = [f"- {row.baseline.title}: {row.error or row.baseline.note}"
             for row in rows if row.error or row.baseline.note]  # fmt: skip
    lines += [f"- {row.baseline.title}: wrong, deviates by more than {row.baseline.tolerance:g}"
              for row in rows if not row.error and row.wrong]  # fmt: skip
    return ["\n".join(lines)] if lines else []


def unusable(row: Row) -> str:
    """Why a row has no figures, in a word; empty if it has."""
    if row.error:
        return "failed" if row.error.startswith("failed") else "missing"
    return "wrong" if row.wrong else ""


def row_table(rows: Sequence[Row], corner: str, columns: Sequence[Column]) -> str:
    """A table with a line for each row; rows without figures show the reason."""

    def cells(row: Row) -> list[str]:
        if not (word := unusable(row)):
            return [cell(row) for _, cell in columns]
        shown = [
            cell(row) if title == "deviation" and not row.error else "-" for title, cell in columns
        ]
        return [word, *shown[1:]]

    lines = [[row.baseline.title, *cells(row)] for row in rows]
    return table([corner, *(title for title, _ in columns)], lines)


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
