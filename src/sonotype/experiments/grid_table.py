"""The results of a study: tables as text and Markdown, and all figures as JSON."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from sonotype.core.errors import OptionsError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.text import shorten
from sonotype.data.records import counted
from sonotype.evaluation.compare import Key, Metric, RunResults, TableRow, average, compare
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.outputs import require_free_folder
from sonotype.evaluation.predictions import Predictions, load_predictions
from sonotype.experiments.grid_plan import RUNS, Plan, Row
from sonotype.experiments.run_folder import PREDICTIONS, SCORES
from sonotype.experiments.runner import failure_of, seconds_of

TABLE, FIGURES = "table", "study.json"
OUTPUTS = (f"{TABLE}.txt", f"{TABLE}.md", FIGURES)
NAME_WIDTH, WIDTH = 22, 80
FAILED = "failed; run the same command to run these again"
HEADLINES = (("category", "f1", "category, macro F1"), ("event", "accuracy", "event, accuracy"))
"""The metrics of the tables: the paper's, and the one that is published for ESC-50."""


@dataclass(frozen=True)
class Result:
    """The results of a study.

    Attributes:
        title: of the study.
        note: to show beside the tables.
        baseline: the row that the others are compared with.
        lines: one for each finished row.
        seconds: total wall time of the runs of each row; 0 for a row without runs.
        missing: number of unfinished runs; rows that need them are left out.
        failed: causes of failed runs by name.
    """

    title: str
    note: str
    baseline: str
    lines: tuple[TableRow, ...]
    seconds: dict[str, float]
    missing: int
    failed: Mapping[str, str] = field(default_factory=dict)


class Table(NamedTuple):
    """A table of texts; the first column has the names of the rows."""

    title: str
    header: list[str]
    rows: list[list[str]]


def collect(plan: Plan, out: str | Path) -> Result:
    """Collect the finished runs of a study.

    If the baseline failed, there are no differences to it.

    Raises:
        OptionsError: the runs of the baseline are not finished, and none of them failed.
    """
    out = Path(out)
    runs = plan.runs()
    entries = [entry for row in plan.rows if (entry := _entry(plan, row, out)) is not None]
    finished = {entry.name for entry in entries}
    failed = {run: cause for run in runs if (cause := failure_of(out / run.folder))}
    if plan.baseline in finished:
        lines = compare(entries, plan.baseline)
    elif _needed(plan, plan.baseline).isdisjoint(run.row for run in failed):
        raise OptionsError(f"{out}: the baseline {plan.baseline} is not finished; run the study")
    else:
        lines = [_without_difference(compare([entry], entry.name)[0]) for entry in entries]
    seconds = {
        row.name: sum(seconds_of(out / run.folder) for run in row.runs())
        if row.trains and row.name in finished
        else 0.0
        for row in plan.rows
    }
    return Result(
        plan.title,
        plan.note,
        plan.baseline,
        tuple(lines),
        seconds,
        missing=sum(not (out / run.folder / SCORES).exists() for run in runs),
        failed={run.name: cause for run, cause in failed.items()},
    )


def _needed(plan: Plan, name: str) -> set[str]:
    """The rows whose runs a row needs."""
    row = plan.row(name)
    needed = {*(row.ensemble or (row.of or name,))}
    teachers = {teacher for row_name in needed for teacher in plan.row(row_name).teachers}
    return needed.union(*(_needed(plan, teacher) for teacher in teachers))


def _without_difference(line: TableRow) -> TableRow:
    metrics = {key: replace(figure, difference=None) for key, figure in line.metrics.items()}
    return replace(line, metrics=metrics)


def _entry(plan: Plan, row: Row, out: Path) -> RunResults | None:
    """The predictions of a row; ``None`` if a run is not finished."""
    sources = [plan.row(name) for name in (row.ensemble or (row.of or row.name,))]
    runs = [run for source in sources for run in source.runs()]
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
    blocks = [[*textwrap.wrap(result.title, WIDTH), *textwrap.wrap(result.note, WIDTH)]]
    if result.missing:
        missing = counted(result.missing, "run")
        blocks[0].append(f"left to run: {missing}; unfinished rows are left out")
    blocks += [[shorten(table.title, WIDTH), _layout(table)] for table in _tables(result)]
    if result.failed:
        failed = [shorten(f"{name}: {cause}", WIDTH) for name, cause in result.failed.items()]
        blocks.append([FAILED, *failed])
    return "\n\n".join("\n".join(block) for block in blocks)


def _layout(table: Table) -> str:
    """The columns aligned; names of rows are shortened in the middle, where they differ least."""
    grid = RichTable.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=NAME_WIDTH, no_wrap=True)
    for _ in table.header[1:]:
        grid.add_column(justify="right", no_wrap=True)
    for name, *cells in [table.header, *table.rows]:
        grid.add_row(*map(Text, (shorten(name, NAME_WIDTH), *cells)))
    console = Console(file=io.StringIO(), width=WIDTH, color_system=None)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def markdown(result: Result, command: str) -> str:
    """A section of a document: the command, the wall time, the tables."""
    total = _time(sum(result.seconds.values()))
    lines = [f"## {result.title}", "", *([result.note, ""] if result.note else [])]
    lines += ["```sh", command, "```", "", f"Total wall time of all runs: {total}.", ""]
    tables = _tables(result)
    if result.failed:
        rows = [[name, cause.replace("|", "/")] for name, cause in result.failed.items()]
        tables.append(Table(FAILED, ["run", "error"], rows))
    for title, header, rows in tables:
        cells = [header, ["---"] * len(header), *rows]
        lines += [f"{title}:", "", *(f"| {' | '.join(row)} |" for row in cells), ""]
    return "\n".join(lines)


def to_json(result: Result) -> dict[str, Any]:
    """All figures as plain JSON values."""
    return {
        "title": result.title,
        "baseline": result.baseline,
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


def _tables(result: Result) -> list[Table]:
    tables = [_paper_table(result)] if result.lines else []
    for level, metric, title in HEADLINES:
        if any((level, metric) in line.metrics for line in result.lines):
            tables.append(_comparison(result, level, metric, title))
    return tables


def _paper_table(result: Result) -> Table:
    """The columns of the paper's table, and the accuracy of the events."""
    header = ["row", "precision", "recall", "F1", "event acc", "clips", "time"]
    keys = [("category", name) for name in ("precision", "recall", "f1")] + [("event", "accuracy")]
    rows = []
    for line in result.lines:
        metrics = [line.metrics.get(key) for key in keys]
        cells = [f"{figure.value.value:.3f}" if figure else "-" for figure in metrics]
        rows.append([line.name, *cells, str(line.clips), _time(result.seconds[line.name])])
    return Table("macro means of the categories", header, rows)


def _comparison(result: Result, level: str, metric: str, title: str) -> Table:
    header = ["row", title.split(", ")[1], "95 %", "folds", "seeds", "diff.", "95 %", ""]
    rows = [
        [
            line.name,
            f"{figure.value.value:.3f}",
            _ends(figure.value),
            _deviation(figure.folds.deviation),
            _deviation(figure.seeds.deviation),
            *_difference(figure),
        ]
        for line in result.lines
        if (figure := line.metrics.get((level, metric))) is not None
    ]
    return Table(f"{title}; difference to {result.baseline}", header, rows)


def _difference(figure: Metric) -> list[str]:
    """Difference, its interval, and marks."""
    gap = figure.difference
    if gap is None:
        return ["", "", ""]
    ends = f"{100 * (gap.low or 0):+.1f} {100 * (gap.high or 0):+.1f}"
    mark = ("*" if figure.beyond else "") + ("" if figure.paired else "u")
    return [f"{100 * gap.value:+.1f}", ends, mark]


def _ends(figure: Interval) -> str:
    return f".{1000 * (figure.low or 0):03.0f} .{1000 * (figure.high or 0):03.0f}".replace(
        ".1000", "1.00"
    )


def _deviation(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _time(seconds: float) -> str:
    if not seconds:
        return "-"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def legend(lines: Sequence[TableRow]) -> str:
    """The meaning of the marks in the tables."""
    text = "differences in points; *: the interval does not contain zero"
    unpaired = any(not figure.paired for line in lines for figure in line.metrics.values())
    return text + ("\nu: unpaired, the clips differ" if unpaired else "")
