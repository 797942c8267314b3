"""The page: tables of what was measured, in Markdown that a terminal shows as well."""

from __future__ import annotations

import datetime
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from benchmarks.markdown import WIDTH, figure, small, table
from benchmarks.measure import Phase, Ratio, Row, ratio
from benchmarks.peer import SECONDS

MISSING, WRONG = "missing", "wrong"
ENOUGH = 100
"""Runs below which the 99th percentile is but the slowest one."""

HOW = (
    "Each row runs in a process of its own, with nothing in it but its own packages. All processes "
    "of a table live at the same time and take turns, repeat by repeat, so that what else the "
    "machine does meets all of them. `times slower` is the speed of the first row over that of the "
    "row, below 1 where the row is faster: the median over the repeats, each compared with its "
    "neighbour, and in brackets the smallest and the largest. Everybody hears the same clips of "
    "5 s, each at its own sample rate: resampling and decoding are not timed. Many clips are "
    "worked through in the way that is fastest for the row: `1 x 16` is one caller with batches "
    "of 16, whose library may use all threads for it, `2 x 1` are two callers with a clip each. "
    "Deviations are those of the timed answers from a slow computation of the same: in double "
    "precision, one clip at a time; of classifiers in parts of the largest answer, of log-mels as "
    "they are. "
    "Times of answers that deviate too far are left out."
)


@dataclass
class Page:
    """All that a page says.

    Attributes:
        rows: of all groups, in order.
        threads: 1 and all cores; the same number once where there is one core.
        machine: in words.
        versions: in words.
        clips: in words.
        command: that made it.
        peaks: GFLOP/s of a matrix product by number of threads.
        commands: seconds of command lines by their text.
        companions: printed by other benchmarks, by title.
        date: of the measurement.
    """

    rows: Sequence[Row]
    threads: Sequence[int]
    machine: str = ""
    versions: str = ""
    clips: str = ""
    command: str = "make bench"
    peaks: dict[int, float] = field(default_factory=dict)
    commands: dict[str, float] = field(default_factory=dict)
    companions: dict[str, str] = field(default_factory=dict)
    date: datetime.date = field(default_factory=datetime.date.today)


def render(page: Page) -> str:
    """The whole page."""
    classifiers = [row for row in page.rows if row.peer.group == "classifier"]
    parts = ["# Benchmarks", f"Written by `{page.command}`: do not edit.", HOW, machine(page)]
    if classifiers:
        parts += ["## Classifiers: waveform in, answer out", *speed(classifiers, page.threads)]
        parts += reading(classifiers, page.threads)
        parts += ["### One clip of 5 s", latency(classifiers, page.threads)]
        parts += ["### Size and start", sizes(classifiers, page.threads[0]), START]
        parts += arithmetic(classifiers, page)
        parts += notes(classifiers)
    for group in dict.fromkeys(row.peer.group for row in page.rows):
        if group == "classifier":
            continue
        rows = [row for row in page.rows if row.peer.group == group]
        parts += [f"## {group[0].upper()}{group[1:]}", *speed(rows, page.threads)]
        parts += reading(rows, page.threads) + notes(rows)
    if page.commands:
        parts += ["## The command line, from a cold start", commands(page)]
    for title, text in page.companions.items():
        parts += [f"## {title}", text]
    return (
        "\n\n".join(part if "|" in part or "```" in part else wrap(part) for part in parts) + "\n"
    )


def wrap(text: str) -> str:
    """Paragraphs and list items at the width of the tables."""
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="  " if line.startswith("- ") else "",
                      break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )  # fmt: skip


def machine(page: Page) -> str:
    """What it was measured on."""
    peaks = ", ".join(f"{figure(peak)} on {cores(count)}" for count, peak in page.peaks.items())
    lines = [f"- Date: {page.date.isoformat()}", f"- Machine: {page.machine}"]
    if peaks:
        lines.append(f"- GFLOP/s of a float32 matrix product: {peaks}")
    return "\n".join([*lines, f"- Versions: {page.versions}", f"- Clips: {page.clips}"])


def cores(count: int) -> str:
    """A number of threads in words."""
    return "1 thread" if count == 1 else f"{count} threads"


def speed(rows: Sequence[Row], threads: Sequence[int]) -> list[str]:
    """Tables of the throughput: a processor second on one thread, a wall second on all."""
    parts = [f"Seconds of audio that one processor second takes in, on {cores(threads[0])}:"]
    parts.append(throughput(rows, threads[0], lambda phase: phase.cpu, "per CPU s", way=False))
    if len(threads) > 1:
        parts.append(f"Seconds of audio in a wall second, on {cores(threads[-1])}:")
        parts.append(throughput(rows, threads[-1], lambda phase: phase.wall, "per s"))
    return parts


def throughput(
    rows: Sequence[Row],
    threads: int,
    speeds: Callable[[Phase], dict[int, float]],
    unit: str,
    *,
    way: bool = True,
) -> str:
    """One of them; the first row of its group is the measure."""
    measure, *_ = rows
    head = [
        "",
        unit,
        "times slower",
        *(["best way"] if way else []),
        "deviation",
    ]
    cells = []
    for row in rows:
        phase = row.phases.get(threads, Phase())
        values = speeds(phase)
        if unusable(row) or not values:
            word = unusable(row) or MISSING
            cells.append(
                [row.peer.title, word, *["-"] * (2 if way else 1), deviation(row, phase, 1)]
            )
            continue
        ours = speeds(measure.phases[threads]) if not unusable(measure) else {}
        against = "1" if row is measure else times(ratio(ours, values)) if ours else "-"
        best = [phase.way] if way else []
        cells.append(
            [
                row.peer.title,
                figure(median(values.values())),
                against,
                *best,
                deviation(row, phase, 1),
            ]
        )
    return table(head, cells)


def times(value: Ratio) -> str:
    """How many times as fast the measure is as this row."""
    return f"{figure(value.value)} [{figure(value.low, 2)}, {figure(value.high, 2)}]"


def unusable(row: Row) -> str:
    """Why a row has no figures, in a word; empty where it has."""
    if row.fault:
        return "failed" if row.fault.startswith("failed") else MISSING
    return WRONG if row.wrong else ""


def deviation(row: Row, phase: Phase, which: int) -> str:
    """Of one clip (0) or of many (1)."""
    return "-" if row.fault else small(phase.deviation[which])


def latency(rows: Sequence[Row], threads: Sequence[int]) -> str:
    """Median and 99th percentile of one clip, in milliseconds."""
    head = ["milliseconds"]
    for count in threads:
        head += [f"{cores(count)}", "p99"]
    cells, few = [], False
    for row in rows:
        line = [row.peer.title]
        for count in threads:
            single = row.phases.get(count, Phase()).single
            if unusable(row) or not single:
                line += [unusable(row) or MISSING, "-"]
                continue
            star = "" if len(single) >= ENOUGH else "*"
            few = few or bool(star)
            line += [
                figure(1e3 * median(single)),
                figure(1e3 * float(np.quantile(single, 0.99))) + star,
            ]
        cells.append([*line, deviation(row, row.phases.get(threads[0], Phase()), 0)])
    text = table([*head, "deviation"], cells)
    return f"{text}\n\n{wrap(FEW)}" if few else text


FEW = f"\\* of fewer than {ENOUGH} runs, so next to the slowest of them."
START = (
    "Memory is the peak of the whole process in MB, with one clip at a time and with many; "
    "start is the time from the start of the process to the answer to a first clip, the median of "
    "several, with all files in the system's cache."
)


def sizes(rows: Sequence[Row], threads: int) -> str:
    """Parameters, file, memory and start."""
    cells = []
    for row in rows:
        phase, facts = row.phases.get(threads, Phase()), row.facts
        if unusable(row):
            cells.append([row.peer.title, unusable(row), *["-"] * 4])
            continue
        cells.append([
            row.peer.title,
            "-" if facts.parameters is None else f"{facts.parameters / 1e6:.2f} M",
            "-" if facts.size is None else figure(facts.size / 1e6),
            *(figure(value / 1e6) for value in phase.memory),
            figure(median(phase.starts)),
        ])  # fmt: skip
    return table(["", "parameters", "file MB", "one clip", "many", "start s"], cells)


def arithmetic(rows: Sequence[Row], page: Page) -> list[str]:
    """How much of the processor's peak is reached, where the multiply-adds are known."""
    head = ["", "M MACs"]
    for count in page.threads:
        head += [cores(count), "share"]
    cells = []
    for row in rows:
        work = row.facts.multiply_adds
        if unusable(row) or work is None:
            continue
        line = [row.peer.title, f"{work / 1e6:,.0f}"]
        for count in page.threads:
            clips = median(row.phases[count].wall.values()) / SECONDS
            reached = 2 * work * clips / 1e9
            peak = page.peaks.get(count)
            line += [figure(reached), f"{reached / peak:.0%}" if peak else "-"]
        cells.append(line)
    if not cells:
        return []
    text = (
        "Multiply-adds (MACs) of one clip in millions, Fourier transforms left out; the GFLOP/s "
        "that they come to over the whole path, and what share of the matrix product's that is:"
    )
    return ["### Arithmetic", text, table(head, cells)]


def reading(rows: Sequence[Row], threads: Sequence[int]) -> list[str]:
    """Who is faster than the measure and who slower, in words."""
    measure, *others = rows
    ours = measure.phases.get(threads[0], Phase()).cpu
    if unusable(measure) or not ours:
        return []
    ratios = {
        row.peer.title: ratio(ours, row.phases[threads[0]].cpu)
        for row in others
        if not unusable(row) and row.phases[threads[0]].cpu
    }
    said = []
    for word, chosen in (
        ("faster", {title: one for title, one in ratios.items() if one.high < 1}),
        ("slower", {title: one for title, one in ratios.items() if one.low > 1}),
        ("not to be told apart", {t: one for t, one in ratios.items() if one.low <= 1 <= one.high}),
    ):
        if chosen:
            said.append(f"{word}: {', '.join(chosen)}")
    if not said:
        return []
    return [f"Against {measure.peer.title}, on one thread, {'; '.join(said)}."]


def notes(rows: Sequence[Row]) -> list[str]:
    """What a reader must know, and who is not there and why."""
    lines = [f"- {row.peer.title}: {row.fault or row.peer.note}" for row in rows
             if row.fault or row.peer.note]  # fmt: skip
    lines += [
        f"- {row.peer.title}: wrong, deviates by more than {row.peer.tolerance:g}"
        for row in rows
        if not row.fault and row.wrong
    ]
    return ["\n".join(lines)] if lines else []


def commands(page: Page) -> str:
    """Seconds of command lines."""
    return table(
        ["command", "s"], [[f"`{words}`", figure(taken)] for words, taken in page.commands.items()]
    )
