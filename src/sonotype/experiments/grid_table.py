"""What a study found, as a table for people and as numbers for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sonotype.core.errors import OptionsError
from sonotype.core.io import write_text
from sonotype.core.json_text import json_text
from sonotype.core.text import pad, shorten
from sonotype.data.records import counted
from sonotype.evaluation.compare import Key, Metric, RunResults, TableRow, average, compare
from sonotype.evaluation.metrics import Interval
from sonotype.evaluation.outputs import require_free_folder
from sonotype.evaluation.predictions import Predictions, load_predictions
from sonotype.experiments.grid_plan import Plan, Row
from sonotype.experiments.run_folder import PREDICTIONS
from sonotype.experiments.runner import failure_of, finished, seconds_of

TABLE, FIGURES = "table", "study.json"
CELLS = "runs"
OUTPUTS = (f"{TABLE}.txt", f"{TABLE}.md", FIGURES)
NAME_CELLS = 22
WIDTH = 80
FAILED = "failed; the same command runs these again"
HEADLINES = (("category", "f1", "category, macro F1"), ("event", "accuracy", "event, accuracy"))
"""What is compared: the paper's choice, and the figure that is published for ESC-50."""


@dataclass(frozen=True)
class Result:
    """A study's table.

    Attributes:
        title: of the study.
        note: what has to be said beside it.
        baseline: the row that the others are compared with.
        lines: one for each row.
        seconds: wall time of each row's own cells added up; 0 for a row that trains nothing.
        missing: cells that are not finished; rows that need them are left out.
        failed: of these by name what went wrong, where they failed.
    """

    title: str
    note: str
    baseline: str
    lines: tuple[TableRow, ...]
    seconds: dict[str, float]
    missing: int
    failed: Mapping[str, str] = field(default_factory=dict)


def collect(plan: Plan, out: str | Path) -> Result:
    """Put the finished cells of a study together.

    Where the baseline failed, there are no differences to it.

    Raises:
        OptionsError: the baseline's cells are not finished, and none of them failed.
    """
    out = Path(out)
    missing = sum(not finished(out / planned.folder) for planned in plan.planned_runs())
    entries = [entry for row in plan.rows if (entry := _entry(plan, row, out)) is not None]
    failed = {
        planned: cause
        for planned in plan.planned_runs()
        if (cause := failure_of(out / planned.folder))
    }
    compared = plan.baseline in {entry.name for entry in entries}
    if not compared and _needed(plan, plan.baseline).isdisjoint(planned.row for planned in failed):
        raise OptionsError(
            f"{out}: the baseline {plan.baseline} is not finished; run the study first"
        )
    seconds = {
        row.name: sum(seconds_of(out / planned.folder) for planned in row.planned_runs())
        if row.trains and row.name in {entry.name for entry in entries}
        else 0.0
        for row in plan.rows
    }
    if compared:
        lines = compare(entries, plan.baseline)
    else:
        lines = [_alone(compare([entry], entry.name)[0]) for entry in entries]
    named = {planned.folder.removeprefix("runs/"): cause for planned, cause in failed.items()}
    return Result(plan.title, plan.note, plan.baseline, tuple(lines), seconds, missing, named)


def _needed(plan: Plan, name: str) -> set[str]:
    """Rows whose trainings a row needs."""
    row = plan.row(name)
    needed = {*(row.ensemble or (row.of or name,))}
    return needed.union(*(_needed(plan, one) for one in needed for one in plan.row(one).teachers))


def _alone(line: TableRow) -> TableRow:
    figures = {key: replace(figure, difference=None) for key, figure in line.metrics.items()}
    return replace(line, metrics=figures)


def require_own(out: str | Path, outputs: Sequence[str], inputs: Sequence[Path]) -> None:
    """Refuse a folder with files that the outputs would replace, unless its cells are there.

    Raises:
        OptionsError: says which files.
    """
    out = Path(out)
    require_free_folder(
        out, outputs, inputs=inputs, force=(out / CELLS).is_dir(), advice="name a new folder"
    )


def write_report(result: Result, out: str | Path, command: str) -> str:
    """Write ``study.json``, ``table.txt`` and ``table.md``; the text is returned."""
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
        missing = counted(result.missing, "cell")
        blocks[0].append(f"left to run: {missing}; unfinished rows are left out")
    for title, header, rows in _tables(result):
        lines = [shorten(title, WIDTH)]
        widths = [
            max(len(row[column]) for row in [header, *rows]) for column in range(1, len(header))
        ]
        for row in [header, *rows]:
            planned_runs = "".join(
                "  " + pad(planned, width, right=True)
                for planned, width in zip(row[1:], widths, strict=True)
            )
            lines.append((pad(shorten(row[0], NAME_CELLS), NAME_CELLS) + planned_runs).rstrip())
        blocks.append(lines)
    if result.failed:
        failed = [shorten(f"{name}: {cause}", WIDTH) for name, cause in result.failed.items()]
        blocks.append([FAILED, *failed])
    return "\n\n".join("\n".join(block) for block in blocks)


def markdown(result: Result, command: str) -> str:
    """A section of a document: the command, the wall time, the tables."""
    total = sum(result.seconds.values())
    lines = [f"## {result.title}", ""]
    if result.note:
        lines += [result.note, ""]
    lines += ["```sh", command, "```", "", f"Wall time of all cells together: {_time(total)}.", ""]
    for title, header, rows in _tables(result):
        lines += [f"{title}:", ""] if title else []
        lines.append("| " + " | ".join(header) + " |")
        lines.append("|---" * len(header) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines.append("")
    if result.failed:
        planned_runs = [
            f"| {name} | {cause.replace('|', '/')} |" for name, cause in result.failed.items()
        ]
        lines += [f"{FAILED}:", "", "| cell | error |", "|---|---|", *planned_runs, ""]
    return "\n".join(lines)


def to_json(result: Result) -> dict[str, Any]:
    """All figures as plain JSON values."""
    return {
        "title": result.title,
        "baseline": result.baseline,
        "missing": result.missing,
        "failed": [{"cell": name, "error": cause} for name, cause in result.failed.items()],
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


def _entry(plan: Plan, row: Row, out: Path) -> RunResults | None:
    """The answers of a row; ``None`` where a cell is not finished."""
    sources = [plan.row(name) for name in (row.ensemble or (row.of or row.name,))]
    if not all(finished(out / planned.folder) for one in sources for planned in one.planned_runs()):
        return None
    answers: dict[Key, Predictions] = {}
    for fold in row.folds or (None,):
        for seed in row.seeds:
            planned_runs = [
                planned
                for one in sources
                for planned in one.planned_runs()
                if planned.fold == fold and (row.ensemble or planned.seed == seed)
            ]
            answers[fold, seed] = average(
                [load_predictions(out / one.folder / PREDICTIONS) for one in planned_runs]
            )
    return RunResults(row.name, answers, row.category_source)  # type: ignore[arg-type]


def _tables(result: Result) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, header and rows of each table."""
    tables = [_paper_table(result)] if result.lines else []
    for level, metric, title in HEADLINES:
        if any((level, metric) in line.metrics for line in result.lines):
            tables.append(_comparison(result, level, metric, title))
    return tables


def _paper_table(result: Result) -> tuple[str, list[str], list[list[str]]]:
    """The paper's columns, and the accuracy of the events."""
    header = ["row", "precision", "recall", "F1", "event acc", "clips", "time"]
    columns = [("category", "precision"), ("category", "recall"), ("category", "f1")]
    rows = []
    for line in result.lines:
        planned_runs = [
            _number(line.metrics[column].value.value) if column in line.metrics else "-"
            for column in [*columns, ("event", "accuracy")]
        ]
        rows.append([line.name, *planned_runs, str(line.clips), _time(result.seconds[line.name])])
    return "macro means of the categories", header, rows


def _comparison(
    result: Result, level: str, metric: str, title: str
) -> tuple[str, list[str], list[list[str]]]:
    header = ["row", title.split(", ")[1], "95 %", "folds", "seeds", "diff.", "95 %", ""]
    rows = []
    for line in result.lines:
        figure = line.metrics.get((level, metric))
        if figure is None:
            continue
        rows.append(
            [
                line.name,
                _number(figure.value.value),
                _ends(figure.value),
                _deviation(figure.folds.deviation),
                _deviation(figure.seeds.deviation),
                *_difference(figure),
            ]
        )
    return f"{title}; difference to {result.baseline}", header, rows


def _difference(figure: Metric) -> list[str]:
    one = figure.difference
    if one is None:
        return ["", "", ""]
    ends = f"{100 * (one.low or 0):+.1f} {100 * (one.high or 0):+.1f}"
    mark = ("*" if figure.beyond else "") + ("" if figure.paired else "u")
    return [f"{100 * one.value:+.1f}", ends, mark]


def _number(value: float) -> str:
    return f"{value:.3f}"


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
    """What the marks of the tables mean."""
    text = "differences in points; *: its interval leaves out zero"
    unpaired = any(not figure.paired for line in lines for figure in line.metrics.values())
    return text + ("\nu: not the same clips, unpaired" if unpaired else "")
