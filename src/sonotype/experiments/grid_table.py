"""The results of a study: tables as text and Markdown, and all figures as JSON."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sonotype.core.errors import OptionsError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.text import counted, shorten
from sonotype.core.types import plural
from sonotype.evaluation.compare import Key, Metric, RunResults, TableRow, average, compare
from sonotype.evaluation.outputs import require_free_folder
from sonotype.evaluation.predictions import Predictions, load_predictions
from sonotype.experiments.grid_plan import RUNS, Plan, Row
from sonotype.experiments.run_folder import PREDICTIONS, SCORES, seconds_of
from sonotype.experiments.runner import failure_of

TABLE, FIGURES = "table", "study.json"
OUTPUTS = (f"{TABLE}.txt", f"{TABLE}.md", FIGURES)
NAME_WIDTH, WIDTH = 22, 80
FAILED = "failed; run the same command to run these again"
PAPER = ("precision", "recall", "f1")
"""The metrics of the paper's table."""


@dataclass(frozen=True)
class Result:
    """The results of a study.

    Attributes:
        plan: of the study.
        lines: one for each finished row.
        seconds: total wall time of the runs of each row; 0 for a row without runs.
        missing: number of unfinished runs; rows that need them are left out.
        failed: causes of failed runs by name.
    """

    plan: Plan
    lines: tuple[TableRow, ...]
    seconds: Mapping[str, float]
    missing: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


Cells = list[list[str]]
"""Header and rows of a table; the first column has the names of the rows."""


def collect(plan: Plan, out: str | Path) -> Result:
    """Collect the finished runs of a study; without a baseline there are no differences to it.

    Raises:
        OptionsError: the runs of the baseline are not finished, and no run failed.
    """
    out = Path(out)
    runs = plan.runs()
    entries = [entry for row in plan.rows if (entry := _entry(plan, row, out)) is not None]
    failed = {run.name: cause for run in runs if (cause := failure_of(out / run.folder))}
    if plan.baseline in (entry.name for entry in entries):
        lines = compare(entries, plan.baseline)
    elif failed:
        lines = [line for entry in entries for line in compare([entry], entry.name)]
    else:
        raise OptionsError(f"{out}: the baseline {plan.baseline} is not finished; run the study")
    seconds = dict.fromkeys((row.name for row in plan.rows), 0.0)
    for run in runs:
        seconds[run.row] += seconds_of(out / run.folder)
    missing = sum(not (out / run.folder / SCORES).exists() for run in runs)
    return Result(plan, tuple(lines), seconds, missing, failed)


def _entry(plan: Plan, row: Row, out: Path) -> RunResults | None:
    """The predictions of a row; ``None`` if a run is not finished."""
    runs = [run for name in row.sources for run in plan.row(name).runs()]
    if not all((out / run.folder / SCORES).exists() for run in runs):
        return None
    predictions: dict[Key, Predictions] = {}
    for fold in row.folds or (None,):
        for seed in row.seeds:
            members = [
                load_predictions(out / run.folder / PREDICTIONS)
                for run in runs
                if run.fold == fold and (row.ensemble or run.seed == seed)
            ]
            predictions[fold, seed] = average(members)
    return RunResults(row.name, predictions, row.category_source)  # type: ignore[arg-type]


def require_own(out: str | Path, outputs: Sequence[str], inputs: Sequence[Path]) -> None:
    """Raise an ``OptionsError`` if outputs would replace files, unless the folder has our runs."""
    out = Path(out)
    require_free_folder(
        out, outputs, inputs=inputs, force=(out / RUNS).is_dir(), advice="name a new folder"
    )


def write_report(result: Result, out: str | Path, command: str) -> str:
    """Write ``study.json``, ``table.txt`` and ``table.md``; returns the text."""
    out = Path(out)
    text = render(result)
    write_text(out / f"{TABLE}.txt", text + "\n")
    write_text(out / f"{TABLE}.md", markdown(result, command))
    write_text(out / FIGURES, json_text(to_json(result), indent=1) + "\n")
    return text


def render(result: Result) -> str:
    """The tables as text of at most 80 columns."""
    head = [*textwrap.wrap(result.plan.title, WIDTH), *textwrap.wrap(result.plan.note, WIDTH)]
    if result.missing:
        missing = counted(result.missing, "run")
        head.append(f"left to run: {missing}; unfinished rows are left out")
    tables = _tables(result).items()
    blocks = [head, *([shorten(title, WIDTH), *_layout(cells)] for title, cells in tables)]
    if result.failed:
        failed = [shorten(f"{name}: {cause}", WIDTH) for name, cause in result.failed.items()]
        blocks.append([FAILED, *failed])
    return "\n\n".join("\n".join(block) for block in blocks)


def _layout(cells: Cells) -> list[str]:
    """Aligned columns; names of rows are shortened in the middle, where they differ least."""
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=NAME_WIDTH, no_wrap=True)
    for _ in cells[0][1:]:
        grid.add_column(justify="right", no_wrap=True)
    for name, *values in cells:
        grid.add_row(*map(Text, (shorten(name, NAME_WIDTH), *values)))
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    return [line.rstrip() for line in captured.get().splitlines()]


def markdown(result: Result, command: str) -> str:
    """A section of a document: the command, the wall time, the tables."""
    total = _time(sum(result.seconds.values()))
    note = [result.plan.note, ""] if result.plan.note else []
    lines = [f"## {result.plan.title}", "", *note, "```sh", command, "```", ""]
    lines += [f"Total wall time of all runs: {total}.", ""]
    tables = _tables(result)
    if result.failed:
        rows = [[name, cause.replace("|", "/")] for name, cause in result.failed.items()]
        tables[FAILED] = [["run", "error"], *rows]
    for title, (header, *rows) in tables.items():
        cells = [header, ["---"] * len(header), *rows]
        lines += [f"{title}:", "", *(f"| {' | '.join(row)} |" for row in cells), ""]
    return "\n".join(lines)


def to_json(result: Result) -> dict[str, Any]:
    """All figures as plain JSON values."""
    return {
        "title": result.plan.title,
        "baseline": result.plan.baseline,
        "missing": result.missing,
        "failed": [{"run": name, "error": cause} for name, cause in result.failed.items()],
        "rows": [
            {
                "name": line.name,
                "clips": line.clips,
                "seconds": result.seconds[line.name],
                "figures": {
                    f"{level}_{metric}": asdict(figure)
                    for (level, metric), figure in line.metrics.items()
                },
            }
            for line in result.lines
        ],
    }


def _tables(result: Result) -> dict[str, Cells]:
    """By title: a table in the columns of the paper, and the differences to the baseline."""
    tables: dict[str, Cells] = {}
    if result.lines:
        coarse, finest = _levels(result.lines)
        header = ["row", "precision", "recall", "F1", f"{finest} acc", "clips", "time"]
        keys = [*((coarse, name) for name in PAPER), (finest, "accuracy")]
        rows = [_paper_row(line, keys, result.seconds[line.name]) for line in result.lines]
        tables[f"macro means of the {plural(coarse)}"] = [header, *rows]
        # The metric of the paper, and the one that is published for ESC-50.
        headlines = [(coarse, "f1", "macro F1"), (finest, "accuracy", "accuracy")]
    for level, metric, name in headlines if result.lines else ():
        rows = [
            [line.name, *_comparison(figure)]
            for line in result.lines
            if (figure := line.metrics.get((level, metric))) is not None
        ]
        if rows:
            header = ["row", name, "95 %", "folds", "seeds", "diff.", "95 %", ""]
            tables[f"{level}, {name}; difference to {result.plan.baseline}"] = [header, *rows]
    return tables


def _levels(lines: Sequence[TableRow]) -> tuple[str, str]:
    """The coarsest and the finest level of all rows."""
    levels = list(dict.fromkeys(level for line in lines for level, _ in line.metrics))
    return levels[0], levels[-1]


def _paper_row(line: TableRow, keys: Sequence[tuple[str, str]], seconds: float) -> list[str]:
    metrics = [line.metrics.get(key) for key in keys]
    cells = [f"{figure.value.value:.3f}" if figure else "-" for figure in metrics]
    return [line.name, *cells, str(line.clips), _time(seconds)]


def _comparison(figure: Metric) -> list[str]:
    """Value and interval, deviations over folds and seeds, difference with interval and marks."""
    value, gap = figure.value, figure.difference
    ends = [
        "-" if end is None else f"{end:.3f}".removeprefix("0")[:4]
        for end in (value.low, value.high)
    ]
    spreads = [figure.folds.deviation, figure.seeds.deviation]
    cells = [f"{value.value:.3f}", " ".join(ends)]
    cells += ["-" if deviation is None else f"{deviation:.3f}" for deviation in spreads]
    if gap is None:
        return [*cells, "", "", ""]
    mark = ("*" if figure.beyond else "") + ("" if figure.paired else "u")
    points = ["-" if end is None else f"{100 * end:+.1f}" for end in (gap.value, gap.low, gap.high)]
    return [*cells, points[0], " ".join(points[1:]), mark]


def _time(seconds: float) -> str:
    if not seconds:
        return "-"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def legend(lines: Sequence[TableRow]) -> str:
    """The meaning of the marks in the tables."""
    text = "differences in points; *: the interval does not contain zero"
    unpaired = any(not figure.paired for line in lines for figure in line.metrics.values())
    return text + ("\nu: unpaired, the clips differ" if unpaired else "")
